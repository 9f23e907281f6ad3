"""docker-compose.yaml, as far as it can be judged without an engine."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from dotenv import dotenv_values

from inboxops.settings import GONE, Settings
from inboxops_local.stack import postgres
from inboxops_local.stack.airflow import TUNING
from inboxops_local.stack.home import GENERATED, Home, read_env
from inboxops_local.stack.layout import checkout
from inboxops_local.stack.rotation import finished, renewed
from inboxops_local.stack.testing import running

OWNER = "INBOXOPS_OWNER_DATABASE_URL"
COMPOSE = checkout() / "docker-compose.yaml"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DECIDED = {
    f"INBOXOPS_{name}" for name in ("DATABASE_URL", "API_DATABASE_URL", "REDIS_URL", "S3_ENDPOINT", "AIRFLOW_URL")
}
"""What follows from the servers and passwords that the file names itself."""
SECRETS = {name: f"{name}-of-env" for name in GENERATED}

VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?::(?P<how>[-?])(?P<other>[^}]*))?\})")
"""Of the Compose specification (interpolation) what the file uses."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text()))


def rendered(env: Mapping[str, str]) -> dict[str, Any]:
    """The file as Compose has it with this env file. A variable without a value is taken from there, too."""

    def value(found: re.Match[str]) -> str:
        if found["dollar"] or env.get(found["name"]):
            return "$" if found["dollar"] else env[found["name"]]
        assert found["how"] != "?", f"{found['name']} is required"
        return found["other"] or ""

    def walk(node: Any) -> Any:
        if isinstance(node, str):
            return VARIABLE.sub(value, node)
        if isinstance(node, list):
            return [walk(each) for each in node]
        if isinstance(node, dict):
            return {name: env.get(name) if each is None else walk(each) for name, each in node.items()}
        return node

    whole: dict[str, Any] = walk(yaml.safe_load(COMPOSE.read_text()))
    return whole


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


def test_nothing_but_the_two_front_doors_is_published_and_those_on_loopback() -> None:
    services = rendered(SECRETS)["services"]
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"airflow-api": ["127.0.0.1:8080:8080"], "api": ["127.0.0.1:8081:8081"]}


def test_every_airflow_setting_is_one_that_airflow_knows(compose: dict[str, Any]) -> None:
    core = yaml.safe_load((files("airflow") / "config_templates" / "config.yml").read_text())
    known = {f"AIRFLOW__{section}__{option}".upper() for section in core for option in core[section]["options"]}
    used = {name for name in compose["x-airflow"]["environment"] if name.startswith("AIRFLOW__")}
    assert {name for name in used - known if not name.startswith("AIRFLOW__CELERY__")} == set()


def test_every_setting_reaches_every_process(compose: dict[str, Any]) -> None:
    names = {f"INBOXOPS_{name.upper()}" for name in Settings.model_fields} - {OWNER}
    assert set(compose["x-inboxops"]) == names | (GONE.keys() - {"INBOXOPS_PRODUCTION"}), "what is gone is told of"
    told = SECRETS | {name: f"{name} as told" for name in (*names - DECIDED, "AIRFLOW__API__BASE_URL")}
    services = {name: one for name, one in rendered(told)["services"].items() if one["image"] == "inboxops:local"}
    wrong = {
        f"{service}: {name}": one["environment"].get(name)
        for service, one in services.items()
        for name in names - DECIDED
        if one["environment"].get(name) != told[name]
    }
    assert wrong == {}
    assert services["airflow-api"]["environment"]["AIRFLOW__API__BASE_URL"] == "AIRFLOW__API__BASE_URL as told"


def test_the_public_addresses_are_told_by_the_names_that_the_documents_give_them() -> None:
    pages = "".join((checkout() / "docs" / page).read_text() for page in ("operations.md", "connect-gmail.md"))
    assert set(re.findall(r"\b(INBOXOPS_API_URL|AIRFLOW__API__BASE_URL|\w*PUBLIC_URL)\b", pages)) == {
        "INBOXOPS_API_URL", "AIRFLOW__API__BASE_URL",
    }  # fmt: skip


