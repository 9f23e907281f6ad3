"""Mail rules by the API: admins change and try them, everybody sees what they did."""

from __future__ import annotations

from typing import Any

import httpx

from tests.api.conftest import Api
from tests.sending.conftest import Desk
from tests.stories.conftest import mail

PARCELS: dict[str, Any] = {
    "conditions": [{"on": "sender", "op": "contains", "values": ["@parcels.example"]}],
    "actions": {"set_aside": "parcel notices"},
}


def admin(api: Api, method: str, path: str, json: object = None) -> httpx.Response:
    return api.http.request(method, f"/v1/mail-rules{path}", json=json, headers=api.admin)


def test_rules_are_put_ordered_removed_and_every_version_is_kept(api: Api) -> None:
    assert api.get("/mail-rules").json() == {"version": 0, "rules": []}
    for name in ("one", "two"):
        assert admin(api, "PUT", f"/{name}", PARCELS).status_code == 200
    ordered = admin(api, "POST", "/order", {"names": ["two"]}).json()
    assert (ordered["version"], [rule["name"] for rule in ordered["rules"]]) == (3, ["two", "one"])
    assert admin(api, "PUT", "/one", PARCELS | {"enabled": True}).json()["rules"][1]["enabled"] is True
    assert [rule["name"] for rule in admin(api, "DELETE", "/two").json()["rules"]] == ["one"]
    first = api.get("/mail-rules/versions", params={"limit": 3}).json()
    rest = api.get("/mail-rules/versions", params={"limit": 3, "cursor": first["next"]}).json()
    told = [(one["version"], one["change"], one["changed_by"]) for one in first["items"] + rest["items"]]
    assert told[0] == (5, "removed two", "Ann the admin")
    assert [version for version, *_ in told] == [5, 4, 3, 2, 1]
    assert rest["next"] is None
    assert admin(api, "DELETE", "/two").status_code == 404


def test_a_rule_is_tried_switched_on_and_what_it_did_is_shown(api: Api, desk: Desk) -> None:
    desk.box.deliver(mail("Parcel 1", sender="bot@parcels.example"), mail("Help"))
    desk.box.run()
    tried = admin(api, "POST", "/try", {"name": "parcels", "rule": PARCELS, "days": 2}).json()
    assert (tried["read"], tried["matched"], tried["tickets"], tried["complete"]) == (2, 1, 1, True)
    [example] = tried["examples"]
    assert (example["subject"], example["state"], example["verdict"]) == ("Parcel 1", "persisted", "human")
    assert example["ruling"]["did"] == ["set aside: parcel notices"]
    assert api.get("/mail-rules").json()["version"] == 0
    admin(api, "PUT", "/parcels", PARCELS | {"enabled": True})
    about_help = {"on": "subject", "op": "matches", "values": ["^help"]}
    tags = {"conditions": [about_help], "actions": {"tags": ["help"], "priority": "high", "queue": "first"}}
    admin(api, "PUT", "/help", tags | {"enabled": True})
    desk.box.deliver(mail("Parcel 2", sender="bot@parcels.example"), mail("HELP again"))
    desk.box.run()
    [aside] = api.get("/inbound").json()["items"]
    assert aside["reason"] == "mail rule parcels: parcel notices"
    [ruling] = aside["mail_rules"]
    assert (ruling["rule"], ruling["version"], ruling["evidence"][0]["value"]) == ("parcels", 2, "bot@parcels.example")
    newest = api.get("/tickets").json()["items"][0]
    assert (newest["tags"], newest["priority"], newest["queue"]) == (["help"], "high", "first")
    thread = api.get(f"/tickets/{newest['id']}").json()
    assert [one["rule"] for one in thread["messages"][0]["mail_rules"]] == ["help"]
    assert api.post(f"/inbound/{aside['id']}/release").status_code == 202
    desk.box.run()
    assert api.get("/tickets").json()["items"][0]["subject"] == "Parcel 2"


