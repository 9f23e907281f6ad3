"""docker-compose.yaml, as far as it can be judged without an engine."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.resources import files
from typing import Any

import pytest
import yaml

from inboxops.settings import Settings
from inboxops_local.stack.airflow import TUNING
from inboxops_local.stack.home import GENERATED
from inboxops_local.stack.layout import checkout

COMPOSE = checkout() / "docker-compose.yaml"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text()))


def test_it_follows_the_compose_specification() -> None:
    subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)], check=True
    )


def test_it_has_all_parts_and_every_one_that_stays_says_how_it_is(compose: dict[str, Any]) -> None:
    services = compose["services"]
    stay = {"postgres", "redis", "s3", "airflow-api", "scheduler", "dag-processor", "triggerer", "worker", "api"}
    assert set(services) == stay | {"init"}
    assert {name for name, service in services.items() if "healthcheck" in service} == stay
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)


def test_every_secret_is_required_and_is_one_that_the_stack_generates() -> None:
    required = set(re.findall(r"(?<!\$)\$\{(\w+):\?", COMPOSE.read_text()))
    assert required <= set(GENERATED)
    assert not re.search(r"(?<!\$)\$\{\w*(PASSWORD|SECRET|KEY)\w*(:-|\})", COMPOSE.read_text())


def test_nothing_but_the_two_front_doors_is_published_and_those_on_loopback(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published == {"airflow-api": ["127.0.0.1:8080:8080"], "api": ["127.0.0.1:8081:8081"]}


def test_every_airflow_setting_is_one_that_airflow_knows(compose: dict[str, Any]) -> None:
    core = yaml.safe_load((files("airflow") / "config_templates" / "config.yml").read_text())
    known = {f"AIRFLOW__{section}__{option}".upper() for section in core for option in core[section]["options"]}
    used = {name for name in compose["x-airflow"]["environment"] if name.startswith("AIRFLOW__")}
    assert {name for name in used - known if not name.startswith("AIRFLOW__CELERY__")} == set()


def test_every_setting_reaches_every_process(compose: dict[str, Any]) -> None:
    names = {f"INBOXOPS_{name.upper()}" for name in Settings.model_fields}
    assert names - set(compose["x-inboxops"]) == set()
    assert set(compose["x-inboxops"]) - names == set()
    for name in ("x-airflow",):
        assert names <= set(compose[name]["environment"])
    assert names <= set(compose["services"]["api"]["environment"])


def test_airflow_is_tuned_as_in_the_local_stack(compose: dict[str, Any]) -> None:
    used = compose["x-airflow"]["environment"]
    assert {name: used.get(f"AIRFLOW__{name}") for name in TUNING} == {
        name: str(value) for name, value in TUNING.items()
    }


def test_the_image_copies_what_exists_and_leaves_out_wheels_that_are_in_the_lock() -> None:
    text = (checkout() / "Dockerfile").read_text()
    for source in re.findall(r"^COPY (\S+) ", text, re.M):
        assert (checkout() / source).exists()
    (left_out,) = re.findall(r"\^\(([\w|-]+)\)==", text)
    locked = {line.split("==")[0] for line in (checkout() / "requirements.txt").read_text().splitlines()}
    assert set(left_out.split("|")) <= locked


def test_neither_data_nor_secrets_are_sent_to_the_builder() -> None:
    assert {".inboxops*", ".venv*", ".git", ".env"} <= set((checkout() / ".dockerignore").read_text().split())
