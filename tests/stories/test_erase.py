"""What is erased is nowhere any more: not in a row, not in an object, and its mailbox can't bring it back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from inboxops.composition import canaries, correcting, erasing, intake
from inboxops.composition.world import World
from inboxops.core.corrections import Kind, Request
from inboxops.db.queries import sql
from inboxops.errors import InvalidInput
from inboxops.stories import files
from inboxops_lab.testing.mailserver import MailServer
from tests.sending.conftest import Desk, set_up
from tests.stories.conftest import Mailbox, mail
from tests.stories.test_large_files import large, link, read

SECRET = "the parcel of Wilhelmina"
ADDRESS = "wilhelmina@customer.example"
WITH_FILE = (
    f"From: Wilhelmina <{ADDRESS}>\r\nTo: support@acme.example\r\nSubject: {SECRET}\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n"
    "Message-ID: <w.file@customer.example>\r\nMIME-Version: 1.0\r\n"
    'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\n'
    f"{SECRET}\r\n--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=wilhelmina.pdf\r\n\r\n"
    "PDF of Wilhelmina\r\n--b--\r\n"
).encode()


def everything(world: World) -> str:
    """Every row of the application's database as text."""
    with world.database.transaction() as t:
        tables = [
            row["name"]
            for row in t.connection.execute(
                b"SELECT table_name::text AS name FROM information_schema.tables"
                b" WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
            )
        ]
        rows = [
            t.connection.execute(f"SELECT to_jsonb(x)::text AS text FROM {name} x".encode()).fetchall()
            for name in tables
        ]
    return "\n".join(row["text"] for table in rows for row in table)


def stored(world: World, tenant_id: int) -> bytes:
    """Every object of the tenant, unpacked where it is a pack."""
    import zstandard

    found = b""
    for key in world.objects.list(f"{tenant_id}/"):
        content = world.objects.get(key)
        found += key.encode() + content
        if key.endswith(".zst"):
            for frame in content.split(zstandard.FRAME_HEADER):
                try:
                    found += zstandard.ZstdDecompressor().decompress(zstandard.FRAME_HEADER + frame)
                except zstandard.ZstdError:
                    continue
    return found


@pytest.fixture
def desk(world: World, tenant: str, mail_server: MailServer) -> Iterator[Desk]:
    with set_up(world, tenant, mail_server) as made:
        yield made


def test_nothing_of_a_customer_is_left_and_others_keep_theirs(desk: Desk, world: World) -> None:
    box = desk.box
    box.deliver(
        WITH_FILE,
        mail("Of another", id="other", sender="ann@customer.example", body="a lamp"),
        mail("Re: Of another", answers="other", sender=ADDRESS, body=f"me too, {SECRET}"),
        mail(f"Spam of {SECRET}", sender=ADDRESS, more="X-Spam-Flag: YES"),
    )
    box.run()
    ((own,), (shared,)) = box.query("SELECT id FROM tickets WHERE inbox_id = %s ORDER BY id", box.inbox_id)
    accepted = desk.reply(int(str(own)), f"Dear Wilhelmina, {SECRET} is here.")
    assert desk.send(accepted) == "sent"
    correcting.correct(world, desk.tenant_id, Request(Kind.SPAM, "Ann", message_id=_first_message(box, int(str(own)))))
    assert SECRET.encode() in stored(world, desk.tenant_id)

    found = erasing.found(world, desk.tenant_id, ADDRESS)
    done = erasing.erase(world, desk.tenant_id, ADDRESS.title(), by="Ann")
    assert (len(found.messages), done.messages) == (3, 3)
    assert (done.mails, done.files, done.tickets) == (3, 1, 1)

    rows = everything(world)
    assert "ilhelmina" not in rows
    assert "ilhelmina" not in stored(world, desk.tenant_id).decode("utf-8", "replace")
    (left,) = desk.box.query(
        "SELECT id, (SELECT count(*) FROM messages m WHERE m.ticket_id = t.id) FROM tickets t WHERE inbox_id = %s",
        box.inbox_id,
    )
    assert left == (shared, 1)
    assert b"a lamp" in intake.raw_mail(world, _inbound_of(box, int(str(shared))))

    again = erasing.erase(world, desk.tenant_id, ADDRESS, by="Ann")
    assert (again.messages, again.mails) == (0, 0)


def test_a_file_in_a_pack_is_erased_and_others_keep_theirs(desk: Desk, world: World) -> None:
    box = desk.box
    erased, kept = large(), large()
    box.deliver(erased[1].replace(b"ann@customer.example", ADDRESS.encode()), kept[1])
    box.run()
    assert link(box) == kept[0]
    pack = str(box.query("SELECT DISTINCT storage_key FROM inbound WHERE inbox_id = %s", box.inbox_id)[0][0])
    ((first,),) = box.query("SELECT min(id) FROM attachments WHERE tenant_id = %s", desk.tenant_id)
    files.link(desk.tenant_id, int(str(first)), world.attachments, world.objects)
    assert stored(world, desk.tenant_id).count(erased[0]) == 2, "in the pack, and the copy that a link reaches"
    size = world.objects.size(pack)
    erasing.erase(world, desk.tenant_id, ADDRESS, by="Ann")
    assert not any(
        part in stored(world, desk.tenant_id) for part in (erased[0][at : at + 16] for at in range(0, 9000, 16))
    )
    assert world.objects.size(pack) == size
    assert (read(box), link(box)) == ([kept[0]], kept[0])
    ((number,),) = box.query("SELECT id FROM inbound WHERE inbox_id = %s AND state = 'persisted'", box.inbox_id)
    assert intake.raw_mail(world, int(str(number))) == kept[1]
    assert box.query("SELECT 1 FROM inbound WHERE state = 'erased' AND detached_offsets IS NOT NULL") == []


