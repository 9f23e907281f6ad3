"""docker-compose.yaml, as far as it can be judged without an engine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from inboxops.settings import Settings
from inboxops_local.stack import postgres
from inboxops_local.stack.airflow import TUNING
from inboxops_local.stack.home import GENERATED, Home, read_env
from inboxops_local.stack.layout import checkout
from inboxops_local.stack.testing import running

OWNER = "INBOXOPS_OWNER_DATABASE_URL"
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
    assert set(services) == stay | {"init", "roles"}
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
    names = {f"INBOXOPS_{name.upper()}" for name in Settings.model_fields} - {OWNER}
    assert names - set(compose["x-inboxops"]) == set()
    assert set(compose["x-inboxops"]) - names == set()
    for name in ("x-airflow",):
        assert names <= set(compose[name]["environment"])
    assert names <= set(compose["services"]["api"]["environment"])


def test_only_the_step_that_makes_tables_knows_their_owner(compose: dict[str, Any]) -> None:
    knows = {name for name, service in compose["services"].items() if "OWNER_PASSWORD" in str(service)}
    assert knows == {"init", "roles"}
    assert "STACK_OWNER_PASSWORD" in compose["services"]["init"]["environment"][OWNER]


def test_its_roles_are_made_and_brought_up_to_date(compose: dict[str, Any], tmp_path: Path) -> None:
    """The same SQL, by the same program, on a server that has an older version's roles."""
    script = tmp_path / "roles.sql"
    script.write_text(compose["configs"]["roles"]["content"])
    with running(tmp_path / "home", "--only=services") as settings:
        kept = read_env(tmp_path / "home" / "inboxops.env")
        where = psycopg.conninfo.conninfo_to_dict(settings.owner_dsn)
        admin = {
            "host": where["host"],
            "port": where["port"],
            "user": "postgres",
            "password": kept["STACK_POSTGRES_PASSWORD"],
        }
        with psycopg.connect(**admin, dbname="postgres", autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute("REVOKE ALL ON DATABASE inboxops FROM inboxops_tasks")
            connection.execute("DROP ROLE inboxops_tasks")
        passwords = {name: f"'{name}' of now" for name in ("OWNER", "TASKS", "API", "AIRFLOW")}
        environment = {
            **os.environ,
            **{f"PG{name.upper()}": str(value) for name, value in admin.items()},
            **{f"{name}_PASSWORD": value for name, value in passwords.items()},
        }
        psql = postgres.cluster(Home(tmp_path / "home")).programs / "psql"
        for _ in range(2):
            subprocess.run(
                [psql, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", script, "postgres"],
                env=environment, check=True, timeout=60,
            )  # fmt: skip
        with psycopg.connect(
            host=where["host"],
            port=where["port"],
            dbname="inboxops",
            user="inboxops_tasks",
            password=passwords["TASKS"],
        ) as tasks:
            row = tasks.execute(
                "SELECT rolbypassrls, rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user"
            )
            assert row.fetchone() == (True, False, False)


def test_what_is_ours_runs_closed(compose: dict[str, Any]) -> None:
    """Without root, rights to gain, or a place to write but scratch space and logs."""
    text = (checkout() / "Dockerfile").read_text()
    assert re.findall(r"^USER (\S+)", text, re.M)[-1] == "airflow"
    ours = {name: one for name, one in compose["services"].items() if one["image"] == "inboxops:local"}
    assert set(ours) == {"init", "airflow-api", "scheduler", "dag-processor", "triggerer", "worker", "api"}
    for name, service in ours.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        assert "user" not in service, name


def test_no_container_leaves_a_core(compose: dict[str, Any]) -> None:
    assert {
        name: one.get("ulimits") for name, one in compose["services"].items() if one.get("ulimits") != {"core": 1}
    } == {}


def test_what_is_installed_is_what_was_locked() -> None:
    """Each package of each lock by the hash of its files, wherever it is installed from one."""
    for lock in ("requirements.txt", "requirements-dev.txt"):
        text = (checkout() / lock).read_text()
        blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.M | re.I)[1:]
        assert blocks
        assert [block.split(" ")[0] for block in blocks if "--hash=sha256:" not in block] == []
    installs = re.findall(r"pip install .*-r(?:equirement)? \S+", (checkout() / "Makefile").read_text())
    installs += re.findall(r"pip install .*--requirement \S+", (checkout() / "Dockerfile").read_text())
    assert len(installs) == 3
    assert all("--require-hashes" in line for line in installs)


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
