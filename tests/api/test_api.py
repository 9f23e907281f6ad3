"""What the API answers, to whom, and what it leaves behind."""

from __future__ import annotations

import re

import httpx
import pytest
from psycopg.sql import SQL, Identifier

from api.routers.page import FOLDER
from inboxops.composition import sending, upkeep
from inboxops.composition.world import World
from tests.api.conftest import Api
from tests.sending.conftest import Desk

PROBLEM = "application/problem+json"


def test_every_address_that_the_tickets_page_names_is_there(api: Api) -> None:
    sources = [*FOLDER.glob("static/*.js"), *FOLDER.glob("templates/*.html")]
    text = "".join(path.read_text("utf-8") for path in sources)
    named = set(re.findall(r"""\b(?:href|src)[=:] ?["'`](/[^"'`$]*)["'`]|see (/[\w./-]*\w)""", text))
    addresses = {one or other for one, other in named}
    assert len(addresses) > 3
    assert {one: api.http.get(one).status_code for one in addresses} == dict.fromkeys(addresses, 200)


def ordered(api: Api, message_id: int, *, attempt: int) -> bool:
    """Whether Airflow has one run of that attempt."""
    asked = {"message_id": message_id, "attempt": attempt}
    return [run.rpartition("-")[0] for run, conf in api.airflow.runs.items() if conf == asked] == [
        f"send-{message_id}-{attempt}"
    ]


def test_a_reply_is_stored_and_its_run_is_started(api: Api, desk: Desk) -> None:
    ticket = desk.ticket(subject="Where is it?")
    answer = api.post(f"/tickets/{ticket}/replies", {"body_text": "On its way."}, key="k1")
    assert answer.status_code == 202
    accepted = answer.json()
    assert ordered(api, accepted["message_id"], attempt=0)
    assert sending.send(desk.world, accepted["message_id"], 0).state == "sent"
    (message,) = [m for m in api.get(f"/tickets/{ticket}").json()["messages"] if m["direction"] == "outbound"]
    assert message["sending"]["status"] == "sent"
    assert message["author"] == "Ann the agent"
    assert message["subject"] == f"Re: Where is it? [#{accepted['ticket_number']}]"


def test_a_repeat_under_the_same_key_answers_the_same_and_another_body_is_422(api: Api, desk: Desk) -> None:
    ticket = desk.ticket()
    first = api.post(f"/tickets/{ticket}/replies", {"body_text": "Once."}, key="same")
    sending.send(desk.world, first.json()["message_id"], 0)
    assert api.post(f"/tickets/{ticket}/replies", {"body_text": "Once."}, key="same").json() == first.json()
    other = api.post(f"/tickets/{ticket}/replies", {"body_text": "Twice."}, key="same")
    assert (other.status_code, other.headers["content-type"]) == (422, PROBLEM)
    assert len(desk.taken) == 1


def test_an_order_that_airflow_did_not_get_is_delivered_by_drain(api: Api, desk: Desk, world: World) -> None:
    accepted = desk.reply(desk.ticket())
    world.settings = world.settings.model_copy(update={"airflow_url": api.airflow.url})
    upkeep.drain(world)
    assert ordered(api, accepted.message_id, attempt=0)


def test_a_failed_message_is_retried_under_the_next_attempt(api: Api, desk: Desk) -> None:
    ticket = desk.ticket()
    message = api.post(f"/tickets/{ticket}/replies", {"body_text": "Hello"}).json()["message_id"]
    desk.submission.answer = "550 no"
    with pytest.raises(Exception, match="550"):
        sending.send(desk.world, message, 0)
    assert api.post(f"/messages/{message}/retry").json() == {"message_id": message, "attempt": 1}
    assert ordered(api, message, attempt=1)
    desk.submission.answer = ""
    sending.send(desk.world, message, 1)
    assert api.post(f"/messages/{message}/retry").status_code == 409


