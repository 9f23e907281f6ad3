"""Links to files, tried against the real object store: each opens one thing, one way, for a while."""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import httpx
import pytest

from inboxops.composition import sending
from inboxops.composition.world import World
from inboxops_lab.testing.processes import wait_until
from tests.api.conftest import Api
from tests.intruders.conftest import Victim
from tests.intruders.test_tasks import desk
from tests.sending.conftest import Desk

__all__ = ["desk"]  # a fixture


def begun(api: Api, content_type: str = "text/plain", size: int = 3) -> tuple[int, str, dict[str, str]]:
    made = api.post("/attachments", {"file_name": "a.txt", "content_type": content_type, "size_bytes": size}).json()
    return made["id"], made["upload"]["url"], made["upload"]["headers"]


def changed(url: str, path: str = "", **query: str) -> str:
    parts = urlsplit(url)
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()} | query
    return urlunsplit(parts._replace(path=path or parts.path, query=urlencode(asked)))


def test_an_upload_link_takes_one_file_as_described_and_nothing_else(victim: Victim) -> None:
    begun_id, url, headers = begun(victim.api)
    bucket = urlsplit(url).path.split("/")[1]
    own, file = (
        victim.world.attachments.by_ids(victim.api.tenant_id, [id_])[0]
        for id_ in (begun_id, victim.ids["attachment_id"])
    )
    tries = {
        "another key": ("PUT", changed(url, f"/{bucket}/{file.storage_key}"), headers, b"abc"),
        "a key of another tenant": (
            "PUT",
            changed(url, f"/{bucket}/{victim.api.tenant_id + 1}/uploads/x/a"),
            headers,
            b"abc",
        ),
        "a key beside it": ("PUT", changed(url, f"{urlsplit(url).path}.html"), headers, b"abc"),
        "a key above it": ("PUT", changed(url, f"{urlsplit(url).path}/../../x"), headers, b"abc"),
        "another bucket": (
            "PUT",
            changed(url, urlsplit(url).path.replace(f"/{bucket}/", "/other/", 1)),
            headers,
            b"abc",
        ),
        "reading": ("GET", url, {}, b""),
        "looking": ("HEAD", url, {}, b""),
        "deleting": ("DELETE", url, {}, b""),
        "posting": ("POST", url, headers, b"abc"),
        "another type": ("PUT", url, headers | {"Content-Type": "text/html"}, b"abc"),
        "no type": ("PUT", url, {}, b"abc"),
        "more bytes": ("PUT", url, headers | {"Content-Length": "4"}, b"abcd"),
        "fewer bytes": ("PUT", url, headers | {"Content-Length": "2"}, b"ab"),
        "a longer life": ("PUT", changed(url, **{"X-Amz-Expires": "604800"}), headers, b"abc"),
        "another day": ("PUT", changed(url, **{"X-Amz-Date": "20360101T000000Z"}), headers, b"abc"),
        "fewer signed headers": ("PUT", changed(url, **{"X-Amz-SignedHeaders": "host"}), headers, b"abc"),
        "no signature": ("PUT", url.partition("?")[0], headers, b"abc"),
        "permissions of its own": ("PUT", changed(url, acl=""), headers, b"abc"),
        "a copy of another object": (
            "PUT",
            url,
            headers | {"x-amz-copy-source": f"/{bucket}/{file.storage_key}"},
            b"abc",
        ),
    }
    for what, (method, where, said, content) in tries.items():
        answer = httpx.request(method, where, headers=said, content=content)
        assert answer.status_code in {400, 403, 405}, (what, answer.status_code, answer.text)
        assert list(victim.world.objects.list(own.storage_key)) == [], (what, "nothing stands under the link's own key")
    theirs = httpx.get(victim.api.get(f"/attachments/{victim.ids['attachment_id']}").json()["url"])
    assert theirs.content == b"x", "the other object is as it was"
    assert httpx.put(url, content=b"abc", headers=headers).status_code == 200


def test_a_download_link_reads_one_file_and_no_more(victim: Victim, stranger: object) -> None:
    url = victim.api.get(f"/attachments/{victim.ids['attachment_id']}").json()["url"]
    bucket = urlsplit(url).path.split("/")[1]
    for what, (method, where) in {
        "writing": ("PUT", url),
        "deleting": ("DELETE", url),
        "the list": ("GET", changed(url, f"/{bucket}", **{"list-type": "2"})),
        "another file": ("GET", changed(url, f"/{bucket}/{victim.api.tenant_id}/uploads/x/a")),
        "shown, not saved": ("GET", changed(url, **{"response-content-disposition": "inline"})),
        "shown as a page": ("GET", changed(url, **{"response-content-type": "text/html"})),
        "a longer life": ("GET", changed(url, **{"X-Amz-Expires": "604800"})),
    }.items():
        assert httpx.request(method, where).status_code in {400, 403, 405}, what
    answer = httpx.get(url)
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith("attachment")


def test_an_upload_link_that_outlived_its_message_changes_nothing_that_was_sent(
    desk: Desk, http_client: object
) -> None:
    from tests.api.conftest import keys

    slug = desk.box.inbox.tenant
    api = keys(http_client, desk.world, slug, None)  # type: ignore[arg-type]
    file, url, headers = begun(api)
    assert httpx.put(url, content=b"one", headers=headers).status_code == 200
    answer = api.post(f"/tickets/{desk.ticket()}/replies", {"body_text": "See file.", "attachment_ids": [file]})
    assert answer.status_code == 202, answer.text
    assert httpx.put(url, content=b"two", headers=headers).status_code in {200, 403}
    assert httpx.get(api.get(f"/attachments/{file}").json()["url"]).content == b"one"
    sending.send(desk.world, answer.json()["message_id"], 0)
    assert [each.content for each in desk.taken[0].message.attachments] == [b"one"]


@pytest.mark.parametrize("way", ["put", "get"])
def test_links_end(owner: World, victim: Victim, way: str) -> None:
    key = f"{victim.api.tenant_id}/uploads/short/a.txt"
    if way == "put":
        url = owner.objects.presigned_put(key, content_type="text/plain", size_bytes=3, seconds=1)
        call = {"content": b"abc", "headers": {"Content-Type": "text/plain"}}
        wait_until("the link to end", lambda: httpx.put(url, **call).status_code == 403)  # type: ignore[arg-type]
    else:
        owner.objects.put(key, b"abc", content_type="text/plain")
        url = owner.objects.presigned_get(key, file_name="a.txt", content_type="text/plain", seconds=1)
        wait_until("the link to end", lambda: httpx.get(url).status_code == 403)
