"""A certificate finds whatever is not where it should be, puts right what can be, and calls nothing missing that is not."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from inboxops.composition import certifying, correcting, erasing, intake, upkeep
from inboxops.composition.world import World
from inboxops.core.corrections import Kind, Request
from inboxops.core.inbox import Inbox
from inboxops.core.keys import pack_digest
from inboxops.core.signing import SigningKey
from inboxops.db.certificate import CertificateStore
from inboxops.stories.certify_mailbox import Door
from inboxops.stories.housekeep import Retention, housekeep
from inboxops_lab.testing.mailserver import MailServer
from tests.receiver import Receiver
from tests.sending.conftest import Desk, set_up
from tests.stories.conftest import Mailbox, mail
from tests.stories.test_large_files import as_before, link

FILE = base64.encodebytes(random.Random(1).randbytes(40_000)).replace(b"\n", b"\r\n")
WITH_FILE = (
    b"From: rosamunde@customer.example\r\nTo: support@acme.example\r\nSubject: A file\r\nMessage-ID: <file@customer.example>\r\n"
    b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nHere.\r\n--b\r\n'
    b"Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment\r\n\r\n"
    + FILE
    + b"--b--\r\n"
)


@pytest.fixture
def desk(world: World, tenant: str, mail_server: MailServer) -> Iterator[Desk]:
    with set_up(world, tenant, mail_server) as made:
        yield made


@pytest.fixture
def box(mailbox: Mailbox) -> Mailbox:
    """An inbox that is being read, with four mails in it."""
    begin(mailbox)
    mailbox.deliver(
        mail("One", id="one"),
        mail("Two"),
        mail("Spam", more="X-Spam-Flag: YES"),
        mail("Re: One", answers="one"),
        WITH_FILE,
    )
    mailbox.run()
    return mailbox


def begin(box: Mailbox, *, days: int = 3) -> None:
    """The inbox's first cursor, as of some days ago."""
    intake.fetch(box.world, box.inbox_id)
    box.query(
        "UPDATE inboxes SET first_read_at = now() - make_interval(days => %s) WHERE id = %s RETURNING 1",
        days,
        box.inbox_id,
    )


def certify(
    box: Mailbox,
    *,
    world: World | None = None,
    later: timedelta = timedelta(),
    door: Callable[[Inbox], Door] | None = None,
) -> dict[str, Any]:
    """What the certificate says that is made in an hour, when all that came now is looked at. door: as in `certifying.certify`."""
    tenant_id = box.inbox.tenant_id
    now = datetime.now(UTC) + timedelta(hours=1) + later
    certifying.certify(world or box.world, tenant_id, now=now, door=door)
    return certifying.body(certifying.of_day(box.world, tenant_id, None))


def found(body: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(one["kind"], one["repaired"]) for one in body["findings"]]


def pack(box: Mailbox, subject: str = "Two") -> str:
    """The key of the pack that a mail is in."""
    rows = box.query("SELECT storage_key FROM inbound WHERE inbox_id = %s AND subject = %s", box.inbox_id, subject)
    return str(rows[0][0])


def put(box: Mailbox, key: str, content: bytes) -> None:
    box.world.objects.put(key, content, content_type="application/octet-stream")


def test_all_is_accounted_for_and_what_follows_is_chained(box: Mailbox) -> None:
    first = certify(box)
    assert (first["mails"], first["unaccounted"], first["findings"], first["previous"]) == (5, 0, [], "")
    assert first["inboxes"][0]["listed"] == 5
    assert first["packs_read"] == 1
    assert first["objects"] == 1, "one pack, and the file, which is the attachment, in it"
    box.deliver(mail("Three"))
    box.run()
    second = certify(box)
    assert (second["mails"], second["unaccounted"], second["number"]) == (6, 0, 2)
    made = certifying.of_day(box.world, box.inbox.tenant_id, None)
    assert second["previous"] != made.digest
    assert certifying.verify(box.world, box.inbox.tenant_id) == (2, [])


def test_a_mail_only_at_the_provider_is_fetched_and_filed(box: Mailbox) -> None:
    ((key,),) = box.query(
        "DELETE FROM messages WHERE inbox_id = %s AND subject = 'Two' RETURNING inbound_id", box.inbox_id
    )
    box.query("DELETE FROM inbound WHERE id = %s RETURNING 1", key)
    body = certify(box)
    assert ("mail_missing", True) in found(body)
    intake.file(box.world, box.inbox_id)
    assert box.query("SELECT count(*) FROM messages WHERE inbox_id = %s AND subject = 'Two'", box.inbox_id) == [(1,)]
    assert ("mail_missing", True) not in found(certify(box)), "it is here now"


