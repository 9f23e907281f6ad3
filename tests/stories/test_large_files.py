"""Large files from mailbox to ticket: stored once, apart from their raw mail, which comes back byte for byte."""

from __future__ import annotations

import base64
import os

import pytest

from inboxops.composition import intake, mailboxes
from inboxops.core.detached import detach, token
from inboxops.core.mime import parse
from inboxops.errors import OperatorError
from inboxops.ports import FetchLimits
from inboxops.providers import provider
from inboxops.stories import fetch as fetching
from tests.stories.conftest import Mailbox, mail
from tests.stories.test_stages import FILES


def large(size: int = 9000) -> tuple[bytes, bytes]:
    """(a file, the mail with it), from a sender who encodes as all do."""
    content = os.urandom(size)
    encoded = base64.encodebytes(content).replace(b"\n", b"\r\n").decode().rstrip()
    head = "Content-Type: image/png\r\nContent-Disposition: attachment; filename=a.png\r\nContent-Transfer-Encoding: base64"
    body = f"--b\r\nContent-Type: text/plain\r\n\r\nlook\r\n--b\r\n{head}\r\n\r\n{encoded}\r\n--b--"
    return content, mail("A picture", body=body, more=FILES.replace("\n", "\r\n"))


def files(mailbox: Mailbox) -> list[tuple[object, ...]]:
    return mailbox.query(
        "SELECT a.file_name, a.size_bytes, a.storage_key FROM attachments a JOIN messages m ON m.id = a.message_id"
        " WHERE inbox_id = %s ORDER BY a.id",
        mailbox.inbox_id,
    )


def keys(mailbox: Mailbox) -> list[str]:
    return sorted(mailbox.world.objects.list(f"{mailbox.inbox.tenant_id}/"))


def test_a_large_file_is_stored_once(mailbox: Mailbox) -> None:
    content, raw = large()
    mailbox.deliver(raw)
    mailbox.run()
    [(name, size, key)] = files(mailbox)
    assert (name, size) == ("a.png", len(content))
    assert mailbox.world.objects.get(str(key)) == content
    [pack] = [other for other in keys(mailbox) if other != key]
    assert mailbox.world.objects.size(pack) < 1000
    assert mailbox.query("SELECT size_bytes FROM inbound WHERE inbox_id = %s", mailbox.inbox_id) == [(len(raw),)]


def test_a_duplicate_of_a_mail_with_a_large_file_is_one_also_when_it_was_stored_whole(mailbox: Mailbox) -> None:
    """What a version before this one stored tells its content as this one does."""
    _, raw = large()
    mailbox.deliver(raw)
    mailbox.run()
    [(told,)] = mailbox.query("SELECT content_hash FROM messages WHERE inbox_id = %s", mailbox.inbox_id)
    assert told == parse(raw).content_hash
    mailbox.deliver(raw)
    mailbox.run()
    assert mailbox.states() == {"persisted": 1, "duplicate": 1}
    assert len(files(mailbox)) == 1


def test_a_mail_that_is_read_as_a_whole_gets_its_large_files_back(mailbox: Mailbox) -> None:
    content, raw = large()
    [file] = detach(raw)[1]
    forged = "--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    forged += base64.b64encode(token(0, file.sha256)).decode() + "\r\n--b--"
    mailbox.deliver(raw.replace(b"--b--", forged.encode()))
    mailbox.run()
    assert [mailbox.world.objects.get(str(key)) for *_, key in files(mailbox)] == [content, token(0, file.sha256)]


def test_a_mail_whose_large_file_is_gone_is_parked_when_it_is_needed_to_read_it(mailbox: Mailbox) -> None:
    _, raw = large()
    mailbox.deliver(raw.replace(b"filename=a.png", b"filename*=us-ascii''winmail%2Edat"), mail("Two"))
    intake.fetch(mailbox.world, mailbox.inbox_id)
    mailbox.world.objects.delete([key for key in keys(mailbox) if "/raw-" in key])
    intake.file(mailbox.world, mailbox.inbox_id)
    assert mailbox.states() == {"parked": 1, "persisted": 1}
    [row] = mailbox.world.inbound.listed(tenant=mailbox.inbox.tenant, states=["parked"])
    assert "its raw bytes are gone: the object" in row["reason"]


def test_raw_mail_comes_back_as_it_was_delivered(mailbox: Mailbox) -> None:
    mails = [large()[1], mail("Small"), large(20)[1]]
    mailbox.deliver(*mails)
    intake.fetch(mailbox.world, mailbox.inbox_id)
    numbers = mailbox.query("SELECT id FROM inbound WHERE inbox_id = %s ORDER BY id", mailbox.inbox_id)
    assert [intake.raw_mail(mailbox.world, int(str(number))) for (number,) in numbers] == mails


def test_raw_mail_that_is_not_what_was_stored_is_not_given_out(mailbox: Mailbox) -> None:
    content, raw = large()
    mailbox.deliver(raw)
    intake.fetch(mailbox.world, mailbox.inbox_id)
    [(number,)] = mailbox.query("SELECT id FROM inbound WHERE inbox_id = %s", mailbox.inbox_id)
    [key] = [key for key in keys(mailbox) if "/raw-" in key]
    mailbox.world.objects.put(key, content[::-1], content_type="application/octet-stream")
    with pytest.raises(OperatorError, match="not what was stored"):
        intake.raw_mail(mailbox.world, int(str(number)))
    mailbox.world.objects.delete([key])
    with pytest.raises(OperatorError, match="missing"):
        intake.raw_mail(mailbox.world, int(str(number)))


def test_a_mail_that_can_not_be_taken_apart_is_stored_whole(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(raw: bytes) -> None:
        raise RuntimeError("a bug of ours")

    content, raw = large()
    monkeypatch.setattr(fetching, "detach", fails)
    mailbox.deliver(raw)
    mailbox.run()
    [(_, size, key)] = files(mailbox)
    assert (size, mailbox.world.objects.get(str(key))) == (len(content), content)
    assert "/raw-" not in str(key)


def test_mail_of_one_fetch_is_numbered_as_it_came(mailbox: Mailbox) -> None:
    mailbox.deliver(*(large()[1] if number % 3 else mail(f"Mail {number}") for number in range(12)))
    world, inbox = mailbox.world, mailbox.inbox
    fetching.fetch(
        *(
            inbox,
            mailboxes.account(world, inbox),
            provider(inbox.connection_type),
            world.inbound,
            world.inboxes,
            world.objects,
        ),
        limits=FetchLimits(batch_messages=2),
        max_batches=10,
    )
    numbers = mailbox.query("SELECT reserved_message_id FROM inbound WHERE inbox_id = %s ORDER BY id", inbox.id)
    assert len(numbers) == 12
    assert numbers == sorted(numbers)
