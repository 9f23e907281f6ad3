"""Canaries over HTTP: an admin wishes for them, everybody of the tenant sees whether they came back."""

from __future__ import annotations

from inboxops.composition import canaries
from tests.api.conftest import Api
from tests.sending.conftest import Desk


def test_an_admin_wishes_for_canaries_and_sees_what_became_of_them(api: Api, stranger: Api, desk: Desk) -> None:
    inbox = f"/v1/inboxes/{desk.box.inbox_id}"
    changed = api.http.patch(inbox, json={"canary_minutes": 60}, headers=api.admin).json()
    assert (changed["canary_minutes"], changed["canary_from_id"]) == (60, None)
    number = canaries.send(desk.world, desk.box.inbox_id)
    desk.box.deliver(*(one.raw for one in desk.taken))
    desk.box.run()
    (one,) = api.http.get(f"{inbox}/canaries", headers=api.admin).json()
    assert (one["id"], one["state"], one["sender"]) == (number, "back", "support")
    assert stranger.http.get(f"{inbox}/canaries", headers=stranger.admin).status_code == 404
    assert api.http.patch(inbox, json={"canary_minutes": 5}, headers=api.admin).status_code == 422
    assert api.http.patch(inbox, json={"canary_from_id": 2**40}, headers=api.admin).status_code == 404
    changed = api.http.patch(inbox, json={"canary_minutes": 0}, headers=api.admin).json()
    assert (changed["canary_minutes"], changed["canary_delete"]) == (None, False)
    assert api.http.patch(inbox, json={"canary_delete": True}, headers=api.admin).json()["canary_delete"]
    assert (one["removed"], one["removal_error"]) == (None, None)