def test_the_thread_shows_verdicts_with_evidence_and_pages(api: Api, desk: Desk) -> None:
    ticket = desk.ticket(id="root")
    for number in range(3):
        desk.ticket(answers="root", id=f"more{number}")
    page = api.get(f"/tickets/{ticket}", params={"limit": 3}).json()
    assert [message["message_id_header"] for message in page["messages"]] == [
        f"more{number}@customer.example" for number in range(3)
    ]
    assert page["messages"][0]["verdict"]["kind"] == "human"
    older = api.get(f"/tickets/{ticket}", params={"limit": 3, "cursor": page["older"]}).json()
    assert [message["message_id_header"] for message in older["messages"]] == ["root@customer.example"]
    assert older["older"] is None


def test_the_list_pages_through_everything_once(api: Api, desk: Desk) -> None:
    opened = [desk.ticket() for _ in range(5)]
    seen, cursor = [], None
    while True:
        page = api.get("/tickets", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [ticket["id"] for ticket in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == opened[::-1]


def test_the_list_can_be_searched_and_filtered(api: Api, desk: Desk) -> None:
    wanted = desk.ticket(subject="100% REFUND für Łódź, 返金", sender="Zoë O'Hara <zoe@kunde.example>")
    desk.ticket(subject="1000 tokens please")
    for q in ("refund", "100% refu", "für łód", "zoë", "kunde.example", "o'hara refund", "返金", "%' & refund !"):
        assert [t["id"] for t in api.get("/tickets", params={"q": q}).json()["items"]] == [wanted], q
    for q in ("fund", "refund tokens", "!?"):
        assert api.get("/tickets", params={"q": q}).json()["items"] == [], q
    api.http.patch(f"/v1/tickets/{wanted}", json={"status": "closed"}, headers=api.agent)
    closed = api.get("/tickets", params={"status": "closed"}).json()["items"]
    assert [(t["id"], t["status"]) for t in closed] == [(wanted, "closed")]
    number = closed[0]["ticket_number"]
    assert [t["id"] for t in api.get("/tickets", params={"q": f"#{number}"}).json()["items"]] == [wanted]


def test_an_admin_says_whose_word_on_forged_mail_counts(api: Api, desk: Desk) -> None:
    path = f"/v1/inboxes/{desk.box.inbox_id}"
    assert api.get(f"/inboxes/{desk.box.inbox_id}").json()["trusted_servers"] == []
    answer = api.http.patch(path, json={"trusted_servers": ["MX.acme.example"]}, headers=api.admin)
    assert (answer.status_code, answer.json()["trusted_servers"]) == (200, ["mx.acme.example"])
    assert api.http.patch(path, json={"trusted_servers": ["a; b"]}, headers=api.admin).status_code == 422
    assert api.http.patch(path, json={"trusted_servers": []}, headers=api.agent).status_code == 403
    assert api.http.patch(path, json={"trusted_servers": []}, headers=api.admin).json()["trusted_servers"] == []


def test_the_html_that_is_given_away_is_as_safe_as_what_the_page_shows(api: Api, desk: Desk) -> None:
    """Without what tells the sender that it was read, and without addresses that mean something of ours."""
    body = (
        "<p>Hi<img src='https://evil.example/i' alt=a><img src=/v1/session alt=b><a href='/v1/session'>c</a>"
        "<a href='//evil.example'>d</a></p><map name=m><area href='https://evil.example/m'></map>"
        "<details open><summary>e</summary>f</details><script>canary()</script>"
    )
    ticket = desk.ticket(more="MIME-Version: 1.0\r\nContent-Type: text/html", body=body)
    message = api.get(f"/tickets/{ticket}").json()["messages"][0]["id"]
    shown = api.get(f"/messages/{message}/html").json()["html"]
    assert "Hi" in shown
    for hostile in ("evil.example", "/v1/session", "<area", "<map", "<details", "canary"):
        assert hostile not in shown
    assert shown.strip() in api.get(f"/messages/{message}/view").text


def test_another_tenant_finds_nothing(api: Api, stranger: Api, desk: Desk) -> None:
    ticket = desk.ticket()
    message = api.post(f"/tickets/{ticket}/replies", {"body_text": "Hello"}).json()["message_id"]
    file = api.post("/attachments", {"file_name": "a.txt", "content_type": "text/plain", "size_bytes": 1}).json()["id"]
    for method, path in [
        ("GET", f"/tickets/{ticket}"),
        ("PATCH", f"/tickets/{ticket}"),
        ("POST", f"/tickets/{ticket}/replies"),
        ("POST", f"/messages/{message}/retry"),
        ("GET", f"/messages/{message}/html"),
        ("GET", f"/attachments/{file}"),
        ("GET", f"/inboxes/{desk.box.inbox_id}"),
        ("PATCH", f"/inboxes/{desk.box.inbox_id}"),
        ("DELETE", f"/inboxes/{desk.box.inbox_id}"),
        ("POST", f"/inboxes/{desk.box.inbox_id}/fetch"),
    ]:
        body = {"body_text": "x"} if path.endswith("replies") else {} if method == "PATCH" else None
        answer = stranger.http.request(method, f"/v1{path}", json=body, headers=stranger.admin)
        assert answer.status_code == 404, (method, path)
    assert stranger.get("/tickets").json()["items"] == []
    assert stranger.get("/inboxes").json()["items"] == []
    assert stranger.get("/inbound").json()["items"] == []


def test_the_role_of_the_api_sees_nothing_without_a_tenant(http_client: object, desk: Desk) -> None:
    desk.ticket()
    world: World = http_client.app.state.world  # type: ignore[attr-defined]
    with world.database.transaction() as t:
        for table in ("tickets", "messages", "inboxes", "inbound", "attachments", "api_keys", "outbox", "tenants"):
            row = t.connection.execute(SQL("SELECT count(*) FROM {}").format(Identifier(table))).fetchone()
            assert row == {"count": 0}, table


@pytest.mark.parametrize(
    "key", [None, "", "Bearer", "Bearer io_x_y", "Bearer io_000000000000_wrong", "Basic aTpv", "Bearer ü"]
)
def test_without_a_key_that_works_there_is_nothing(api: Api, key: str | None) -> None:
    headers = {} if key is None else {"Authorization": key.encode()}
    answer = api.http.get("/v1/tickets", headers=headers)  # type: ignore[arg-type]
    assert (answer.status_code, answer.headers["content-type"]) == (401, PROBLEM)
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_revoked_key_stops_at_once(api: Api, world: World) -> None:
    assert api.get("/tickets").status_code == 200
    world.api_keys.revoke(api.agent["Authorization"].split("_")[1])
    assert api.get("/tickets").status_code == 401


def test_an_agents_key_changes_no_inbox(api: Api, desk: Desk) -> None:
    answer = api.http.patch(f"/v1/inboxes/{desk.box.inbox_id}", json={"paused": True}, headers=api.agent)
    assert (answer.status_code, answer.headers["content-type"]) == (403, PROBLEM)


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == PROBLEM
    body = answer.json()
    assert body["status"] == answer.status_code
    assert {"type", "title", "detail", "instance"} <= body.keys()
    return answer.status_code, body["detail"]


def test_every_error_is_a_problem_document(api: Api) -> None:
    assert problem(api.get("/nowhere"))[0] == 404
    assert problem(api.http.put("/v1/tickets", headers=api.agent))[0] == 405
    assert problem(api.get("/tickets", params={"limit": 0}))[0] == 422
    assert problem(api.get("/tickets", params={"cursor": "@@"}))[0] == 404
    assert problem(api.get("/tickets/999999999999"))[0] == 404
    assert problem(api.get(f"/tickets/{10**30}"))[0] == 422
    assert problem(api.post("/tickets/1/replies", {"body_text": "a\0b"}))[0] == 422
    assert problem(api.post("/tickets/1/replies", {"body_txt": "a"}))[0] == 422
    assert problem(api.http.post("/v1/attachments", content=b"x", headers=api.agent))[0] == 415
    big = api.http.post(
        "/v1/tickets/1/replies", content=b" " * 5_000_000, headers=api.agent | {"Content-Type": "application/json"}
    )
    assert problem(big)[0] == 413


def test_an_inbox_is_connected_tested_changed_and_removed(api: Api, desk: Desk) -> None:
    server, user = desk.box.server, desk.box.user
    wanted = {
        "email_address": "Second@Bücher.example",
        "connection": {"host": "localhost", "port": server.port_imap, "security": "plain"},
        "credentials": {"username": user, "password": "secret password"},
    }
    made = api.http.post("/v1/inboxes", json=wanted, headers=api.admin)
    assert made.status_code == 201, made.text
    inbox = made.json()
    assert inbox["email_address"] == "Second@xn--bcher-kva.example"
    assert "secret" not in made.text
    path = f"/v1/inboxes/{inbox['id']}"
    assert api.http.post("/v1/inboxes", json=wanted, headers=api.admin).status_code == 409
    assert api.http.post(f"{path}/test", headers=api.admin).json()["folder"] == "INBOX"
    change = {"auto_response_enabled": True, "auto_response_body": "Hi {{ sender_name }}", "paused": True}
    changed = api.http.patch(path, json=change, headers=api.admin).json()
    assert (changed["auto_response_enabled"], changed["state"]) == (True, "paused")
    unknown = api.http.patch(path, json={"auto_response_body": "{{ password }}"}, headers=api.admin)
    assert problem(unknown)[0] == 422
    wrong = api.http.patch(path, json={"credentials": {"password": "wrong"}}, headers=api.admin)
    assert problem(wrong)[0] == 422
    assert api.http.delete(path, headers=api.admin).status_code == 204
    assert api.http.get(path, headers=api.admin).status_code == 404


def test_a_change_of_an_inbox_that_is_refused_changes_nothing_of_it(api: Api, desk: Desk) -> None:
    path = f"/v1/inboxes/{desk.box.inbox_id}"
    before = api.http.get(path, headers=api.admin).json()
    good = {
        "display_name": "Changed",
        "auto_response_enabled": True,
        "trusted_servers": ["mx.acme.example"],
        "paused": True,
    }
    for wrong in (
        {"canary_minutes": 5},
        {"canary_minutes": 20, "canary_from_id": 2**63 - 1},
        {"auto_response_body": "{{ password }}", "canary_minutes": 20},
        {"trusted_servers": ["a; b"], "canary_minutes": 20},
    ):
        refused = api.http.patch(path, json=good | wrong, headers=api.admin)
        assert problem(refused)[0] in {404, 422}, wrong
        assert api.http.get(path, headers=api.admin).json() == before, wrong


def test_a_day_before_there_was_mail_is_refused_and_stops_no_inbox(api: Api, desk: Desk) -> None:
    resync = f"/v1/inboxes/{desk.box.inbox_id}/resync"
    code, said = problem(api.http.post(resync, json={"since": "0001-01-01"}, headers=api.admin))
    assert (code, "1971" in said) == (422, True)
    assert api.http.post(resync, json={"since": "1971-01-01"}, headers=api.admin).status_code == 202
    desk.ticket(subject="It is read as ever")


def test_mail_that_was_set_aside_is_listed_and_let_out(api: Api, desk: Desk) -> None:
    desk.box.deliver(
        b"From: a@customer.example\r\nTo: s@acme.example\r\nSubject: Buy\r\nX-Spam-Flag: YES\r\n\r\ncheap\r\n"
    )
    desk.box.run()
    (row,) = api.get("/inbound").json()["items"]
    assert (row["state"], row["verdict"]) == ("listed", "spam")
    released = api.post(f"/inbound/{row['id']}/release")
    assert released.status_code == 202
    desk.box.run()
    assert [t["subject"] for t in api.get("/tickets").json()["items"]] == ["Buy"]
    assert problem(api.post(f"/inbound/{row['id']}/release"))[0] == 409
