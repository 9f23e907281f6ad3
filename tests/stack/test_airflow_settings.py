"""Airflow's environment: every option exists, every address is loopback, no secret is someone else's to read."""

from __future__ import annotations

import json
import os
import re
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from inboxops.errors import OperatorError
from inboxops_local.stack import airflow
from inboxops_local.stack.home import Home, load_or_make_secrets
from inboxops_local.stack.layout import Layout
from inboxops_local.stack.ports import Ports


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
    assert (database["schema"], database["login"], database["port"]) == ("inboxops", "inboxops_tasks", 20_002)
    bucket = json.loads(environment["AIRFLOW_CONN_INBOXOPS_S3"])
    assert bucket["extra"]["endpoint_url"] == "http://127.0.0.1:20004"


def test_an_environment_that_names_other_servers_than_the_stacks_own_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INBOXOPS_DATABASE_URL", "postgresql://production")
    home = Home(tmp_path / "home")
    home.make()
    with pytest.raises(OperatorError, match="INBOXOPS_DATABASE_URL in the environment"):
        load_or_make_secrets(home, Ports(base=20_000))


def test_an_emptied_secret_is_not_made_anew_in_silence(tmp_path: Path) -> None:
    """Credentials that were sealed with it would be lost."""
    home, ports = Home(tmp_path / "home"), Ports(base=20_000)
    home.make()
    load_or_make_secrets(home, ports)
    text = home.env_file.read_text()
    home.env_file.write_text(re.sub("INBOXOPS_CREDENTIAL_KEYS=.*", "INBOXOPS_CREDENTIAL_KEYS=", text))
    with pytest.raises(OperatorError, match=r"INBOXOPS_CREDENTIAL_KEYS in .* is empty"):
        load_or_make_secrets(home, ports)


def test_the_file_names_no_stand_in_and_a_public_address_stays(tmp_path: Path) -> None:
    home, ports = Home(tmp_path / "home"), Ports(base=20_000)
    home.make()
    load_or_make_secrets(home, ports)
    assert "INBOXOPS_API_URL=http://127.0.0.1:20001" in home.env_file.read_text()
    with home.env_file.open("a") as file:  # what an older version wrote, and what somebody put there since
        file.write("INBOXOPS_GOOGLE_TOKEN_URL=https://localhost:20014/token\nINBOXOPS_GOOGLE_CLIENT_ID=mine.example\n")
        file.write("INBOXOPS_API_URL=https://mail.example.org\nINBOXOPS_NOTIFY_FROM=\n")
    kept = load_or_make_secrets(home, Ports(base=21_000)).values
    assert not [name for name, value in kept.items() if "localhost" in value]
    assert (kept["INBOXOPS_GOOGLE_CLIENT_ID"], kept["INBOXOPS_NOTIFY_FROM"]) == ("mine.example", "")
    assert kept["INBOXOPS_API_URL"] == "https://mail.example.org"
    assert "21002" in kept["INBOXOPS_DATABASE_URL"]


def test_what_a_person_writes_into_the_file_stays_as_it_was_written(tmp_path: Path) -> None:
    """`inboxops stand-in` prints such lines, and any sign-in server may stand on another port of this machine."""
    home, ports = Home(tmp_path / "home"), Ports(base=20_000)
    home.make()
    load_or_make_secrets(home, ports)
    mine = (
        "# the tenant's own sign-in\n"
        "INBOXOPS_MICROSOFT_AUTHORITY=https://localhost:9443/organizations\n"
        f"INBOXOPS_PROVIDER_CA_FILE={tmp_path}/own/standins/ca.pem\n"
        'INBOXOPS_NOTIFY_FROM="Desk # 1"  # as customers know us\n'
    )
    with home.env_file.open("a") as file:
        file.write(mine)
    kept = load_or_make_secrets(home, Ports(base=21_000))
    assert mine in home.env_file.read_text()
    assert kept["INBOXOPS_NOTIFY_FROM"] == "Desk # 1"
    assert kept["INBOXOPS_MICROSOFT_AUTHORITY"] == "https://localhost:9443/organizations"


