"""One API before two cells: what a request starts, it starts in the Airflow of its tenant's cell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from inboxops.composition import moving
from inboxops_lab.testing.mailserver import MailServer
from tests.cells.conftest import Cells
from tests.sending.conftest import Desk, set_up


@pytest.fixture
def http(two: Cells) -> Iterator[TestClient]:
    with TestClient(create_app(two.main.world.settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def desk(two: Cells, mail_server: MailServer) -> Iterator[Desk]:
    with set_up(two.main.world, two.tenant, mail_server) as desk:
        yield desk


def test_what_a_tenant_asks_for_goes_to_the_airflow_of_its_cell(two: Cells, http: TestClient, desk: Desk) -> None:
    ticket, inbox_id = desk.ticket(), desk.box.inbox_id
    moving.move(two.main.world, two.tenant, "b")
    key = two.main.world.api_keys.add(desk.tenant_id, name="Ann", role="admin")
    headers = {"Authorization": f"Bearer {key}"}
    parsed = two.b.airflow.parsed
    assert http.post(f"/v1/inboxes/{inbox_id}/fetch", headers=headers).json()["woken"]
    reply = http.post(f"/v1/tickets/{ticket}/replies", json={"body_text": "Hello."}, headers=headers)
    assert reply.status_code == 202, reply.text
    assert http.patch(f"/v1/inboxes/{inbox_id}", json={"display_name": "Help"}, headers=headers).status_code == 200
    assert two.b.airflow.wakes.count(inbox_id) == 1
    assert [dag for dag, _ in two.b.airflow.runs.values()] == ["send_message"]
    assert two.b.airflow.parsed == parsed + 1, "its list of inboxes is read again"
    assert inbox_id not in two.main.airflow.wakes
    assert not two.main.airflow.runs


def test_an_airflow_that_is_away_keeps_the_tenants_of_its_cell_waiting_alone(
    two: Cells, http: TestClient, desk: Desk
) -> None:
    key = two.main.world.api_keys.add(desk.tenant_id, name="Ann", role="admin")
    headers = {"Authorization": f"Bearer {key}"}
    two.b.airflow.away()
    assert http.post(f"/v1/inboxes/{desk.box.inbox_id}/fetch", headers=headers).json()["woken"]
    moving.move(two.main.world, two.tenant, "b")
    assert not http.post(f"/v1/inboxes/{desk.box.inbox_id}/fetch", headers=headers).json()["woken"]


def test_a_cell_that_stands_still_makes_the_installation_not_ready_and_is_named(
    two: Cells, http: TestClient, desk: Desk
) -> None:
    moving.move(two.main.world, two.tenant, "b")
    two.main.world.inboxes.add_tenant(f"{two.tenant}-main", "In main")
    found = http.get("/readyz")
    assert found.status_code == 200, found.json()
    assert {"main", "b"} <= found.json()["cells"].keys()
    with two.main.world.database.transaction() as t:
        t.connection.execute(b"UPDATE pulse SET beat_at = now() - interval '5 minutes' WHERE cell = 'b'")
    found = http.get("/readyz")
    assert (found.status_code, found.json()["stalled"]) == (503, True)
    assert "(cell b)" in found.json()["pulse"]
    assert [name for name, cell in found.json()["cells"].items() if cell["stalled"]] == ["b"]
    two.b.beat()
    assert http.get("/readyz").status_code == 200
