"""The daily certificate in the real Airflow: one mapped task a tenant."""

from __future__ import annotations

import uuid

import pytest

from inboxops.composition import certifying
from inboxops.composition.world import World
from inboxops.orchestrator.airflow import Airflow
from inboxops.settings import Settings
from tests.e2e.conftest import eventually

ENDED = ("success", "failed")
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_every_tenant_gets_its_certificate(stack: Settings, airflow: Airflow) -> None:
    world = World(stack)
    tenants = eventually("the demonstration was read", lambda: world.certificates.tenants(limit=10), seconds=240)
    run = f"test-{uuid.uuid4().hex}"
    eventually("Airflow knows the DAG", lambda: airflow.start("certify", run))
    state = eventually(
        "it ended",
        lambda: next((s for s in [str(airflow.get(f"/dags/certify/dagRuns/{run}")["state"])] if s in ENDED), None),
        seconds=240,
    )
    assert state == "success"
    for tenant_id in tenants:
        body = certifying.body(certifying.of_day(world, tenant_id, None))
        assert [one["skipped"] for one in body["inboxes"]] == [""] * len(body["inboxes"])
        assert body["unaccounted"] == 0, body["findings"]
        assert certifying.verify(world, tenant_id)[1] == []
    world.close()