def test_rules_that_go_or_change_places_are_previewed(api: Api, desk: Desk) -> None:
    by = {"on": "sender", "op": "contains", "values": ["parcels.example"]}
    for name in ("one", "two"):
        aside = {"set_aside": f"parcels by {name}"}
        admin(api, "PUT", f"/{name}", {"enabled": True, "conditions": [by], "actions": aside})
    desk.box.deliver(mail("Parcel 1", sender="bot@parcels.example"), mail("Help"))
    desk.box.run()

    def would_be(**change: Any) -> tuple[dict[str, int], list[str]]:
        told = admin(api, "POST", "/preview", change).json()
        assert told["read"] == 2
        return told["groups"], [one["now"] for each in told["examples"].values() for one in each]

    assert would_be() == ({}, [])
    groups, now = would_be(off=["one", "two"])
    assert (groups, now) == ({"verdict": 1}, ["human (human), a ticket"])
    assert would_be(removed=["one"])[0] == {"mail_rules": 1}
    assert would_be(first=["two"])[0] == {"mail_rules": 1}
    assert admin(api, "POST", "/preview", {"off": ["three"]}).status_code == 404
    assert api.get("/mail-rules").json()["version"] == 2
    assert api.post("/mail-rules/preview", {"off": ["one"]}).status_code == 403


def test_what_a_rule_sorted_wrong_an_agent_puts_right(api: Api, desk: Desk) -> None:
    path = f"/v1/tickets/{desk.ticket()}"
    change = {"tags": ["vip", "vip"], "priority": "urgent", "queue": "second"}
    changed = api.http.patch(path, json=change, headers=api.agent).json()
    assert (changed["tags"], changed["priority"], changed["queue"]) == (["vip"], "urgent", "second")
    cleared = api.http.patch(path, json={"tags": [], "queue": ""}, headers=api.agent).json()
    assert (cleared["tags"], cleared["priority"], cleared["queue"]) == ([], "urgent", "")


def test_an_agent_sees_the_rules_and_changes_none(api: Api) -> None:
    admin(api, "PUT", "/one", PARCELS)
    assert [rule["name"] for rule in api.get("/mail-rules").json()["rules"]] == ["one"]
    refused = [
        api.http.put("/v1/mail-rules/one", json=PARCELS, headers=api.agent),
        api.http.delete("/v1/mail-rules/one", headers=api.agent),
        api.post("/mail-rules/order", {"names": ["one"]}),
        api.post("/mail-rules/try", {"name": "one"}),
    ]
    assert [answer.status_code for answer in refused] == [403] * 4


def test_another_tenant_sees_and_tries_none_of_it(api: Api, stranger: Api, desk: Desk) -> None:
    desk.box.deliver(mail("Parcel 1", sender="bot@parcels.example"))
    desk.box.run()
    admin(api, "PUT", "/one", PARCELS)
    assert stranger.get("/mail-rules").json() == {"version": 0, "rules": []}
    assert stranger.get("/mail-rules/versions").json()["items"] == []
    tried = admin(stranger, "POST", "/try", {"name": "one", "rule": PARCELS}).json()
    assert (tried["read"], tried["matched"]) == (0, 0)
    assert admin(stranger, "POST", "/try", {"name": "one"}).status_code == 404


def test_a_mistake_is_answered_with_rule_condition_and_what_to_do(api: Api) -> None:
    wrong = PARCELS | {"conditions": [{"on": "subject", "op": "matches", "values": ["(?=x)"]}]}
    answer = admin(api, "PUT", "/one", wrong)
    assert answer.status_code == 422
    said = answer.json()["detail"]
    assert said.startswith("rule one, condition 1 (subject): the pattern '(?=x)' can't be used")
    assert "no look-around" in said
    assert admin(api, "PUT", "/One", PARCELS).status_code == 422
    assert api.get("/mail-rules").json()["version"] == 0