def test_a_cell_has_of_its_own_what_the_documents_say_and_shares_the_rest() -> None:
    """Two projects by one file: the second with the lines of docs/operations.md over a copy of the first one's env file."""
    page = (checkout() / "docs" / "operations.md").read_text()
    (lines,) = re.findall(r"^# b\.env\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    told = {name: value or "" for name, value in dotenv_values(stream=io.StringIO(lines)).items()}
    (own_secrets,) = re.findall(r"^inboxops rotate --env-file b\.env (STACK_.*)$", page, re.MULTILINE)
    servers = {name: told[name] for name in ("STACK_POSTGRES_ADDRESS", "STACK_REDIS_ADDRESS", "STACK_S3_ENDPOINT")}
    one, other = rendered(SECRETS | servers), rendered(finished(renewed(SECRETS | told, own_secrets.split(), now=NOW)))
    first, second = (whole["services"]["worker"]["environment"] for whole in (one, other))
    assert {name for name in first if first[name] != second[name]} == {
        "INBOXOPS_CELL", "INBOXOPS_CELLS", "AIRFLOW__API__BASE_URL",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW_CONN_INBOXOPS_AIRFLOW_DB", "AIRFLOW__CELERY__RESULT_BACKEND",
        "AIRFLOW__CELERY__BROKER_URL", "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER",
        "AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET",
    }  # fmt: skip
    logs = second["AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER"].removeprefix("s3://")
    assert f'inboxops prepare --log-bucket "{logs}"' in other["services"]["init"]["command"][-1]
    front, other_front = (whole["services"]["airflow-api"] for whole in (one, other))
    assert front["ports"] != other_front["ports"]
    assert front["environment"]["ADMIN_PASSWORD"] != other_front["environment"]["ADMIN_PASSWORD"]
    assert {"postgres:5432", "redis:6379", "http://s3:8333"} & set(re.findall(r"[\w:/.]+", str(second))) == set()
    started = re.findall(r"docker compose -p inboxops-b .*", page)
    named = {word for line in started for word in line.split() if word in other["services"]}
    assert named == set(other["services"]) - {"postgres", "redis", "s3", "api"}
    assert all("--no-deps" in line for line in started)


def test_only_the_step_that_makes_tables_knows_their_owner(compose: dict[str, Any]) -> None:
    knows = {name for name, service in compose["services"].items() if "OWNER_PASSWORD" in str(service)}
    assert knows == {"init", "roles"}
    assert "STACK_OWNER_PASSWORD" in compose["services"]["init"]["environment"][OWNER]


def test_its_roles_are_made_and_brought_up_to_date(tmp_path: Path) -> None:
    """The same SQL, by the same program, on a server that has an older version's roles; and another cell's."""
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
        passwords = {name: f"'{name}' of now" for name in ("OWNER", "TASKS", "API", "AIRFLOW_DATABASE")}
        first = SECRETS | {f"STACK_{name}_PASSWORD": value for name, value in passwords.items()} | {
            "STACK_POSTGRES_PASSWORD": kept["STACK_POSTGRES_PASSWORD"],
            "STACK_POSTGRES_ADDRESS": f"{where['host']}:{where['port']}",
        }  # fmt: skip
        cell = {"STACK_AIRFLOW_DATABASE": "airflow_b", "STACK_AIRFLOW_DATABASE_PASSWORD": "the cell's"}
        psql, script = postgres.cluster(Home(tmp_path / "home")).programs / "psql", tmp_path / "roles.sql"
        for env in (first, first, first | cell):
            whole = rendered(env)
            roles = whole["services"]["roles"]
            script.write_text(whole["configs"]["roles"]["content"])
            command = [psql, *(str(script) if word == "/roles.sql" else word for word in roles["command"][1:])]
            subprocess.run(command, env={**os.environ, **roles["environment"]}, check=True, timeout=60)
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
        server = {"host": where["host"], "port": where["port"]}
        own = {"user": "airflow_b", "password": "the cell's"}
        psycopg.connect(**server, **own, dbname="airflow_b").close()  # type: ignore[arg-type]
        for foreign in ("airflow", "inboxops"):
            with pytest.raises(psycopg.OperationalError, match="permission denied"):
                psycopg.connect(**server, **own, dbname=foreign)  # type: ignore[arg-type]
        psycopg.connect(**server, user="airflow", password=passwords["AIRFLOW_DATABASE"], dbname="airflow").close()  # type: ignore[arg-type]


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