def test_of_two_lines_for_a_name_the_later_counts_and_stays(tmp_path: Path) -> None:
    home, ports = Home(tmp_path / "home"), Ports(base=20_000)
    home.make()
    load_or_make_secrets(home, ports)
    with home.env_file.open("a") as file:
        file.write("INBOXOPS_API_URL=https://desk.example\n")
    for _ in range(2):
        assert load_or_make_secrets(home, ports)["INBOXOPS_API_URL"] == "https://desk.example"


def test_the_environment_wins_over_the_file_for_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", "http://elsewhere")
    monkeypatch.setenv("INBOXOPS_POLL_MINUTES", "1")
    monkeypatch.setenv("INBOXOPS_GOOGLE_CLIENT_ID", "mine.example")
    home, ports = Home(tmp_path / "home"), Ports(base=20_000)
    home.make()
    found = airflow.environment(Layout(home, ports, load_or_make_secrets(home, ports)))
    assert found["AIRFLOW__CORE__EXECUTOR"] == "inboxops_airflow.executor.Executor"
    assert "AIRFLOW_CONN_ELSEWHERE" not in found
    assert (found["INBOXOPS_POLL_MINUTES"], found["INBOXOPS_GOOGLE_CLIENT_ID"]) == ("1", "mine.example")


def test_dag_files_see_what_the_settings_file_says(tmp_path: Path) -> None:
    """They read the environment alone; a limit that IDLE has and they have not would leave held inboxes without a watcher."""
    home, ports = Home(tmp_path / "home"), Ports(base=20_000)
    home.make()
    load_or_make_secrets(home, ports)
    with home.env_file.open("a") as file:
        file.write("INBOXOPS_IDLE_INBOXES=7\nINBOXOPS_POLL_MINUTES='2'  # often\n")
    found = airflow.environment(Layout(home, ports, load_or_make_secrets(home, ports)))
    assert (found["INBOXOPS_IDLE_INBOXES"], found["INBOXOPS_POLL_MINUTES"]) == (
        "7",
        "2",
    )  # as every other process reads it


def test_a_home_whose_api_was_airflows_admin_gets_an_account_for_it_and_a_person_keeps_the_password(
    tmp_path: Path,
) -> None:
    home, ports = Home(tmp_path / "home"), Ports(base=20_000)
    home.make()
    load_or_make_secrets(home, ports)
    lines = home.env_file.read_text().splitlines()
    old = [line for line in lines if "AIRFLOW_ADMIN" not in line and "INBOXOPS_AIRFLOW_" not in line]
    old += ["INBOXOPS_AIRFLOW_USERNAME=admin", "INBOXOPS_AIRFLOW_PASSWORD=as it was"]
    home.env_file.write_text("\n".join(old) + "\n")
    kept = load_or_make_secrets(home, ports)
    assert (kept["STACK_AIRFLOW_ADMIN_PASSWORD"], kept["INBOXOPS_AIRFLOW_USERNAME"]) == ("as it was", "inboxops")
    assert kept["INBOXOPS_AIRFLOW_PASSWORD"] != "as it was"
    assert load_or_make_secrets(home, ports).values == kept.values


def test_where_the_system_lets_nobody_adopt_each_process_is_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old kernel, or a container that forbids pidfd_open."""

    def refused(_pid: int) -> int:
        raise PermissionError

    home, ports = Home(tmp_path / "home"), Ports(base=20_000)
    home.make()
    layout = Layout(home, ports, load_or_make_secrets(home, ports))
    monkeypatch.setattr(os, "pidfd_open", refused, raising=False)
    parts = airflow.parts(layout, airflow.instances(layout)[0], roster_after="schema")
    assert {part.nursery for part in parts} == {None}
    assert {need for part in parts for need in part.needs} & {"nursery"} == set()