def test_the_mailbox_does_not_bring_back_what_was_erased(desk: Desk, world: World) -> None:
    desk.box.deliver(WITH_FILE)
    desk.box.run()
    erasing.erase(world, desk.tenant_id, ADDRESS, by="Ann")
    with world.database.transaction() as t:  # as after a restored cursor
        t.connection.execute(b"UPDATE inboxes SET imap_last_uid = 0 WHERE id = %s", (desk.box.inbox_id,))
    desk.box.deliver(mail("Another", id="another"))  # which names the pack that both would be in
    desk.box.run()
    assert desk.box.tickets() == [("Another", 1)]
    assert desk.box.states() == {"erased": 1, "persisted": 1}
    assert "ilhelmina" not in everything(world)
    assert b"ilhelmina" not in stored(world, desk.tenant_id)


def test_parked_mail_whose_sender_nobody_knows_is_told_of(desk: Desk, world: World) -> None:
    desk.box.deliver(mail("Unreadable"))
    intake.fetch(world, desk.box.inbox_id)
    [row] = world.inbound.stored(desk.box.inbox_id, after=0, limit=1)
    world.inbound.park(row.id, "reading it failed")
    assert erasing.found(world, desk.tenant_id, ADDRESS).unreadable == 1


def test_a_copy_of_our_answer_that_came_back_as_mail_goes_with_the_answer(desk: Desk, world: World) -> None:
    ticket = desk.ticket(sender=ADDRESS)
    assert desk.send(desk.reply(ticket, SECRET)) == "sent"
    desk.box.deliver(desk.taken[-1].raw)
    desk.box.run()
    states = "SELECT state, reason FROM inbound WHERE inbox_id = %s ORDER BY id"
    assert desk.box.query(states, desk.box.inbox_id)[1] == ("duplicate", "our own message")
    erasing.erase(world, desk.tenant_id, ADDRESS, by="Ann Agent")
    assert {state for state, _ in desk.box.query(states, desk.box.inbox_id)} == {"erased"}
    assert SECRET.encode() not in stored(world, desk.tenant_id)


def test_a_mailbox_of_our_own_is_no_customer(desk: Desk, world: World) -> None:
    for address in (desk.box.inbox.email_address, "nobody"):
        with pytest.raises(InvalidInput, match="no customer"):
            erasing.erase(world, desk.tenant_id, address, by="Ann")


def test_a_tenant_leaves_nothing_behind(desk: Desk, world: World, tenant: str) -> None:
    desk.box.deliver(WITH_FILE)
    desk.box.run()
    tenant_id = desk.tenant_id
    assert desk.send(desk.reply(_ticket(desk.box))) == "sent"
    world.api_keys.add(tenant_id, name="Ann", role="agent")
    canaries.send(world, desk.box.inbox_id)
    counts = erasing.erase_tenant(world, tenant)
    assert (counts["inboxes"], counts["tickets"], counts["messages"]) == (1, 1, 2)
    assert list(world.objects.list(f"{tenant_id}/")) == []
    with world.database.transaction() as t:
        tables = t.connection.execute(
            b"SELECT table_name::text AS name FROM information_schema.columns"
            b" WHERE table_schema = 'public' AND column_name = 'tenant_id'"
        ).fetchall()
        for table in tables:
            left = t.connection.execute(
                f"SELECT 1 FROM {table['name']} WHERE tenant_id = %s".encode(), (tenant_id,)
            ).fetchone()
            assert left is None, table["name"]
    with pytest.raises(InvalidInput, match="no tenant"):
        world.inboxes.tenant_id(tenant)


def test_no_table_of_tenants_is_forgotten(world: World) -> None:
    with world.database.transaction() as t:
        tables = t.connection.execute(
            b"SELECT table_name::text AS name FROM information_schema.columns"
            b" JOIN information_schema.tables USING (table_schema, table_name)"
            b" WHERE table_schema = 'public' AND column_name = 'tenant_id' AND table_type = 'BASE TABLE'"
        ).fetchall()
    deleted = sql("erase_tenant").decode()
    assert [table["name"] for table in tables if f"DELETE FROM {table['name']} " not in deleted] == []


def _ticket(box: Mailbox) -> int:
    ((ticket,),) = box.query("SELECT id FROM tickets WHERE inbox_id = %s", box.inbox_id)
    return int(str(ticket))


def _first_message(box: Mailbox, ticket: int) -> int:
    return int(str(box.query("SELECT min(id) FROM messages WHERE ticket_id = %s", ticket)[0][0]))


def _inbound_of(box: Mailbox, ticket: int) -> int:
    return int(str(box.query("SELECT inbound_id FROM messages WHERE ticket_id = %s", ticket)[0][0]))
