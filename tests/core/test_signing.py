"""A key that was replaced goes on proving what it signed, and nothing that came after its end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from inboxops.core import canary, certificate, connect_link, ids, signing
from inboxops.core.connect_link import ConnectLink
from inboxops.core.signing import NO_KEY, Replaced, SigningKey
from tests.core.test_certificate import ACCOUNT

END = datetime(2026, 5, 4, 12, tzinfo=UTC)
OLD = SigningKey(b"the key before")
NEW = SigningKey(b"the key of now", (Replaced(b"the key before", END),))
FORGOT = SigningKey(b"the key of now")
HOUR = timedelta(hours=1)


def test_settings_read_what_replacing_writes() -> None:
    second = signing.replace("two", signing.replace("one", "", until=END), until=END + HOUR)
    assert second == "two@2026-05-04T13:00:00Z,one@2026-05-04T12:00:00Z"
    assert signing.read("three", second) == SigningKey(b"three", (Replaced(b"two", END + HOUR), Replaced(b"one", END)))
    assert signing.read("three", "") == SigningKey(b"three")


@pytest.mark.parametrize("entry", ["secret", "secret@tomorrow", "@2026-05-04T12:00:00Z"])
def test_a_previous_key_that_is_none_is_not_repeated(entry: str) -> None:
    with pytest.raises(ValueError, match="end") as caught:
        signing.read("now", entry)
    assert "secret" not in str(caught.value)


def test_a_key_that_could_not_be_read_again_is_not_put_away() -> None:
    with pytest.raises(ValueError, match="comma"):
        signing.replace("one,two", "", until=END)


def test_no_key_shows() -> None:
    assert "key" not in repr(NEW).replace("SigningKey", "")


def test_what_bears_no_time_is_ours_until_the_key_is_forgotten() -> None:
    made = ids.make_message_id(ticket_id=3, message_id=4, domain="a.example", signing_key=OLD)
    marker = ids.make_body_marker(3, OLD)
    for key, known in ((NEW, True), (FORGOT, False), (NO_KEY, False)):
        assert (ids.read_message_id(made, key) == (3, 4)) is known
        assert (ids.read_body_markers(f"> {marker}", key) == (3,)) is known


def test_it_signs_with_the_key_of_now_alone() -> None:
    assert ids.read_body_markers(ids.make_body_marker(3, NEW), OLD) == ()
    assert ids.read_body_markers(ids.make_body_marker(3, NEW), FORGOT) == (3,)


def test_a_link_of_before_leads_on_and_none_is_made_with_the_old_key() -> None:
    before = ConnectLink("gmail", 1, int((END + HOUR).timestamp()))
    after = ConnectLink("gmail", 1, int((END + connect_link.LONGEST + HOUR).timestamp()))
    assert connect_link.read(connect_link.sign(before, OLD), NEW, now=END) == before
    assert connect_link.read(connect_link.sign(before, OLD), FORGOT, now=END) is None
    assert connect_link.read(connect_link.sign(after, OLD), NEW, now=END) is None
    assert connect_link.read(connect_link.sign(after, NEW), NEW, now=END) == after


def test_a_canary_that_is_under_way_comes_home_and_none_is_made_with_the_old_key() -> None:
    for made_at, ours in ((END - HOUR, True), (END + HOUR, False)):
        token = canary.token(canary.Canary(9, 1, 7, 7, made_at), OLD)
        assert (canary.read_token(token, 7, NEW, at=made_at + HOUR) == 9) is ours
        assert canary.read_token(token, 7, FORGOT, at=made_at + HOUR) is None


def test_a_canary_of_the_far_future_is_none() -> None:
    token = f"c9-7-{10**12 - 1}-{'a' * 26}"
    assert canary.read_token(token, 7, NEW, at=END) is None


def test_a_chain_of_certificates_goes_on_under_a_new_key() -> None:
    first = certificate.make(ACCOUNT, 1, "", OLD)
    key = SigningKey(b"the key of now", (Replaced(b"the key before", ACCOUNT.made_at + HOUR),))
    second = certificate.make(ACCOUNT, 2, first.digest, key)
    assert certificate.problems([first, second], key) == []
    assert certificate.problems([first, second], FORGOT) == ["certificate 1 was changed, or signed with another key"]
    leaked = SigningKey(b"the key of now", (Replaced(b"the key before", ACCOUNT.made_at - HOUR),))
    assert certificate.problems([first], leaked) == ["certificate 1 was changed, or signed with another key"]
