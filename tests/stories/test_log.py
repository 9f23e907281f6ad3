"""What a task's log says of mail: enough for a person, bounded, and nothing of what is in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from inboxops.composition import intake
from inboxops.stories import telling
from inboxops.stories.telling import Telling, hidden
from tests.stories.conftest import Mailbox, mail

SECRET = "my account number is 4711"


@pytest.fixture
def lines(mailbox: Mailbox) -> Iterator[list[dict[str, Any]]]:
    structlog.reset_defaults()  # a command run in this process may have kept warnings alone
    with capture_logs() as captured:
        yield captured  # type: ignore[misc]


def events(lines: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == name]


def test_the_stages_tell_what_came_and_what_became_of_it(mailbox: Mailbox, lines: list[dict[str, Any]]) -> None:
    mailbox.deliver(
        mail("Where is it?", sender="Rita <rita@buyer.example>", body=SECRET),
        mail("You won", more="X-Spam-Flag: YES", body=SECRET),
    )
    mailbox.run()
    [began], [durable], [ended] = (events(lines, name) for name in ("fetch_began", "batch_durable", "fetch_ended"))
    assert (began["kind"], began["behind"]) == ("imap", "nothing read yet")
    assert durable["new"] == 2
    assert "last_uid=" in durable["read_to"]
    assert (ended["stored"], ended["refused"]) == (2, 0)
    assert [line["bytes"] > 0 for line in events(lines, "mail_stored")] == [True, True]
    [filed], [aside] = events(lines, "mail_filed"), events(lines, "mail_set_aside")
    assert (filed["ticket"], filed["verdict"], filed["placed_by"], filed["by"]) == (1, "human", "new", "from")
    assert (aside["state"], aside["rule"]) == ("listed", "spam.scanner")
    assert aside["why"]


def test_neither_words_nor_addresses_nor_passwords_are_in_it(mailbox: Mailbox, lines: list[dict[str, Any]]) -> None:
    mailbox.deliver(mail("Very private subject", sender="Rita <rita@buyer.example>", body=SECRET))
    mailbox.run()
    said = repr(lines)
    assert not re.search(r"4711|private|rita@|buyer|secret password", said), said
    [filed] = events(lines, "mail_filed")
    assert filed["customer"] == hidden("Rita@Buyer.example", mailbox.world.signing_key.current)
    assert filed["customer"] != hidden("rita@buyer.example", b"another installation's")


def test_a_setting_shows_addresses(mailbox: Mailbox, lines: list[dict[str, Any]]) -> None:
    mailbox.world.settings = mailbox.world.settings.model_copy(update={"log_addresses": True})
    mailbox.deliver(mail("Hello", sender="rita@buyer.example"))
    mailbox.run()
    assert events(lines, "mail_filed")[0]["customer"] == "rita@buyer.example"


def test_mail_that_is_refused_or_parked_says_what_to_do(
    mailbox: Mailbox, lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox.deliver(mail("One"))
    intake.fetch(mailbox.world, mailbox.inbox_id)
    [(key,)] = mailbox.query("SELECT storage_key FROM inbound WHERE inbox_id = %s", mailbox.inbox_id)
    mailbox.world.objects.delete([str(key)])
    intake.file(mailbox.world, mailbox.inbox_id)
    [parked] = events(lines, "mail_parked")
    assert parked["log_level"] == "warning"
    assert parked["to_do"].startswith("inboxops inbound reparse ")


def test_many_messages_are_told_up_to_a_bound_and_the_rest_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "MOST", 3)
    with capture_logs() as captured:
        told = Telling("mail_filed")
        for number in range(10):
            told(inbound=number)
        told.close()
    assert [line["event"] for line in captured] == ["mail_filed"] * 3 + ["mail_filed_and_more"]
    assert captured[-1]["count"] == 7
