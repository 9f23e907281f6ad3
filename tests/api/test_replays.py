"""Replays by the API: an admin has one previewed, applied and taken back; a run of Airflow does what the row says, no more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from inboxops.composition import replaying
from inboxops_airflow import connections
from inboxops_airflow.replaying import ReplayMail
from tests.api.conftest import Api
from tests.sending.conftest import Desk
from tests.stories.conftest import mail

OLDER = "UPDATE messages SET body_text = 'older', subject = 'older' WHERE inbox_id = %s RETURNING 1"


def asked(api: Api, path: str = "", body: object = None, *, method: str = "POST") -> Any:
    return api.http.request(method, f"/v1/replays{path}", json=body, headers=api.admin)


def test_a_replay_is_previewed_applied_and_taken_back_by_runs(api: Api, desk: Desk) -> None:
    desk.ticket(subject="Help")
    desk.box.query(OLDER, desk.box.inbox_id)
    made = asked(api, body={"inbox_id": desk.box.inbox_id, "days": 2})
    assert made.status_code == 202
    number, known = made.json()["id"], made.json()
    assert (known["state"], known["report"], known["inbox"], known["asked_by"]) == (
        "asked",
        None,
        "support",
        "Ann the admin",
    )
    assert list(api.airflow.runs.values())[-1:] == [{"replay_id": number}]
    assert asked(api, f"/{number}/apply", {}).status_code == 409, "nothing was previewed yet"
    replaying.run(desk.world, number)
    known = asked(api, f"/{number}", method="GET").json()
    assert (known["state"], known["report"]["groups"]) == ("previewed", {"text": 1})
    assert known["examples"]["text"][0]["was"] == "subject: older"
    assert asked(api, f"/{number}/apply", {"groups": ["txt"]}).status_code == 422
    applying = asked(api, f"/{number}/apply", {"groups": ["text"]}).json()
    assert (applying["state"], applying["groups"]) == ("applying", ["text"])
    replaying.run(desk.world, number)
    assert asked(api, f"/{number}", method="GET").json()["done"] == {"text": {"changed": 1, "undone": 0, "yielded": 0}}
    assert asked(api, f"/{number}/undo").json()["state"] == "undoing"
    replaying.run(desk.world, number)
    assert [row["state"] for row in asked(api, method="GET").json()["items"]] == ["undone"]


def test_an_agent_and_another_tenant_have_no_part_in_it(api: Api, stranger: Api, desk: Desk) -> None:
    ticket = desk.ticket()
    number = asked(api, body={"ticket_id": ticket}).json()["id"]
    replaying.run(desk.world, number)
    assert api.get("/replays").status_code == 403
    assert api.post("/replays", {"ticket_id": ticket}).status_code == 403
    assert asked(stranger, method="GET").json()["items"] == []
    for path, method in ((f"/{number}", "GET"), (f"/{number}/apply", "POST"), (f"/{number}/undo", "POST")):
        assert asked(stranger, path, {}, method=method).status_code == 404
    for named in ({"ticket_id": ticket}, {"inbox_id": desk.box.inbox_id, "days": 1}, {"inbound_id": 1}):
        assert asked(stranger, body=named).status_code == 404


def test_what_is_not_said_right_is_answered_with_what_to_do(api: Api, desk: Desk) -> None:
    for wrong in (
        {},
        {"inbox_id": desk.box.inbox_id},
        {"days": 1, "since": "2026-01-01T00:00:00Z"},
        {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"since": "2026-01-01T00:00:00"},
    ):
        assert asked(api, body=wrong).status_code == 422, wrong


def test_a_run_that_is_told_more_than_a_number_does_what_the_row_says(
    api: Api, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "world", lambda: desk.world)
    desk.ticket(subject="Help")
    desk.box.query(OLDER, desk.box.inbox_id)
    number = asked(api, body={"days": 2}).json()["id"]

    def run(**conf: object) -> Any:
        return ReplayMail(task_id="replay").execute({"dag_run": SimpleNamespace(conf=conf), "params": conf})

    forged = {"tenant_id": 1, "groups": ["text"], "state": "applying", "inbox_id": 1, "here": True}
    assert run(replay_id=number, **forged)["state"] == "previewed"
    with pytest.raises(AirflowSkipException, match="nothing is to be done"):
        run(replay_id=number, **forged)
    assert desk.box.query("SELECT body_text FROM messages WHERE inbox_id = %s", desk.box.inbox_id) == [("older",)]
    for wrong in ({}, {"replay_id": None}, {"replay_id": "all"}, {"replay_id": 2**60}):
        with pytest.raises(AirflowFailException):
            run(**wrong)


def test_a_rule_that_is_tried_shows_what_would_be_otherwise(api: Api, desk: Desk) -> None:
    desk.box.deliver(mail("Parcel 1", sender="bot@parcels.example"), mail("Help"))
    desk.box.run()
    rule = {
        "conditions": [{"on": "sender", "op": "contains", "values": ["@parcels.example"]}],
        "actions": {"tags": ["parcel"]},
    }
    body = {"name": "parcels", "rule": rule, "days": 2}
    answer = api.http.post("/v1/mail-rules/try", json=body, headers=api.admin)
    assert answer.status_code == 200, answer.text
    tried = answer.json()
    assert tried["differences"]["groups"] == {"mail_rules": 1}
    [example] = tried["differences"]["examples"]["mail_rules"]
    assert (example["was"], example["now"]) == ("no rule", "parcels: tagged parcel")
