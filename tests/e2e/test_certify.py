"""The daily certificate in the real Airflow: one mapped task a tenant, and a mail that was never fetched comes in by it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from inboxops.composition import certifying, intake
from inboxops.composition.world import World
from inboxops.orchestrator.airflow import Airflow
from inboxops_lab.testing.mailserver import MailServer
from tests.e2e.conftest import eventually
from tests.stories.conftest import connect, mail

ENDED = ("success", "failed")
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_a_mail_that_was_never_fetched_comes_in(
    world: World, tenant: str, mail_server: MailServer, airflow: Airflow
) -> None:
    box = connect(world, tenant, mail_server)
    intake.fetch(world, box.inbox_id)
    box.query("UPDATE inboxes SET first_read_at = now() - interval '1 day' WHERE id = %s RETURNING 1", box.inbox_id)
    for subject in ("Fetched", "Forgotten"):
        box.server.append(box.user, mail(subject), when=datetime.now(UTC) - timedelta(hours=1))
    intake.fetch(world, box.inbox_id)
    box.query(
        "DELETE FROM inbound WHERE id = (SELECT max(id) FROM inbound WHERE inbox_id = %s) RETURNING 1", box.inbox_id
    )

    run = f"test-{uuid.uuid4().hex}"
    eventually("Airflow knows the DAG", lambda: airflow.start("certify", run))
    state = eventually("it ended", lambda: _ended(airflow, run), seconds=180)
    assert state == "success"
    # The scheduler may have made a run of its own when the stack began, and that one the first certificate.
    bodies = [certifying.body(one) for one in world.certificates.chain(box.inbox.tenant_id)]
    findings = [(one["kind"], one["repaired"]) for body in bodies for one in body["findings"]]
    assert findings == [("mail_missing", True)], bodies
    assert (bodies[-1]["mails"], bodies[-1]["unaccounted"]) == (2, 0)
    assert certifying.verify(world, box.inbox.tenant_id)[1] == []


def _ended(airflow: Airflow, run: str) -> str:
    state = str(airflow.get(f"/dags/certify/dagRuns/{run}")["state"])
    return state if state in ENDED else ""
