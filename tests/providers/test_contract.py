"""What every provider owes the pipeline: all mail once, in bounded batches, whatever happens in between."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from inboxops.core.model import Batch, Cursor, Listed, RawMessage, Removed
from inboxops.errors import AuthenticationFailed, Throttled, TransientError
from inboxops.ports import Account, FetchLimits
from tests.providers.kits import Kit

LIMITS = FetchLimits()


def mail(subject: str, size_bytes: int = 0) -> bytes:
    head = f"From: a@example.com\r\nSubject: {subject}\r\nMessage-ID: <{subject}@example.com>\r\n\r\n".encode()
    return head + (b"x" * 76 + b"\r\n") * (size_bytes // 78) + b"Hello\r\n"


def read(kit: Kit, cursor: Cursor, limits: FetchLimits = LIMITS, account: Account | None = None) -> list[Batch]:
    with kit.provider.open(account or kit.account) as mailbox:
        return list(mailbox.batches(cursor, limits))


def synced(kit: Kit) -> Cursor:
    """The cursor after a first sync of what is there."""
    return read(kit, Cursor())[-1].cursor


def has_news(kit: Kit, cursor: Cursor) -> bool:
    with kit.provider.open(kit.account) as mailbox:
        return mailbox.has_news(cursor)


def messages(batches: Iterable[Batch]) -> list[RawMessage]:
    return [message for batch in batches for message in batch.messages]


def subjects(batches: Iterable[Batch]) -> list[str]:
    return sorted(_subject(message) for message in messages(batches))


def _subject(message: RawMessage) -> str:
    assert message.raw is not None
    return message.raw.split(b"Subject: ")[1].splitlines()[0].decode()


def test_new_mail_arrives_byte_for_byte(kit: Kit) -> None:
    cursor = synced(kit)
    sent = [mail("one"), mail("two", 50_000), b"Subject: bytes\r\n\r\n\xff\xfe 8-bit \x80\r\n.\r\n..dots\r\n"]
    for raw in sent:
        kit.deliver(raw)
    assert has_news(kit, cursor)
    batches = read(kit, cursor)
    assert sorted(message.raw or b"" for message in messages(batches)) == sorted(map(kit.as_served, sent))
    assert {message.imported for message in messages(batches)} == {False}
    assert all(message.size_bytes == len(message.raw or b"") for message in messages(batches))
    assert not has_news(kit, batches[-1].cursor)


def test_nothing_new_is_nothing(kit: Kit) -> None:
    kit.deliver(mail("old"))
    cursor = synced(kit)
    assert not has_news(kit, cursor)
    assert messages(read(kit, cursor)) == []


def test_an_empty_mailbox_has_a_cursor_too(kit: Kit) -> None:
    cursor = synced(kit)
    assert cursor != Cursor()
    assert not has_news(kit, cursor)
    kit.deliver(mail("first ever"))
    batches = read(kit, cursor)
    assert subjects(batches) == ["first ever"]
    assert not messages(batches)[0].imported


def test_a_message_keeps_its_key(kit: Kit) -> None:
    cursor = synced(kit)
    for subject in ("one", "two"):
        kit.deliver(mail(subject))
    first, again = messages(read(kit, cursor)), messages(read(kit, cursor))
    assert [message.key for message in first] == [message.key for message in again]
    assert len({message.key for message in first}) == 2


def test_the_arrival_time_is_the_providers_in_utc(kit: Kit) -> None:
    cursor = synced(kit)
    arrived = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5)
    kit.deliver(mail("earlier"), when=arrived)
    [message] = messages(read(kit, cursor))
    assert message.received_at == arrived
    assert message.received_at.utcoffset() == timedelta(0)


def test_1200_messages_come_in_pages(kit: Kit) -> None:
    cursor = synced(kit)
    for number in range(1200):
        kit.deliver(mail(f"m{number:04d}"))
    batches = read(kit, cursor)
    assert [len(batch.messages) for batch in batches] == [500, 500, 200]
    assert subjects(batches) == [f"m{number:04d}" for number in range(1200)]
    assert not has_news(kit, batches[-1].cursor)


def test_batches_are_bounded_in_bytes(kit: Kit) -> None:
    cursor = synced(kit)
    for number in range(7):
        kit.deliver(mail(f"m{number}", 40_000))
    batches = read(kit, cursor, FetchLimits(batch_bytes=100_000))
    assert [len(batch.messages) for batch in batches] == [2, 2, 2, 1]


def test_after_a_crash_between_batches_the_stored_cursor_yields_the_rest(kit: Kit) -> None:
    cursor = synced(kit)
    for number in range(25):
        kit.deliver(mail(f"m{number:02d}"))
    limits = FetchLimits(batch_messages=10)
    with kit.provider.open(kit.account) as mailbox:
        [durable] = islice(mailbox.batches(cursor, limits), 1)
    rest = read(kit, durable.cursor, limits)
    assert len(durable.messages) == 10
    assert subjects([durable, *rest]) == [f"m{number:02d}" for number in range(25)]


def test_the_first_sync_is_bounded_by_age_and_its_mail_is_imported(kit: Kit) -> None:
    now = datetime.now(UTC)
    kit.deliver(mail("old"), when=now - timedelta(days=20))
    kit.deliver(mail("recent"), when=now - timedelta(days=2))
    batches = read(kit, Cursor())
    assert subjects(batches) == ["recent"]
    assert messages(batches)[0].imported
    assert batches[0].note
    assert not has_news(kit, batches[-1].cursor)


def test_the_first_sync_is_bounded_by_count(kit: Kit) -> None:
    for number in range(8):
        kit.deliver(mail(f"m{number}"))
    batches = read(kit, Cursor(), FetchLimits(first_sync_messages=3))
    assert len(messages(batches)) == 3
    assert messages(read(kit, batches[-1].cursor)) == []


def test_what_is_left_of_a_first_sync_after_a_crash_is_still_imported(kit: Kit) -> None:
    for number in range(6):
        kit.deliver(mail(f"m{number}"))
    limits = FetchLimits(batch_messages=4)
    with kit.provider.open(kit.account) as mailbox:
        [durable] = islice(mailbox.batches(Cursor(), limits), 1)
    kit.deliver(mail("news"))
    rest = read(kit, durable.cursor, limits)
    imported = {_subject(message): message.imported for message in messages([durable, *rest])}
    assert imported == {**{f"m{number}": True for number in range(6)}, "news": False}


def test_an_expired_cursor_leads_to_a_bounded_rescan_with_a_report(kit: Kit) -> None:
    now = datetime.now(UTC)
    kit.deliver(mail("ancient"), when=now - timedelta(days=90))
    kit.deliver(mail("known"))
    cursor = synced(kit)
    kit.expire_cursor()
    kit.deliver(mail("new"))
    assert has_news(kit, cursor)
    batches = read(kit, cursor)
    assert subjects(batches) == ["known", "new"]
    assert all(message.imported for message in messages(batches))
    assert "2 messages" in batches[0].note
    assert not has_news(kit, batches[-1].cursor)
    kit.deliver(mail("later"))
    [message] = messages(read(kit, batches[-1].cursor))
    assert not message.imported


def test_refused_credentials_are_an_authentication_failure(kit: Kit) -> None:
    cursor = synced(kit)
    kit.revoke()
    with pytest.raises(AuthenticationFailed, match="credentials"):
        read(kit, cursor)


def test_being_throttled_is_not_an_authentication_failure(kit: Kit) -> None:
    with kit.throttled() as account, pytest.raises(Throttled):
        read(kit, Cursor(), account=account)


def test_a_connection_lost_in_the_middle_is_transient_and_loses_nothing(kit: Kit) -> None:
    cursor = synced(kit)
    for number in range(12):
        kit.deliver(mail(f"m{number:02d}", 30_000))
    limits = FetchLimits(batch_messages=3)
    taken: list[Batch] = []
    kit.drop_after(200_000)
    with pytest.raises(TransientError), kit.provider.open(kit.account) as mailbox:
        taken.extend(mailbox.batches(cursor, limits))
    kit.drop_after(None)
    with kit.provider.open(kit.account) as mailbox:
        half = list(islice(mailbox.batches(cursor, limits), 2))
    rest = read(kit, half[-1].cursor, limits)
    assert subjects([*half, *rest]) == [f"m{number:02d}" for number in range(12)]


@pytest.mark.parametrize("size_bytes", [0, 200, 1_500])
def test_a_connection_lost_early_is_transient_at_every_step(kit: Kit, size_bytes: int) -> None:
    kit.drop_after(size_bytes)
    with pytest.raises(TransientError):
        read(kit, Cursor())


def test_an_oversized_message_is_listed_as_refused_and_stops_nothing(kit: Kit) -> None:
    cursor = synced(kit)
    kit.deliver(mail("before"))
    kit.deliver(mail("huge", 400_000))
    kit.deliver(mail("after"))
    batches = read(kit, cursor, FetchLimits(message_bytes=300_000))
    refused = [message for message in messages(batches) if message.raw is None]
    assert [message.size_bytes > 300_000 for message in refused] == [True]
    assert "300000" in refused[0].refusal
    assert sorted(_subject(message) for message in messages(batches) if message.raw) == ["after", "before"]
    assert not has_news(kit, batches[-1].cursor)


def test_a_message_deleted_between_list_and_get_is_skipped(kit: Kit) -> None:
    cursor = synced(kit)
    for number in range(6):
        kit.deliver(mail(f"m{number}"))
    everything = subjects(read(kit, cursor))
    with kit.provider.open(kit.account) as mailbox:
        batches = mailbox.batches(cursor, FetchLimits(batch_messages=2))
        taken = [next(batches)]
        victim = next(subject for subject in everything if subject not in subjects(taken))
        kit.delete(victim)
        taken.extend(batches)
    assert subjects(taken) == [subject for subject in everything if subject != victim]
    assert not has_news(kit, taken[-1].cursor)


def test_mail_that_was_filed_before_it_was_read_is_no_news_for_ever(kit: Kit) -> None:
    cursor = synced(kit)
    kit.deliver(mail("stays"))
    kit.deliver(mail("filed"))
    kit.move_away("filed")
    batches = read(kit, cursor)
    assert subjects(batches) == ["stays"]
    assert not has_news(kit, batches[-1].cursor)
    kit.deliver(mail("came and went"))
    kit.move_away("came and went")
    after = read(kit, batches[-1].cursor)
    assert messages(after) == []
    assert not after or not has_news(kit, after[-1].cursor)


def test_mail_that_is_moved_in_is_news(kit: Kit) -> None:
    kit.deliver(mail("moved"))
    kit.move_away("moved")
    cursor = synced(kit)
    kit.move_back("moved")
    assert has_news(kit, cursor)
    assert subjects(read(kit, cursor)) == ["moved"]


def test_the_same_mail_in_two_inboxes_is_read_in_both(kit: Kit) -> None:
    other = kit.another()
    cursors = synced(kit), synced(other)
    for each in (kit, other):
        each.deliver(mail("to both"))
    assert subjects(read(kit, cursors[0])) == subjects(read(other, cursors[1])) == ["to both"]
    other.close()


def test_reading_marks_nothing_as_read(kit: Kit) -> None:
    cursor = synced(kit)
    for subject in ("one", "two"):
        kit.deliver(mail(subject))
    before = kit.unread()
    assert len(messages(read(kit, cursor))) == before == 2
    assert kit.unread() == before


def test_mail_in_the_spam_folder_says_so(kit: Kit) -> None:
    if kit.junk_account is None:
        pytest.skip("the wheel server has no spam folder")
    kit.deliver(mail("offer"), junk=True)
    kit.deliver(mail("order"))
    found = messages([*read(kit, Cursor(), account=kit.junk_account), *read(kit, Cursor())])
    assert {(_subject(message), message.in_spam_folder) for message in found} == {("offer", True), ("order", False)}


def test_a_connection_test_counts_what_is_there(kit: Kit) -> None:
    for subject in ("one", "two"):
        kit.deliver(mail(subject))
    with kit.provider.open(kit.account) as mailbox:
        assert mailbox.info().messages == 2


def listing(kit: Kit, since: datetime, until: datetime) -> list[Listed]:
    with kit.provider.open(kit.account) as mailbox:
        return list(mailbox.listing(since, until))


def span(*, hours: int) -> tuple[datetime, datetime]:
    """So many hours before now, and as many behind it."""
    now = datetime.now(UTC).replace(microsecond=0)
    return now - timedelta(hours=hours), now + timedelta(hours=hours)


def test_a_listing_has_the_keys_of_what_is_fetched_read_or_not(kit: Kit) -> None:
    cursor = synced(kit)
    for subject in ("one", "two", "three"):
        kit.deliver(mail(subject, 5_000))
    fetched = {message.key: message for message in messages(read(kit, cursor))}
    listed = listing(kit, *span(hours=1))
    assert {one.key for one in listed} == fetched.keys()
    assert len(listed) == 3
    assert all(one.size_bytes in (None, fetched[one.key].size_bytes) for one in listed)
    assert kit.unread() == 3


def test_a_listing_has_what_arrived_within_its_span_and_in_the_folder(kit: Kit) -> None:
    cursor = synced(kit)
    now = datetime.now(UTC).replace(microsecond=0)
    for subject, hours in (("before", 50), ("within", 30), ("after", 10)):
        kit.deliver(mail(subject), when=now - timedelta(hours=hours))
    kit.deliver(mail("filed"), when=now - timedelta(hours=30))
    kit.move_away("filed")
    keys = {message.key: _subject(message) for message in messages(read(kit, cursor))}
    found = listing(kit, now - timedelta(hours=40), now - timedelta(hours=20))
    assert [keys.get(one.key) for one in found] == ["within"]
    edge = listing(kit, now - timedelta(hours=30), now - timedelta(hours=10))
    assert [keys.get(one.key) for one in edge] == ["within"], "from its first second on, and before its last"


def test_an_empty_listing(kit: Kit) -> None:
    assert listing(kit, *span(hours=1)) == []


def test_a_listing_comes_in_pages(kit: Kit) -> None:
    for number in range(1100):
        kit.deliver(mail(f"m{number:04d}"))
    assert len({one.key for one in listing(kit, *span(hours=1))}) == 1100


def test_what_a_listing_names_comes_as_fetch_brings_it_and_the_cursor_stays(kit: Kit) -> None:
    cursor = synced(kit)
    for subject in ("one", "two", "gone"):
        kit.deliver(mail(subject, 3_000))
    fetched = {_subject(message): message for message in messages(read(kit, cursor))}
    wanted = listing(kit, *span(hours=1))
    kit.delete("gone")
    with kit.provider.open(kit.account) as mailbox:
        named = list(mailbox.named(wanted, cursor, FetchLimits(batch_messages=1)))
    assert [batch.cursor for batch in named if batch.messages] == [cursor] * 2
    for message in messages(named):
        same = fetched[_subject(message)]
        assert (message.key, message.raw, message.size_bytes) == (same.key, same.raw, same.size_bytes)
        assert message.imported
    assert subjects(named) == ["one", "two"]
    with kit.provider.open(kit.account) as mailbox:
        assert messages(mailbox.named([], cursor, LIMITS)) == []


def keys(kit: Kit, *subjects: str) -> tuple[Cursor, dict[str, str]]:
    """Messages that were delivered and read, by their keys; and the cursor behind them."""
    cursor = synced(kit)
    for subject in subjects:
        kit.deliver(mail(subject))
    batches = read(kit, cursor)
    return batches[-1].cursor, {_subject(message): message.key for message in messages(batches)}


def left(kit: Kit) -> set[str]:
    return {one.key for one in listing(kit, *span(hours=1))}


def test_one_message_is_put_into_the_trash_and_no_other(kit: Kit) -> None:
    cursor, known = keys(kit, "one", "two", "three")
    with kit.provider.open(kit.allow_removing()) as mailbox:
        assert mailbox.remove(known["two"]) is Removed.TRASHED
        assert mailbox.remove(known["two"]) is Removed.GONE
    assert left(kit) == {known["one"], known["three"]}
    assert (kit.in_trash("two"), kit.in_trash("one"), kit.in_trash("three")) == (True, False, False)
    assert not has_news(kit, cursor)
    assert messages(read(kit, cursor)) == []
    assert len(messages(read(kit, Cursor()))) == 2


def test_what_went_or_was_moved_away_is_gone_and_left_alone(kit: Kit) -> None:
    _, known = keys(kit, "deleted", "filed", "stays")
    kit.delete("deleted")
    kit.move_away("filed")
    with kit.provider.open(kit.allow_removing()) as mailbox:
        assert mailbox.remove(known["deleted"]) is Removed.GONE
        assert mailbox.remove(known["filed"]) is Removed.GONE
    assert left(kit) == {known["stays"]}
    kit.move_back("filed")
    assert len(left(kit)) == 2, "it is where its owner filed it"


def test_a_connection_lost_while_removing_is_transient_and_the_next_try_ends_it(kit: Kit) -> None:
    _, known = keys(kit, "one", "two")
    account = kit.allow_removing()
    kit.drop_after(200)
    with pytest.raises(TransientError), kit.provider.open(account) as mailbox:
        mailbox.remove(known["two"])
    kit.drop_after(None)
    with kit.provider.open(account) as mailbox:
        assert mailbox.remove(known["two"]) in (Removed.TRASHED, Removed.GONE)
    assert left(kit) == {known["one"]}
