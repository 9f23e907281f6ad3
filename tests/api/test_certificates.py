"""Certificates over HTTP: for admins, in pages, with the very text that was signed, and of one's own tenant alone."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from inboxops.composition import certifying
from tests.api.conftest import Api
from tests.sending.conftest import Desk


def test_admins_look_through_them_and_at_one(api: Api, stranger: Api, desk: Desk) -> None:
    desk.ticket()
    now = datetime.now(UTC)
    for hours in range(1, 4):
        certifying.certify(desk.world, api.tenant_id, now=now + timedelta(hours=hours))
    assert api.get("/certificates").status_code == 403
    first = api.http.get("/v1/certificates?limit=2", headers=api.admin).json()
    rest = api.http.get("/v1/certificates", params={"cursor": first["next"]}, headers=api.admin).json()
    assert [one["number"] for one in (*first["items"], *rest["items"])] == [3, 2, 1]
    assert rest["next"] is None
    line = first["items"][0]
    assert line["says"].startswith(f"{line['mails']} mails since 20")
    assert line["says"].endswith(", each accounted for")
    one = api.http.get(f"/v1/certificates/{line['day']}", headers=api.admin).json()
    assert one["digest"] == line["digest"] == hashlib.sha256(one["text"].encode()).hexdigest()
    assert [box["inbox"] for box in one["inboxes"]] == ["support"]
    assert one["findings"] == []
    assert api.http.get("/v1/certificates/2020-01-01", headers=api.admin).status_code == 404
    assert api.http.get("/v1/certificates/yesterday", headers=api.admin).status_code == 422
    assert stranger.http.get("/v1/certificates", headers=stranger.admin).json()["items"] == []
    assert stranger.http.get(f"/v1/certificates/{line['day']}", headers=stranger.admin).status_code == 404
