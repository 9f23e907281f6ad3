"""Files go up by link or with the request, reach the customer, and come down by a link that ends."""

from __future__ import annotations

import socket

import httpx
import pytest
import structlog

from inboxops.composition import sending
from inboxops.core.outbound import Accepted, ReplyRequest
from inboxops.errors import Conflict, InvalidInput
from inboxops.settings import Settings
from inboxops.storage.s3 import S3Store
from inboxops.stories import reply as replying
from inboxops_lab.testing.processes import wait_until
from tests.api.conftest import Api
from tests.sending.conftest import Desk
from tests.stories.test_large_files import large
from tests.webserver import serving


def upload(api: Api, name: str, content: bytes, content_type: str = "text/plain") -> int:
    described = {"file_name": name, "content_type": content_type, "size_bytes": len(content)}
    made = api.post("/attachments", described).json()
    httpx.put(made["upload"]["url"], content=content, headers=made["upload"]["headers"]).raise_for_status()
    return int(made["id"])


def test_two_files_of_one_name_reach_the_customer(api: Api, desk: Desk) -> None:
    ids = [upload(api, "Rechnung für 你.txt", b"one"), upload(api, "Rechnung für 你.txt", b"two")]
    answer = api.post(f"/tickets/{desk.ticket()}/replies", {"body_text": "See files.", "attachment_ids": ids})
    message = answer.json()["message_id"]
    sending.send(desk.world, message, 0)
    sent = desk.taken[0].message.attachments
    assert [(file.file_name, file.content) for file in sent] == [
        ("Rechnung für 你.txt", b"one"),
        ("Rechnung für 你 (2).txt", b"two"),
    ]
    keys = desk.box.query("SELECT storage_key FROM attachments WHERE message_id = %s ORDER BY id", message)
    assert [str(key) for (key,) in keys] == [
        f"{api.tenant_id}/{message}/{number:02d}-{file.file_name}" for number, file in enumerate(sent, start=1)
    ]
    assert list(desk.world.objects.list(f"{api.tenant_id}/uploads/")) == []


def test_a_file_may_come_with_the_request(api: Api, desk: Desk) -> None:
    made = api.http.post("/v1/attachments", files={"file": ("a.csv", b"a,b", "text/csv")}, headers=api.agent)
    assert made.status_code == 201, made.text
    link = api.get(f"/attachments/{made.json()['id']}").json()["url"]
    down = httpx.get(link)
    assert (down.content, down.headers["content-type"].split(";")[0]) == (b"a,b", "text/csv")
    assert down.headers["content-disposition"].startswith("attachment;")


def test_an_upload_that_is_broken_off_is_nothing_unforeseen(services: Settings, api: Api) -> None:
    with structlog.testing.capture_logs() as said, serving(services) as url:
        host, port = url.removeprefix("http://").split(":")
        head = (
            f"POST /v1/attachments HTTP/1.1\r\nHost: {host}\r\nAuthorization: {api.agent['Authorization']}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n--b\r\n"
        )
        with socket.create_connection((host, int(port))) as browser:
            browser.sendall(head.encode())
        wait_until("it is noticed", lambda: "/v1/attachments" in [line.get("path") for line in said])
    assert [line["log_level"] for line in said if line.get("path") == "/v1/attachments"] == ["info"]


def test_a_file_that_stands_in_a_pack_comes_down_as_any_other(api: Api, desk: Desk) -> None:
    content, raw = large()
    desk.box.deliver(raw)
    desk.box.run()
    ((file,),) = desk.box.query("SELECT id FROM attachments WHERE tenant_id = %s", api.tenant_id)
    through = api.get(f"/attachments/{file}/content")
    assert (through.content, through.headers["content-length"]) == (content, str(len(content)))
    down = httpx.get(api.get(f"/attachments/{file}").json()["url"])
    assert (down.content, down.headers["content-type"]) == (content, "image/png")


def test_the_link_takes_only_what_was_described(api: Api) -> None:
    made = api.post("/attachments", {"file_name": "a.txt", "content_type": "text/plain", "size_bytes": 3}).json()
    url, headers = made["upload"]["url"], made["upload"]["headers"]
    assert httpx.put(url, content=b"four", headers={"Content-Type": "text/plain"}).status_code == 403
    assert httpx.put(url, content=b"abc", headers={"Content-Type": "text/html"}).status_code == 403
    assert httpx.put(url, content=b"abc", headers=headers).status_code == 200
    assert httpx.get(url.partition("?")[0]).status_code == 403, "the bucket is private"


