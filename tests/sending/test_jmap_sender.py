"""What JMAP adds to the contract of senders: drafts that come and go, copies that prove something, identities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from inboxops.errors import InvalidInput, MessageRefused, OutcomeUnknown, TransientError
from inboxops.ports import Trace
from inboxops_lab.testing.jmapserver import Cyrus
from inboxops_lab.testing.processes import wait_until
from tests.sending.sender_kits import JmapSenderKit
from tests.sending.test_senders import ENVELOPE, OURS, SMALL, send

SINCE = datetime.now(UTC) - timedelta(hours=1)


@pytest.fixture
def jmap(jmap_server: Cyrus) -> Iterator[JmapSenderKit]:
    kit = JmapSenderKit(jmap_server)
    yield kit
    kit.close()


def test_the_server_files_the_copy_under_sent_as_read(jmap: JmapSenderKit) -> None:
    send(jmap)
    client = jmap.box.client
    assert (len(client.ids("sent", hasKeyword="$seen")), jmap.drafts()) == (1, 0)
    assert jmap.sender.find_sent(jmap.account, OURS, since=SINCE) == Trace(True)


def test_a_message_in_doubt_is_found_among_what_was_sent(jmap: JmapSenderKit) -> None:
    assert jmap.sender.find_sent(jmap.account, OURS, since=SINCE) == Trace(None)
    jmap.lose_the_answer()
    with pytest.raises(OutcomeUnknown):
        send(jmap)
    wait_until("Cyrus to file the copy", lambda: jmap.sender.find_sent(jmap.account, OURS, since=SINCE).sent is True)


def test_a_draft_that_did_not_leave_is_taken_back(jmap: JmapSenderKit) -> None:
    jmap.refuse()
    with pytest.raises(MessageRefused, match="we don't like it"):
        send(jmap)
    assert jmap.drafts() == 0


def test_a_draft_that_a_killed_run_left_is_no_sent_mail_and_is_replaced(jmap: JmapSenderKit) -> None:
    jmap.box.client.add(SMALL, "drafts", keywords=("$draft",))
    assert jmap.sender.find_sent(jmap.account, OURS, since=SINCE) == Trace(None)
    send(jmap)
    assert (jmap.drafts(), len(jmap.arrived())) == (0, 1)


def test_a_recipient_that_is_refused_leaves_nothing_behind(jmap: JmapSenderKit) -> None:
    jmap.submission.refuse["ann@customer.example"] = "550 5.1.1 no such user"
    with pytest.raises(MessageRefused):
        send(jmap)
    assert (jmap.arrived(), jmap.drafts()) == ([], 0)


def test_a_message_over_what_the_server_lets_upload_is_refused_with_the_limit(jmap: JmapSenderKit) -> None:
    """RFC 8620, 2: maxSizeUpload."""
    with pytest.raises(MessageRefused, match="51200000 at most"):
        send(jmap, SMALL + b"x" * 51_200_000)
    assert jmap.drafts() == 0


def test_a_relay_that_asks_for_patience_is_no_refusal(jmap: JmapSenderKit) -> None:
    jmap.submission.answer = "451 4.7.1 slow down"
    with pytest.raises(TransientError, match="slow down"):
        send(jmap)
    assert jmap.drafts() == 0


def test_an_address_that_is_not_ours_is_told_with_those_that_are(jmap: JmapSenderKit) -> None:
    with pytest.raises(InvalidInput, match=r"support@acme\.example, not as ceo@acme\.example"):
        jmap.sender.send(
            jmap.account, SMALL, replace(ENVELOPE, sender="ceo@acme.example"), commit=lambda: None, thread_id=None
        )
    assert jmap.sender.check(jmap.account).startswith("localhost:")
