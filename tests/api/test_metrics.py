"""`/metrics`: closed without its token, sums over all tenants, and alerts that ask for figures that are there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from api.app import create_app
from api.routers.metrics import FIGURES
from inboxops.composition import upkeep
from inboxops.composition.world import World
from inboxops.core import looking
from inboxops.settings import Settings
from inboxops_lab import documentation
from tests.sending.conftest import Desk

ROOT = Path(__file__).parents[2]
TOKEN = {"Authorization": "Bearer the token"}


@pytest.fixture
def watched(services: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(services.model_copy(update={"metrics_token": SecretStr("the token")}))) as client:
        yield client


def figures(client: TestClient) -> dict[str, list[tuple[dict[str, str], float]]]:
    text = client.get("/metrics", headers=TOKEN).text
    return {
        family.name.removeprefix("inboxops_") + ("_total" if family.type == "counter" else ""): [
            (dict(one.labels), one.value) for one in family.samples
        ]
        for family in text_string_to_metric_families(text)
    }


def test_without_a_token_there_are_none_and_with_another_they_are_closed(
    http_client: TestClient, watched: TestClient
) -> None:
    assert http_client.get("/metrics", headers=TOKEN).status_code == 404
    assert watched.get("/metrics").status_code == 401
    assert watched.get("/metrics", headers={"Authorization": "Bearer another"}).status_code == 401


def test_they_tell_of_mail_inboxes_sends_and_the_pulse(watched: TestClient, desk: Desk, world: World) -> None:
    before = figures(watched)
    desk.reply(desk.ticket())
    upkeep.pulse(world, datetime.now(UTC))
    upkeep.triggered(world)
    world.heart.drained()
    found = figures(watched)
    documented = {
        name: {label.strip("`") for label in labels.split(", ") if label}
        for name, labels in re.findall(r"^\| `inboxops_(\w+)` \| (.*?) ?\|", documentation.metrics(), re.MULTILINE)
    }
    assert set(found) == set(documented)
    seen = {name: set(known) for name, samples in found.items() for known, _ in samples}
    assert seen == {name: documented[name] for name in seen}

    def total(said: dict[str, list[tuple[dict[str, str], float]]], name: str, **labels: str) -> float:
        return sum(value for known, value in said[name] if labels.items() <= known.items())

    assert total(found, "sends", state="pending") == total(before, "sends", state="pending") + 1
    assert total(found, "inboxes", kind="imap", state="connected") >= 1
    assert total(found, "recent_verdicts", verdict="human") >= 1
    assert total(found, "pulse_age_seconds", cell="main") < 60
    assert total(found, "cell_inboxes", cell="main") >= 1
    assert {value for _, value in found["pulse_hop_up"]} == {1.0}
    assert {known["hop"] for known, _ in found["pulse_hop_up"]} == {"object_store", "event_bus", "triggerer", "drain"}
    assert total(found, "arrival_to_ticket_seconds", quantile="0.5") >= 0


def test_a_cell_without_tenants_that_was_stopped_pages_nobody(watched: TestClient, desk: Desk, world: World) -> None:
    """It is known for a day; a cell whose tenants wait is told of for as long as it has them."""

    def told(name: str) -> set[str]:
        return {known["cell"] for known, _ in figures(watched)[name]}

    empty = World(world.settings.model_copy(update={"cell": "empty"}))
    upkeep.pulse(world, datetime.now(UTC))
    upkeep.pulse(empty, datetime.now(UTC))
    upkeep.triggered(empty)
    assert "empty" in told("cell_inboxes")
    assert "empty" not in told("pulse_age_seconds") | told("pulse_hop_up")
    world.inboxes.add_tenant(f"{desk.box.inbox.tenant}-e", "In it", cell="empty")
    assert "empty" in told("pulse_age_seconds") & told("pulse_hop_up")
    with world.database.transaction() as t:
        t.connection.execute(b"UPDATE tenants SET cell = 'main' WHERE cell = 'empty'")
        t.connection.execute(b"DELETE FROM pulse WHERE cell = 'empty'")
    empty.close()


def test_they_tell_of_looks(watched: TestClient, desk: Desk, world: World) -> None:
    def of(name: str, **labels: str) -> float:
        return next(value for known, value in figures(watched)[name] if known == labels)

    inbox_id, now = desk.box.inbox_id, datetime.now(UTC)
    world.looks.follow(timedelta(minutes=5))
    with world.database.transaction() as t:
        t.connection.execute(
            b"UPDATE inbox_looks SET due_at = now() - interval '1 hour' WHERE inbox_id = %s", (inbox_id,)
        )
    assert 3600 <= of("look_overdue_seconds", cell="main") < 3700
    failed = of("looks_total", result="failed")
    [look] = world.looks.claim("this test", limit=1)
    done = looking.failed(look, "transient", "away", retry_after=None, every=timedelta(minutes=5), at=now)
    world.looks.done("this test", [done])
    assert of("looks_total", result="failed") == failed + 1
    assert of("look_failing_inboxes") == 1
    assert of("look_overdue_seconds", cell="main") < 60, "others' looks may just have fallen due"
    world.looks.end()


def test_no_address_subject_or_tenant_is_in_them(watched: TestClient, desk: Desk) -> None:
    desk.ticket(subject="Very private", sender="rita@buyer.example")
    text = watched.get("/metrics", headers=TOKEN).text
    assert not re.search(r"private|rita|buyer|" + desk.box.inbox.tenant, text)


def test_alerts_and_dashboard_ask_for_figures_that_are_there_and_name_their_runbook() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "alerts.yaml").read_text())["groups"][0]["rules"]
    dashboard = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())
    asked = [rule["expr"] for rule in rules] + [
        target["expr"] for panel in dashboard["panels"] for target in panel["targets"]
    ]
    names = {name for expression in asked for name in re.findall(r"inboxops_([a-z_]+)", expression)}
    assert names - set(FIGURES) == set()
    assert {f"inboxops_{name}" for name in FIGURES} <= {
        name for text in asked for name in re.findall(r"inboxops_\w+", text)
    }
    operations = (ROOT / "docs" / "operations.md").read_text()
    for rule in rules:
        assert rule["annotations"]["runbook"] == "docs/operations.md#when-something-is-red"
        assert f"`{rule['alert']}`" in operations, rule["alert"]
