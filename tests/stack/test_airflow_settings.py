"""Airflow's environment: every option exists, every address is loopback, no secret is someone else's to read."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from inboxops.settings import Ports
from inboxops_local.stack import airflow
from inboxops_local.stack.home import Home, load_or_make_secrets
from inboxops_local.stack.layout import Layout


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    home, ports = Home(tmp_path / "home"), Ports(base=20_000)
    home.make()
    return airflow.environment(Layout(home, ports, load_or_make_secrets(home, ports)))


def test_every_setting_is_one_that_airflow_knows(environment: dict[str, str]) -> None:
    text = (files("airflow") / "config_templates" / "config.yml").read_text()
    known = {
        f"AIRFLOW__{section.upper()}__{option.upper()}"
        for section, content in yaml.safe_load(text).items()
        for option in content["options"]
    }
    assert {name for name in environment if name.startswith("AIRFLOW__")} - known == set()


def test_connections_name_the_application_database_and_never_airflows_own(environment: dict[str, str]) -> None:
    database = json.loads(environment["AIRFLOW_CONN_INBOXOPS_DB"])
    assert (database["schema"], database["login"], database["port"]) == ("inboxops", "inboxops", 20_002)
    bucket = json.loads(environment["AIRFLOW_CONN_INBOXOPS_S3"])
    assert bucket["extra"]["endpoint_url"] == "http://127.0.0.1:20004"


def test_settings_of_another_installation_are_not_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", "http://elsewhere")
    monkeypatch.setenv("INBOXOPS_DATABASE_URL", "postgresql://production")
    monkeypatch.setenv("INBOXOPS_POLL_MINUTES", "1")
    home, ports = Home(tmp_path / "home"), Ports(base=20_000)
    home.make()
    found = airflow.environment(Layout(home, ports, load_or_make_secrets(home, ports)))
    assert found["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert not {"AIRFLOW_CONN_ELSEWHERE", "INBOXOPS_DATABASE_URL"} & set(found)
    assert found["INBOXOPS_POLL_MINUTES"] == "1"


def test_dag_files_see_what_the_settings_file_says(tmp_path: Path) -> None:
    """They read the environment alone; a limit that IDLE has and they have not would leave held inboxes without a watcher."""
    home, ports = Home(tmp_path / "home"), Ports(base=20_000)
    home.make()
    load_or_make_secrets(home, ports)
    with home.env_file.open("a") as file:
        file.write("INBOXOPS_IDLE_INBOXES=7\n")
    found = airflow.environment(Layout(home, ports, load_or_make_secrets(home, ports)))
    assert found["INBOXOPS_IDLE_INBOXES"] == "7"
