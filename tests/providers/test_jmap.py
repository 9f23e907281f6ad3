"""What JMAP adds to the contract of providers: how a server is found, what a login looks like, and mail listed twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from inboxops.core.model import Cursor, Removed
from inboxops.errors import InvalidInput, MailboxNotFound, ServerRefused
from inboxops.ports import Account
from inboxops_lab.testing.jmapserver import Cyrus
from tests.providers.jmap_kit import FOLDER, JmapKit, answering
from tests.providers.test_contract import keys, left, mail, messages, read, subjects, synced


@pytest.fixture
def jmap(jmap_server: Cyrus) -> Iterator[JmapKit]:
    kit = JmapKit(jmap_server)
    yield kit
    kit.close()


def with_connection(kit: JmapKit, **changes: object) -> Account:
    return replace(kit.account, connection={**kit.account.connection, **changes})


def test_a_message_whose_flags_changed_comes_again_under_its_own_key(jmap: JmapKit) -> None:
    jmap.deliver(mail("known"))
    first = read(jmap, Cursor())
    email = jmap.client.with_subject("known", FOLDER)
    jmap.client.call("Email/set", update={email: {"keywords/$seen": True}})
    again = read(jmap, first[-1].cursor)
    assert {message.key for message in messages(again)} <= {message.key for message in messages(first)}


def has_news(kit: JmapKit, cursor: Cursor, account: Account | None = None) -> bool:
    with kit.provider.open(account or kit.account) as mailbox:
        return mailbox.has_news(cursor)


def test_a_server_that_was_put_back_to_an_older_state_is_read_again(jmap: JmapKit) -> None:
    """Cyrus answers a state that it has not reached yet with "nothing new"."""
    jmap.deliver(mail("known"))
    cursor = synced(jmap)
    assert cursor.delta_token is not None
    mailbox_id, _, state = cursor.delta_token.partition(" ")
    modseq, _, rest = state.partition("%3A")
    ahead = Cursor(delta_token=f"{mailbox_id} {int(modseq) + 50}%3A{rest}")
    jmap.deliver(mail("new"))
    assert has_news(jmap, ahead)
    batches = read(jmap, ahead)
    assert subjects(batches) == ["known", "new"]
    assert "put back to an older state" in batches[0].note
    assert not has_news(jmap, batches[-1].cursor)


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b"")], ids=["gone", "empty"])
def test_a_message_that_is_listed_and_not_delivered_is_refused_and_not_taken_for_one_that_went(
    jmap: JmapKit, damage: Callable[[Path], object]
) -> None:
    """Cyrus answers 404 where the file of a message is damaged away and its index still has it."""
    cursor = synced(jmap)
    for subject in ("before", "lost", "after"):
        jmap.deliver(mail(subject))
    for file in (jmap.server.folder / "spool").rglob("[0-9]*."):  # also what was uploaded
        if b"<lost@example.com>" in file.read_bytes():
            damage(file)
    batches = read(jmap, cursor)
    [refused] = [message for message in messages(batches) if message.raw is None]
    assert refused.key == jmap.client.with_subject("lost", FOLDER)
    assert "does not deliver" in refused.refusal
    assert len(messages(batches)) == 3
    assert not has_news(jmap, batches[-1].cursor)


@pytest.mark.parametrize("gone", [1, 4], ids=["one", "more than are left"])
def test_a_message_that_goes_while_a_mailbox_is_listed_leaves_no_other_out(
    jmap: JmapKit, gone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 8620, 5.5: a position is one of the results as they are now."""
    monkeypatch.setattr("inboxops.providers.jmap_session.PAGE", 4)
    now = datetime.now(UTC)
    for number in range(10):
        jmap.deliver(mail(f"m{number}"), when=now - timedelta(minutes=number + 1))
    with jmap.provider.open(jmap.account) as mailbox:
        listed = mailbox.listing(now - timedelta(hours=1), now)
        found = [next(listed)]
        for number in range(gone):
            jmap.delete(f"m{number}")
        found += listed
    assert len(found) == len({one.key for one in found}) == 10


def test_an_inbox_that_is_to_read_another_mailbox_reads_it(jmap: JmapKit) -> None:
    cursor = synced(jmap)
    elsewhere = with_connection(jmap, folder="Junk")
    jmap.deliver(mail("there"), junk=True)
    assert has_news(jmap, cursor, elsewhere)
    batches = read(jmap, cursor, account=elsewhere)
    assert subjects(batches) == ["there"]
    assert not has_news(jmap, batches[-1].cursor, elsewhere)


def test_a_mailbox_is_found_by_its_role_or_its_name_and_others_are_named(jmap: JmapKit) -> None:
    for folder, name in (("inbox", "Inbox"), ("JUNK", "Junk"), ("filed", "Filed")):
        with jmap.provider.open(with_connection(jmap, folder=folder)) as mailbox:
            assert mailbox.info().folder == name
    with (
        pytest.raises(MailboxNotFound, match="Drafts, Filed, Inbox, Junk, Sent, Support"),
        jmap.provider.open(with_connection(jmap, folder="Nowhere")) as mailbox,
    ):
        mailbox.info()


def test_the_session_is_found_from_the_host_alone(jmap: JmapKit) -> None:
    """RFC 8620, 2.2: by /.well-known/jmap, from where Cyrus sends on to /jmap/."""
    with jmap.provider.open(with_connection(jmap, url="")) as mailbox:
        assert mailbox.info().messages == 0
    assert synced(jmap) != Cursor()


def test_a_login_is_not_shown_to_another_host_than_the_one_that_was_named(jmap: JmapKit) -> None:
    with answering(jmap.server, 302, {"Location": "https://elsewhere.example/jmap"}) as url:
        account = with_connection(jmap, url=url)
        with pytest.raises(ServerRefused, match=r"elsewhere\.example.*--url"), jmap.provider.open(account) as mailbox:
            mailbox.info()


def test_a_password_never_goes_over_an_open_line(jmap: JmapKit) -> None:
    account = with_connection(jmap, url="http://localhost/jmap/")
    with pytest.raises(InvalidInput, match="https"), jmap.provider.open(account) as mailbox:
        mailbox.info()


def test_a_server_that_speaks_something_else_is_told_from_a_mailbox_without_mail(jmap: JmapKit) -> None:
    with answering(jmap.server, 200, {}, b"<html>Welcome</html>") as url:
        account = with_connection(jmap, url=url)
        with pytest.raises(ServerRefused, match="Is this a JMAP server"), jmap.provider.open(account) as mailbox:
            mailbox.info()


def test_a_message_goes_for_good_where_there_is_no_trash_and_stays_where_it_is_filed_elsewhere(jmap: JmapKit) -> None:
    _, known = keys(jmap, "one", "two", "three")
    filed = jmap.client.mailbox("Filed")
    jmap.client.call("Email/set", update={known["two"]: {f"mailboxIds/{filed}": True}})
    with jmap.provider.open(jmap.account) as mailbox:
        assert mailbox.remove(known["one"]) is Removed.DELETED
        assert mailbox.remove(known["two"]) is Removed.DELETED
        assert mailbox.remove(known["one"]) is Removed.GONE
    assert left(jmap) == {known["three"]}
    assert jmap.client.call("Email/get", ids=[known["one"]])["notFound"] == [known["one"]]
    assert jmap.client.with_subject("two", "Filed") == known["two"]
