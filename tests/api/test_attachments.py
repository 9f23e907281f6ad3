"""Files go up by link or with the request, reach the customer, and come down by a link that ends."""

from __future__ import annotations

import httpx
import pytest

from inboxops.composition import sending
from inboxops.errors import InvalidInput
from tests.api.conftest import Api
from tests.sending.conftest import Desk


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


def test_limits_hold_again_when_it_is_sent(api: Api, desk: Desk) -> None:
    file = upload(api, "a", b"x")
    ticket = desk.ticket()
    message = api.post(f"/tickets/{ticket}/replies", {"body_text": "x", "attachment_ids": [file]}).json()["message_id"]
    desk.box.query("UPDATE attachments SET size_bytes = 26 * 1024 * 1024 WHERE message_id = %s RETURNING 1", message)
    with pytest.raises(InvalidInput, match="limits"):
        sending.send(desk.world, message, 0)
    assert desk.row(message)["send_status"] == "failed"