def test_html_is_never_served_as_html(api: Api) -> None:
    file = upload(api, "page.html", b"<script>x()</script>", "text/html")
    down = httpx.get(api.get(f"/attachments/{file}").json()["url"])
    assert down.headers["content-type"] == "application/octet-stream"


def test_limits_hold_at_upload_and_in_the_reply(api: Api, desk: Desk) -> None:
    described = {"file_name": "a", "content_type": "text/plain", "size_bytes": 25 * 1024 * 1024 + 1}
    assert api.post("/attachments", described).status_code == 422
    ticket = desk.ticket()
    waiting = api.post("/attachments", {**described, "size_bytes": 10}).json()["id"]
    body = {"body_text": "x", "attachment_ids": [waiting]}
    assert "not uploaded" in api.post(f"/tickets/{ticket}/replies", body).json()["detail"]
    many = {"body_text": "x", "attachment_ids": list(range(1, 12))}
    assert api.post(f"/tickets/{ticket}/replies", many).status_code == 422
    once = upload(api, "a", b"x")
    assert api.post(f"/tickets/{ticket}/replies", {"body_text": "x", "attachment_ids": [once]}).status_code == 202
    again = api.post(f"/tickets/{ticket}/replies", {"body_text": "y", "attachment_ids": [once]})
    assert again.status_code == 409


class RepliedMeanwhile(S3Store):
    """The bucket, where another request stores its reply with the same file when one is about to look at it, or to copy it."""

    def __init__(self, desk: Desk, ticket: int, file: int, moment: str, key: str | None) -> None:
        super().__init__(desk.world.objects.client, desk.world.settings.s3_bucket)
        self._desk, self._ticket, self._file, self._moment, self._key = desk, ticket, file, moment, key
        self.first: Accepted | None = None

    def size(self, key: str) -> int | None:
        self._reply("look")
        return super().size(key)

    def copy(self, source: str, target: str) -> None:
        self._reply("copy")
        super().copy(source, target)

    def _reply(self, moment: str) -> None:
        if moment == self._moment and self.first is None:
            self.first = self._desk.reply(
                self._ticket, "See file.", attachment_ids=(self._file,), idempotency_key=self._key
            )

    def reply(self, key: str | None) -> Accepted:
        world = self._desk.world
        return replying.reply(
            self._desk.tenant_id,
            self._ticket,
            ReplyRequest("See file.", attachment_ids=(self._file,)),
            world.outbound,
            world.attachments,
            self,
            author="Ann Agent",
            idempotency_key=key,
            own_addresses=frozenset(),
            signing_key=world.signing_key,
        )


@pytest.mark.parametrize("moment", ["look", "copy"])
def test_a_repeat_that_comes_while_the_first_is_stored_answers_as_the_first_did(
    api: Api, desk: Desk, moment: str
) -> None:
    meanwhile = RepliedMeanwhile(desk, desk.ticket(), upload(api, "a", b"x"), moment, "same")
    assert meanwhile.reply("same") == meanwhile.first


@pytest.mark.parametrize("moment", ["look", "copy"])
def test_two_replies_with_one_file_are_one_reply_and_one_that_is_told_to_upload_it_again(
    api: Api, desk: Desk, moment: str
) -> None:
    meanwhile = RepliedMeanwhile(desk, desk.ticket(), upload(api, "a", b"x"), moment, None)
    with pytest.raises((Conflict, InvalidInput), match=r"(?i)upload"):
        meanwhile.reply(None)


def test_a_reply_with_an_upload_that_is_gone_says_what_to_do(api: Api, desk: Desk) -> None:
    file, ticket = upload(api, "a", b"x"), desk.ticket()
    desk.box.query("DELETE FROM attachments WHERE id = %s RETURNING id", file)
    answer = api.post(f"/tickets/{ticket}/replies", {"body_text": "See file.", "attachment_ids": [file]})
    assert (answer.status_code, "Upload the file again" in answer.json()["detail"]) == (404, True)


def test_limits_hold_again_when_it_is_sent(api: Api, desk: Desk) -> None:
    file = upload(api, "a", b"x")
    ticket = desk.ticket()
    message = api.post(f"/tickets/{ticket}/replies", {"body_text": "x", "attachment_ids": [file]}).json()["message_id"]
    desk.box.query("UPDATE attachments SET size_bytes = 26 * 1024 * 1024 WHERE message_id = %s RETURNING 1", message)
    with pytest.raises(InvalidInput, match="limits"):
        sending.send(desk.world, message, 0)
    assert desk.row(message)["send_status"] == "failed"
