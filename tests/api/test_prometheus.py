"""Prometheus itself: it takes the rules, says what they shall, and finds in `/metrics` what alerts and dashboard ask for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pydantic import SecretStr

from inboxops.composition import certifying, upkeep
from inboxops.composition.world import World
from inboxops.settings import Settings
from inboxops_lab.testing.processes import free_ports, wait_until
from tests.sending.conftest import Desk
from tests.webserver import serving

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "alerts.yaml"
TOKEN = "a token of /metrics"

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="needs Prometheus, which is not installed (apt-get install prometheus)",
)


@pytest.mark.parametrize(
    "command", [("check", "rules", ALERTS), ("test", "rules", ROOT / "tests" / "api" / "alerts.yaml")]
)
def test_promtool_takes_the_rules_and_they_say_what_they_shall(command: tuple[str | Path, ...]) -> None:
    done = subprocess.run(["promtool", *command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


class Prometheus:
    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=60)

    def ready(self) -> bool:
        try:
            return self._http.get("/-/ready").is_success
        except httpx.HTTPError:
            return False

    def get(self, path: str, **asked: str) -> Any:
        return self._http.get(f"/api/v1/{path}", params=asked).raise_for_status().json()["data"]

    def finds(self, expression: str) -> bool:
        return bool(self.get("query", query=expression)["result"])

    def targets(self) -> dict[str, tuple[str, str]]:
        found = self.get("targets")["activeTargets"]
        return {one["labels"]["job"]: (one["health"], one["lastError"]) for one in found}


@contextmanager
def prometheus(folder: Path, *scraped: dict[str, Any]) -> Iterator[Prometheus]:
    """It scrapes each second, and works the alerts out as often."""
    often = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings = folder / "prometheus.yaml"
    settings.write_text(yaml.safe_dump({"global": often, "rule_files": [str(ALERTS)], "scrape_configs": scraped}))
    (port,) = free_ports(1)
    options = {"config.file": settings, "storage.tsdb.path": folder / "data", "web.listen-address": f"127.0.0.1:{port}"}
    with (folder / "log").open("w") as log:
        command = ["prometheus", *(f"--{name}={value}" for name, value in options.items())]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        here = Prometheus(f"http://127.0.0.1:{port}")
        wait_until("Prometheus to be ready", here.ready)
        yield here
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def documented() -> dict[str, Any]:
    """The scrape configuration of docs/operations.md."""
    text = (ROOT / "docs" / "operations.md").read_text()
    (found,) = re.findall(r"```yaml\n(scrape_configs:.*?)```", text, re.DOTALL)
    (only,) = yaml.safe_load(found)["scrape_configs"]
    return dict(only)


def test_alerts_and_panels_find_their_series_as_the_documentation_has_them_scraped(
    services: Settings, desk: Desk, world: World, tmp_path: Path, documented: dict[str, Any], tenant: str
) -> None:
    _something_of_everything(desk, world, tenant)
    token = tmp_path / "token"
    token.write_text(TOKEN)
    with serving(services.model_copy(update={"metrics_token": SecretStr(TOKEN)})) as url:
        place = {"static_configs": [{"targets": [url.removeprefix("http://")]}], "scheme": "http"}
        told = documented | place | {"authorization": documented["authorization"] | {"credentials_file": str(token)}}
        untold = {**place, "job_name": "untold"}
        with prometheus(tmp_path, told, untold) as here:
            wait_until("the API was scraped", lambda: here.targets().get("inboxops", ("",))[0] == "up", seconds=60)
            wait_until("it refused who has no token", lambda: "401" in here.targets()["untold"][1], seconds=60)
            rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
            asked = [_figures(rule["expr"]) for rule in rules] + _panels()
            for expression in asked:
                wait_until(f"a series for {expression}", _found(here, expression), seconds=30)

            def worked_out() -> bool:
                groups = here.get("rules")["groups"]
                return {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}

            wait_until("each rule to be worked out", worked_out, seconds=30)

            def states() -> dict[str, str]:
                return {alert["labels"]["alertname"]: alert["state"] for alert in here.get("alerts")["alerts"]}

            # Each scrape that takes longer than a second ends what was pending: the next begins it again.
            waits = "InboxOpsInboxDisconnected", "pending"
            wait_until(
                "the alert, which lasts a quarter of an hour first", lambda: waits in states().items(), seconds=60
            )
            assert "InboxOpsPulseMissing" not in states()


def _found(here: Prometheus, expression: str) -> Callable[[], bool]:
    return lambda: here.finds(expression)


def _figures(rule: str) -> str:
    """What a rule compares, without what it compares it with: that has to be there also while all is well."""
    missing = re.fullmatch(r"absent\((.+)\)", rule)
    return missing[1] if missing else re.split(r" (?:>|<|==) ", rule)[0]


def _panels() -> list[str]:
    panels = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def _something_of_everything(desk: Desk, world: World, tenant: str) -> None:
    """Of what has no figure before it happens for the first time: rows by state, kind or verdict."""
    now, inbox_id = datetime.now(UTC), desk.box.inbox_id
    message_id = desk.reply(desk.ticket()).message_id
    upkeep.pulse(world, now)
    certifying.certify(world, world.inboxes.tenant_id(tenant), now=now + timedelta(hours=1))
    world.looks.follow(timedelta(minutes=5))
    rows: tuple[tuple[bytes, tuple[object, ...]], ...] = (
        (
            b"INSERT INTO canaries (tenant_id, inbox_id, sender_id, sent_at, back_at)"
            b" SELECT tenant_id, id, id, now(), now() FROM inboxes WHERE id = %s",
            (inbox_id,),
        ),
        (b"UPDATE messages SET send_status = 'unknown' WHERE id = %s", (message_id,)),
        (b"UPDATE inbound SET state = 'stored' WHERE inbox_id = %s", (inbox_id,)),
        (
            b"UPDATE inboxes SET connected_at = NULL, last_error = 'refused', push_missed_in_row = 1 WHERE id = %s",
            (inbox_id,),
        ),
    )
    with world.database.transaction() as t:
        for statement, parameters in rows:
            t.connection.execute(statement, parameters)
