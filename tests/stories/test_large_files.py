"""Large files from mailbox to ticket: stored once, apart from their raw mail, which comes back byte for byte.

Up to a size they stand in the mail's pack, beyond it each is an object of its own.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

import httpx
import pytest

from inboxops.composition import erasing, intake, mailboxes
from inboxops.core.detached import MOST_PACKED_BYTES, detach, token
from inboxops.core.erasure import Frame
from inboxops.core.keys import detached_key
from inboxops.core.mime import parse
from inboxops.core.packs import erase
from inboxops.errors import NotFound, OperatorError
from inboxops.ports import FetchLimits
from inboxops.providers import provider
from inboxops.storage.s3 import S3Store
from inboxops.stories import erase as erasing_story
from inboxops.stories import fetch as fetching
from inboxops.stories import files as stored
from tests.stories.conftest import Mailbox, mail
from tests.stories.test_stages import FILES

TOO_LARGE = MOST_PACKED_BYTES + 1


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


def read(mailbox: Mailbox) -> list[bytes]:
    """The content of each attachment, as the API gives it out."""
    world, tenant_id = mailbox.world, mailbox.inbox.tenant_id
    ids = mailbox.query("SELECT a.id FROM attachments a JOIN messages m ON m.id = a.message_id WHERE inbox_id = %s ORDER BY a.id",
                        mailbox.inbox_id)  # fmt: skip
    return [b"".join(stored.read(tenant_id, int(str(id_)), world.attachments, world.objects)[2]) for (id_,) in ids]


def link(mailbox: Mailbox) -> bytes:
    """The content behind a link to the last attachment."""
    world = mailbox.world
    ((id_,),) = mailbox.query("SELECT max(id) FROM attachments WHERE tenant_id = %s", mailbox.inbox.tenant_id)
    _, url = stored.link(mailbox.inbox.tenant_id, int(str(id_)), world.attachments, world.objects)
    answer = httpx.get(url)
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith("attachment;")
    return answer.content


def as_before(mailbox: Mailbox) -> None:
    """As the version before kept the mail: each file an object of its own."""
    rows = mailbox.query(
        "SELECT tenant_id, reserved_message_id, storage_key, detached_bytes, detached_offsets FROM inbound WHERE inbox_id = %s",
        mailbox.inbox_id,
    )
    for tenant_id, message_id, pack, sizes, offsets in cast("list[tuple[int, int, str, list[int], list[int]]]", rows):
        for number, (size, offset) in enumerate(zip(sizes, offsets, strict=True)):
            content = mailbox.world.objects.get(pack, offset=offset, length=size)
            key = detached_key(tenant_id, message_id, number)
            mailbox.world.objects.put(key, content, content_type="application/octet-stream")
            put_zeros(mailbox, pack, offset, size)
    mailbox.query("UPDATE inbound SET detached_offsets = NULL WHERE inbox_id = %s RETURNING 1", mailbox.inbox_id)


def put_zeros(mailbox: Mailbox, key: str, offset: int, length: int) -> None:
    content = erase(mailbox.world.objects.get(key), offset, length)
    mailbox.world.objects.put(key, content, content_type="application/octet-stream")


def keys(mailbox: Mailbox) -> list[str]:
    return sorted(mailbox.world.objects.list(f"{mailbox.inbox.tenant_id}/"))


def test_a_large_file_is_stored_once(mailbox: Mailbox) -> None:
    content, raw = large(TOO_LARGE)
    mailbox.deliver(raw)
    mailbox.run()
    [(name, size, key)] = files(mailbox)
    assert (name, size) == ("a.png", len(content))
    assert mailbox.world.objects.get(str(key)) == content
    [pack] = [other for other in keys(mailbox) if other != key]
    assert mailbox.world.objects.size(pack) < 1000
    assert mailbox.query("SELECT size_bytes FROM inbound WHERE inbox_id = %s", mailbox.inbox_id) == [(len(raw),)]


def test_files_of_a_batch_stand_in_its_pack_once(mailbox: Mailbox) -> None:
    mails = [large(size) for size in (9000, MOST_PACKED_BYTES, TOO_LARGE)]
    mailbox.deliver(*(raw for _, raw in mails), mail("Without"))
    mailbox.run()
    *_, (*_, own) = files(mailbox)
    [pack] = [key for key in keys(mailbox) if key != own]
    packed = mailbox.world.objects.get(pack)
    assert [packed.count(content) for content, _ in mails] == [1, 1, 0]
    assert len(packed) < sum(len(content) for content, _ in mails[:2]) + 4000
    assert read(mailbox) == [content for content, _ in mails]
    assert keys(mailbox) == sorted([pack, str(own)]), "to read one needs no object of its own"
    numbers = mailbox.query("SELECT id FROM inbound WHERE inbox_id = %s ORDER BY id", mailbox.inbox_id)
    assert [intake.raw_mail(mailbox.world, int(str(number))) for (number,) in numbers[:3]] == [raw for _, raw in mails]


def test_the_first_link_to_a_file_in_a_pack_has_it_copied(mailbox: Mailbox) -> None:
    content, raw = large()
    mailbox.deliver(mail("Before"), raw)
    mailbox.run()
    [(*_, key)] = files(mailbox)
    assert str(key) not in keys(mailbox)
    with ThreadPoolExecutor(4) as at_once:
        assert list(at_once.map(lambda _: link(mailbox), range(4))) == [content] * 4
    assert (mailbox.world.objects.get(str(key)), len(keys(mailbox))) == (content, 2)
    assert link(mailbox) == content
    mailbox.world.objects.delete([str(key)])
    assert link(mailbox) == content, "whoever clears copies away loses nothing"


def test_a_file_that_is_being_erased_is_given_out_no_more(mailbox: Mailbox) -> None:
    """Who asks waits for the erasure: neither zeros nor a copy that nobody would delete."""
    world, tenant_id = mailbox.world, mailbox.inbox.tenant_id
    mailbox.deliver(large()[1])
    mailbox.run()
    ((id_,),) = mailbox.query("SELECT id FROM attachments WHERE tenant_id = %s", tenant_id)
    with ThreadPoolExecutor(2) as asking:

        def wipe(frames: Sequence[Frame], gone: Sequence[str]) -> None:
            asked.append(asking.submit(stored.link, tenant_id, int(str(id_)), world.attachments, world.objects))
            asked.append(asking.submit(stored.read, tenant_id, int(str(id_)), world.attachments, world.objects))
            wait_for(lambda: waiting(mailbox) == 2)
            erasing_story.wipe(tenant_id, frames, gone, world.objects)

        asked: list[Future[Any]] = []
        world.erasures.erase(tenant_id, "ann@customer.example", wipe, address_hash=b"", by="Ann")
        for one in asked:
            with pytest.raises(NotFound):
                one.result()
    assert [key for key in keys(mailbox) if "/raw-" in key] == []


class ErasedMeanwhile(S3Store):
    """The bucket, where the mail is erased when one is about to read from it, or to put into it."""

    def __init__(self, mailbox: Mailbox, moment: str) -> None:
        super().__init__(mailbox.world.objects.client, mailbox.world.settings.s3_bucket)
        self._mailbox, self._moment = mailbox, moment

    def get(self, key: str, *, offset: int | None = None, length: int | None = None) -> bytes:
        self._erase("read")
        return super().get(key, offset=offset, length=length)

    def put(self, key: str, content: bytes, *, content_type: str, file_name: str = "") -> None:
        self._erase("put")
        super().put(key, content, content_type=content_type, file_name=file_name)

    def _erase(self, moment: str) -> None:
        if moment == self._moment:
            erasing.erase(self._mailbox.world, self._mailbox.inbox.tenant_id, "ann@customer.example", by="Ann")


@pytest.mark.parametrize(("give", "moment"), [(stored.read, "read"), (stored.link, "read"), (stored.link, "put")])
def test_a_file_that_was_erased_while_it_was_read_is_not_given_out(
    mailbox: Mailbox, give: Callable[..., Any], moment: str
) -> None:
    world, tenant_id = mailbox.world, mailbox.inbox.tenant_id
    mailbox.deliver(large()[1])
    mailbox.run()
    ((id_,),) = mailbox.query("SELECT id FROM attachments WHERE tenant_id = %s", tenant_id)
    with pytest.raises(NotFound):
        give(tenant_id, int(str(id_)), world.attachments, ErasedMeanwhile(mailbox, moment))
    assert [key for key in keys(mailbox) if "/raw-" in key] == []


def waiting(mailbox: Mailbox) -> int:
    """Transactions that wait for a row of this database."""
    ((count,),) = mailbox.query(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return int(str(count))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_mail_of_the_version_before_keeps_its_files_as_objects(mailbox: Mailbox) -> None:
    content, raw = large()
    mailbox.deliver(raw)
    intake.fetch(mailbox.world, mailbox.inbox_id)
    as_before(mailbox)
    intake.file(mailbox.world, mailbox.inbox_id)
    [(*_, key)] = files(mailbox)
    assert str(key) in keys(mailbox)
    assert (read(mailbox), link(mailbox)) == ([content], content)
    [(number,)] = mailbox.query("SELECT id FROM inbound WHERE inbox_id = %s", mailbox.inbox_id)
    assert intake.raw_mail(mailbox.world, int(str(number))) == raw


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
    _, raw = large(TOO_LARGE)
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


def test_raw_mail_whose_file_in_the_pack_is_damaged_is_not_given_out(mailbox: Mailbox) -> None:
    content, raw = large()
    mailbox.deliver(raw)
    intake.fetch(mailbox.world, mailbox.inbox_id)
    [(number,)] = mailbox.query("SELECT id FROM inbound WHERE inbox_id = %s", mailbox.inbox_id)
    [pack] = keys(mailbox)
    put_zeros(mailbox, pack, mailbox.world.objects.get(pack).index(content) + 10, 1)
    with pytest.raises(OperatorError, match="not what was stored"):
        intake.raw_mail(mailbox.world, int(str(number)))


def test_raw_mail_that_is_not_what_was_stored_is_not_given_out(mailbox: Mailbox) -> None:
    content, raw = large(TOO_LARGE)
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