def test_mail_that_is_still_to_be_read_is_none_that_is_missing(box: Mailbox) -> None:
    box.deliver(mail("Not polled yet"))
    body = certify(box)
    assert (found(body), body["mails"]) == ([], 6)


def test_a_mail_that_goes_while_it_is_looked_for_is_none_that_is_missing(
    box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.query("DELETE FROM inbound WHERE inbox_id = %s AND state = 'listed' RETURNING 1", box.inbox_id)

    def fetch(world: World, inbox_id: int, *, by: str, fetch: Callable[..., Any] = intake.fetch) -> Any:
        with box.server.client(box.user) as client:
            client.select_folder("INBOX")
            client.delete_messages(client.search(["SUBJECT", "Spam"]))
            client.expunge()
        return fetch(world, inbox_id, by=by)

    monkeypatch.setattr(intake, "fetch", fetch)
    assert found(certify(box)) == []


def test_a_row_in_two_places_and_one_in_none(box: Mailbox) -> None:
    box.query(
        "INSERT INTO messages (tenant_id, inbox_id, ticket_id, inbound_id, direction, type, message_id_header)"
        " SELECT tenant_id, inbox_id, ticket_id, inbound_id, direction, type, 'again' FROM messages"
        " WHERE inbox_id = %s AND subject = 'Two' RETURNING 1",
        box.inbox_id,
    )
    box.query(
        "UPDATE inbound SET state = 'persisted', message_id = NULL WHERE inbox_id = %s AND state = 'listed' RETURNING 1",
        box.inbox_id,
    )
    assert found(certify(box)) == [("mail_doubled", False), ("mail_nowhere", False)]


def as_owner(box: Mailbox, statement: str) -> None:
    """The role of tasks owns no table."""
    with psycopg.connect(box.world.settings.owner_dsn) as owner:
        owner.execute(statement.encode())


def test_one_mail_in_two_rows(box: Mailbox) -> None:
    """As a damaged index lets them be."""
    as_owner(box, "ALTER TABLE inbound DROP CONSTRAINT inbound_inbox_id_provider_key_key")
    try:
        with box.world.database.transaction() as t:
            t.connection.execute(
                b"INSERT INTO inbound (tenant_id, inbox_id, provider_key, state, storage_key, storage_offset, storage_length,"
                b" size_bytes, received_at) SELECT tenant_id, inbox_id, provider_key, 'listed', storage_key, storage_offset,"
                b" storage_length, size_bytes, received_at FROM inbound WHERE inbox_id = %s AND state = 'listed'",
                (box.inbox_id,),
            )
        assert found(certify(box)) == [("mail_doubled", False)]
    finally:
        box.query("DELETE FROM inbound WHERE inbox_id = %s AND state = 'listed' RETURNING 1", box.inbox_id)
        as_owner(
            box, "ALTER TABLE inbound ADD CONSTRAINT inbound_inbox_id_provider_key_key UNIQUE (inbox_id, provider_key)"
        )


def test_a_pack_that_is_gone_and_one_that_is_too_short(box: Mailbox) -> None:
    key = pack(box)
    content = box.world.objects.get(key)
    put(box, key, content[:-10])
    assert {"object_length", "object_altered"} == {kind for kind, _ in found(certify(box))}
    box.world.objects.delete([key])
    assert found(certify(box)) == [("object_missing", False)]
    put(box, key, content)
    assert found(certify(box)) == []


def test_a_pack_that_was_altered(box: Mailbox) -> None:
    key = pack(box)
    content = bytearray(box.world.objects.get(key))
    content[20] ^= 1
    put(box, key, bytes(content))
    (finding,) = certify(box)["findings"]
    assert finding["kind"] == "object_altered"
    assert finding["inbox"] == "support"
    assert "backup" in finding["to_do"]


@pytest.mark.parametrize("at", ["begin", "middle", "end"])
def test_a_file_in_a_pack_that_was_altered(box: Mailbox, at: str) -> None:
    key = pack(box)
    content = box.world.objects.get(key)
    begin = content.index(base64.decodebytes(FILE))
    position = {"begin": begin, "middle": begin + 20_000, "end": len(content) - 1}[at]
    put(box, key, content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
    (finding,) = certify(box)["findings"]
    assert (finding["kind"], "not what was stored" in finding["detail"]) == ("object_altered", True)
    put(box, key, content)
    assert found(certify(box)) == []


def test_a_pack_that_lacks_the_end_of_a_file(box: Mailbox) -> None:
    key = pack(box)
    content = box.world.objects.get(key)
    put(box, key, content[:-1])
    assert {"object_length", "object_altered"} == {kind for kind, _ in found(certify(box))}


def test_a_link_to_a_file_in_a_pack_and_the_copy_that_goes_again_are_no_findings(box: Mailbox) -> None:
    assert link(box) == base64.decodebytes(FILE)
    assert found(certify(box)) == []
    box.world.objects.delete([key for key in box.world.objects.list(f"{box.inbox.tenant_id}/") if "/raw-" in key])
    assert found(certify(box)) == []


@pytest.mark.parametrize("fault", ["gone", "altered", "longer"])
def test_a_file_that_stands_apart_from_its_mail(box: Mailbox, fault: str) -> None:
    as_before(box)
    ((tenant_id, id_),) = box.query(
        "SELECT tenant_id, reserved_message_id FROM inbound WHERE inbox_id = %s AND subject = 'A file'", box.inbox_id
    )
    key = f"{tenant_id}/{id_}/raw-00"
    content = box.world.objects.get(key)
    if fault == "gone":
        box.world.objects.delete([key])
    else:
        put(box, key, content + b"x" if fault == "longer" else b"y" + content[1:])
    kinds = {kind for kind, _ in found(certify(box))}
    assert (
        kinds
        == {
            "gone": {"object_missing"},
            "altered": {"object_altered"},
            "longer": {"object_length"},
        }[fault]
    )


def test_a_number_used_twice_and_one_that_is_missing(box: Mailbox) -> None:
    tenant_id = box.inbox.tenant_id
    assert certify(box)["last_ticket"] == 3
    as_owner(box, "ALTER TABLE tickets DROP CONSTRAINT tickets_tenant_id_ticket_number_key")
    try:
        box.query(
            "UPDATE tickets SET ticket_number = 3 WHERE tenant_id = %s AND ticket_number = 2 RETURNING 1", tenant_id
        )
        body = certify(box)
        assert [(one["kind"], one["key"]) for one in body["findings"]] == [
            ("number_doubled", "#3"),
            ("number_missing", "#2"),
        ]
        assert certifying.of_day(box.world, tenant_id, None).unaccounted == {str(box.inbox_id): 2}
    finally:
        box.query(
            "UPDATE tickets SET ticket_number = 2 WHERE id = (SELECT min(id) FROM tickets WHERE tenant_id = %s"
            " AND ticket_number = 3) RETURNING 1",
            tenant_id,
        )
        as_owner(
            box,
            "ALTER TABLE tickets ADD CONSTRAINT tickets_tenant_id_ticket_number_key UNIQUE (tenant_id, ticket_number)",
        )
    assert found(certify(box)) == []


def test_what_left_is_in_the_sent_folder_or_named(desk: Desk) -> None:
    begin(desk.box)
    accepted = desk.reply(desk.ticket())
    assert desk.send(accepted) == "sent"
    body = certify(desk.box)
    assert (body["sent"], found(body)) == (1, [])
    with desk.box.server.client(desk.box.user) as client:
        client.select_folder("Sent")
        client.delete_messages(client.search())
        client.expunge()
    (finding,) = certify(desk.box)["findings"]
    assert finding["kind"] == "not_in_sent"
    assert finding["key"] == desk.row(accepted.message_id)["message_id_header"]


def test_a_copy_without_a_row_is_named_and_a_persons_own_mail_is_not(desk: Desk) -> None:
    begin(desk.box)
    accepted = desk.reply(desk.ticket())
    assert desk.send(accepted) == "sent"
    with desk.box.server.client(desk.box.user) as client:
        client.append("Sent", mail("Written by hand", sender="support@acme.example"))
    assert found(certify(desk.box)) == []
    desk.box.query("DELETE FROM messages WHERE id = %s RETURNING 1", accepted.message_id)
    assert found(certify(desk.box)) == [("only_in_sent", False)]


def test_a_copy_settles_a_message_that_was_in_doubt(desk: Desk) -> None:
    begin(desk.box)
    accepted = desk.reply(desk.ticket())
    assert desk.send(accepted) == "sent"
    desk.box.query(
        "UPDATE messages SET send_status = 'unknown', sent_at = NULL WHERE id = %s RETURNING 1", accepted.message_id
    )
    assert found(certify(desk.box)) == [("sent_unrecorded", True)]
    assert desk.row(accepted.message_id)["send_status"] == "sent"
    assert found(certify(desk.box)) == []


def test_what_was_erased_is_counted_and_not_named(desk: Desk, world: World) -> None:
    begin(desk.box)
    desk.box.deliver(WITH_FILE, mail("Of another"))
    desk.box.run()
    ((ticket,),) = desk.box.query(
        "SELECT id FROM tickets WHERE inbox_id = %s AND subject = 'A file'", desk.box.inbox_id
    )
    assert desk.send(desk.reply(int(str(ticket)))) == "sent"
    before = certify(desk.box)
    assert (before["erased"], before["erased_tickets"]) == (0, 0)
    erasing.erase(world, desk.tenant_id, "rosamunde@customer.example", by="Ann")
    body = certify(desk.box)
    assert (body["findings"], body["erased"], body["erased_tickets"]) == ([], 1, 1)
    assert base64.decodebytes(FILE)[:100] not in b"".join(
        map(world.objects.get, world.objects.list(f"{desk.tenant_id}/"))
    )
    assert "osamunde" not in certifying.of_day(world, desk.tenant_id, None).body
    key = str(
        desk.box.query(
            "SELECT storage_key FROM inbound WHERE inbox_id = %s AND subject = 'Of another'", desk.box.inbox_id
        )[0][0]
    )
    content = bytearray(world.objects.get(key))
    assert pack_digest(key)
    at = next(at for at, byte in enumerate(content) if byte and at > content.index(b"\0" * 12))
    content[at + 20] ^= 1
    put(desk.box, key, bytes(content))
    assert found(certify(desk.box)) == [("object_altered", False)], "what stands beside an erased mail is looked at"


def test_what_went_by_its_age_is_not_named(box: Mailbox) -> None:
    world = World(box.world.settings.model_copy(update={"keep_listed_days": 1}))
    box.server.append(box.user, mail("Old spam", more="X-Spam-Flag: YES"), when=datetime.now(UTC) - timedelta(days=2))
    box.run()
    box.query(
        "UPDATE inbound SET updated_at = now() - interval '2 days', created_at = now() - interval '2 days'"
        " WHERE inbox_id = %s AND subject = 'Old spam' RETURNING 1",
        box.inbox_id,
    )
    housekeep(
        world.leftovers,
        world.outbox,
        world.replays,
        world.canaries,
        world.objects,
        Retention(1, 7, 30),
        now=datetime.now(UTC),
    )
    assert box.query("SELECT 1 FROM inbound WHERE inbox_id = %s AND subject = 'Old spam'", box.inbox_id) == []
    assert found(certify(box, world=world)) == []
    world.close()


def test_what_people_put_right_is_where_it_should_be(box: Mailbox) -> None:
    tenant_id = box.inbox.tenant_id
    rows = dict(box.query("SELECT subject, id FROM messages WHERE inbox_id = %s", box.inbox_id))
    tickets = dict(box.query("SELECT subject, id FROM tickets WHERE inbox_id = %s", box.inbox_id))
    message, to = int(str(rows["Re: One"])), int(str(tickets["Two"]))
    split = correcting.correct(box.world, tenant_id, Request(Kind.SPLIT, "Ann", message_id=message))
    correcting.undo(box.world, tenant_id, split["id"], by="Ann")
    correcting.correct(box.world, tenant_id, Request(Kind.MOVE, "Ann", message_id=message, to_ticket_id=to))
    correcting.correct(box.world, tenant_id, Request(Kind.SPAM, "Ann", message_id=message))
    [spam] = box.world.inbound.listed(tenant=box.inbox.tenant, states=["listed"])
    let_out = correcting.correct(box.world, tenant_id, Request(Kind.NOT_SPAM, "Ann", inbound_id=spam["id"]))
    assert found(certify(box)) == []
    intake.file(box.world, box.inbox_id)
    correcting.undo(box.world, tenant_id, let_out["id"], by="Ann")
    assert found(certify(box)) == []


def test_an_inbox_that_cannot_be_asked_stops_nothing_and_is_asked_for_the_whole_time_later(box: Mailbox) -> None:
    certify(box)
    box.world.inboxes.pause(box.inbox_id, paused=True)
    box.deliver(mail("While it was paused"))
    body = certify(box)
    assert body["inboxes"][0]["skipped"] == "paused"
    before = box.query("SELECT certified_until FROM inboxes WHERE id = %s", box.inbox_id)
    box.world.inboxes.pause(box.inbox_id, paused=False)
    body = certify(box, later=timedelta(seconds=5))
    assert (body["inboxes"][0]["skipped"], body["inboxes"][0]["listed"], found(body)) == ("", 6, [])
    assert box.query("SELECT certified_until FROM inboxes WHERE id = %s", box.inbox_id) > before


def test_a_server_that_is_away_is_told_and_stops_nothing(box: Mailbox) -> None:
    box.query("UPDATE inboxes SET connection = connection || '{\"port\": 1}' WHERE id = %s RETURNING 1", box.inbox_id)
    body = certify(box)
    assert "localhost" in body["inboxes"][0]["skipped"]
    assert (body["mails"], found(body)) == (5, [])


def test_admins_are_told_once_and_when_it_is_over(desk: Desk, receiver: Receiver) -> None:
    begin(desk.box)
    desk.ticket()
    upkeep.tell(desk.world, desk.tenant_id, mail="", url=receiver.url, kinds=["mail_unaccounted"])
    ((key,),) = desk.box.query("SELECT storage_key FROM inbound WHERE inbox_id = %s", desk.box.inbox_id)
    content = desk.world.objects.get(str(key))
    desk.world.objects.delete([str(key)])
    for _ in range(2):
        certify(desk.box)
        upkeep.notify(desk.world)
    assert receiver.told == [("mail_unaccounted", False)]
    (notice,) = json.loads(receiver.taken[0][1])["data"]["notices"]
    assert "1 findings of certificate 1 of" in notice["detail"]
    assert f"`inboxops certificate show --tenant {desk.box.inbox.tenant}`" in notice["fix"]
    put(desk.box, str(key), content)
    certify(desk.box)
    upkeep.notify(desk.world)
    assert receiver.told == [("mail_unaccounted", False), ("mail_unaccounted", True)]


def tamper(box: Mailbox, change: str) -> list[str]:
    box.query(f"UPDATE certificates SET {change} WHERE tenant_id = %s AND number = 2 RETURNING 1", box.inbox.tenant_id)
    return certifying.verify(box.world, box.inbox.tenant_id)[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("body = replace(body, '\"mails\":5', '\"mails\":6')", ["changed", "digest", "3 does not follow"]),
        ("mails = 6", ["says otherwise"]),
        ("unaccounted = '{\"1\": 1}'", ["says otherwise"]),
        ("signature = repeat('0', 64)", ["changed"]),
        ("body = 'nothing'", ["changed", "digest", "2 does not follow", "3 does not follow"]),
    ],
)
def test_a_certificate_that_was_changed_is_found(box: Mailbox, change: str, said: list[str]) -> None:
    for _ in range(3):
        certify(box)
    wrong = tamper(box, change)
    assert len(wrong) == len(said), wrong
    assert all(part in one for part, one in zip(said, wrong, strict=True)), wrong


def test_a_certificate_that_was_taken_out_is_found(box: Mailbox) -> None:
    for _ in range(3):
        certify(box)
    box.query("DELETE FROM certificates WHERE tenant_id = %s AND number = 2 RETURNING 1", box.inbox.tenant_id)
    assert certifying.verify(box.world, box.inbox.tenant_id)[1] == [
        "certificate 2 is missing",
        "certificate 3 does not follow the one before it",
    ]


def test_another_key_verifies_nothing(box: Mailbox) -> None:
    certify(box)
    world = World(box.world.settings)
    world.signing_key = SigningKey(b"another key")
    assert certifying.verify(world, box.inbox.tenant_id)[1] == ["certificate 1 was changed, or signed with another key"]
    world.close()


def test_another_tenant_sees_none_of_it(box: Mailbox) -> None:
    certify(box)
    url = box.world.settings.api_database_url
    assert url is not None
    api = World(box.world.settings, dsn=url.get_secret_value())
    tenant_id = box.inbox.tenant_id
    seen = [
        len(CertificateStore(api.database.of_tenant(id_)).listed(tenant_id, limit=5))
        for id_ in (tenant_id, tenant_id + 1)
    ]
    assert seen == [1, 0]
    api.close()
