"""INBOXOPS_CELLS: where the Airflow of each cell is, for whoever starts something; and what the local stack makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from inboxops.errors import OperatorError, TransientError
from inboxops.orchestrator.cells import Airflows
from inboxops_airflow import connections
from inboxops_local.stack import airflow
from inboxops_local.stack.home import Home, load_or_make_secrets
from inboxops_local.stack.layout import Layout
from inboxops_local.stack.ports import Ports


def test_others_have_our_account_unless_they_name_their_own() -> None:
    known = Airflows(
        "main",
        "http://here",
        "us",
        "secret",
        '{"b": {"url": "http://b"}, "c": {"url": "http://c", "password": "other"}}',
    )
    assert list(known) == ["main", "b", "c"]
    assert known.address("b") == {"url": "http://b", "username": "us", "password": "secret"}
    assert known.address("c")["password"] == "other"
    assert known.of("b") is known.of("b")


def test_one_setting_serves_the_processes_of_every_cell() -> None:
    """It names each cell's own Airflow, too, which the process has from its other settings."""
    both = '{"main": {"url": "http://main"}, "b": {"url": "http://b"}}'
    assert Airflows("b", "http://b.internal", "us", "", both).address("b")["url"] == "http://b.internal"
    assert Airflows("b", "http://b.internal", "us", "", both).address("main")["url"] == "http://main"


def test_a_cell_that_nobody_named_is_as_an_airflow_that_is_away() -> None:
    with pytest.raises(TransientError, match="cell b is not known here"):
        Airflows("main", "http://here", "us", "", "").of("b")


@pytest.mark.parametrize("others", ['{"b": {"url": "http://here/"}}', '{"b": {"url": "x"}, "c": {"url": "x/"}}'])
def test_two_cells_have_no_airflow_in_common(others: str) -> None:
    """As of an entry that was copied: what is woken in the one for the other would be handed back, and on, without end."""
    with pytest.raises(OperatorError, match="are both at"):
        Airflows("main", "http://here", "us", "", others)


def test_an_airflow_whose_tasks_and_list_are_of_two_cells_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`inboxops.env` is read by tasks, not by what makes the DAGs."""
    home = Home(tmp_path / "home")
    home.make()
    secrets = load_or_make_secrets(home, Ports(base=20_000))
    home.env_file.write_text(
        "".join(f"{name}={value}\n" for name, value in secrets.values.items()) + "INBOXOPS_CELL=b\n"
    )
    monkeypatch.setenv("INBOXOPS_HOME", str(home.path))
    monkeypatch.delenv("INBOXOPS_CELL", raising=False)
    with pytest.raises(OperatorError, match=r"of cell b by inboxops\.env, and the list of inboxes of cell main"):
        connections.world()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"B": {"url": "x"}}',
        '{"b": "http://b"}',
        '{"b": {}}',
        '{"b": {"url": 5}}',
        '{"b": {"url": "x", "port": "1"}}',
    ],
)
def test_what_it_can_not_mean_is_said_at_once(text: str) -> None:
    with pytest.raises(OperatorError, match="INBOXOPS_CELLS"):
        Airflows("main", "http://here", "us", "", text)


def test_the_local_stack_starts_the_cells_that_are_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = '{"b-2": {"url": "http://127.0.0.1:20100"}, "far": {"url": "https://airflow.example.org"}}'
    monkeypatch.setenv("INBOXOPS_CELLS", cells)
    home, ports = Home(tmp_path / "home"), Ports(base=20_000)
    home.make()
    layout = Layout(home, ports, load_or_make_secrets(home, ports))
    own, b = airflow.instances(layout)
    assert (own.cell, own.port, own.database, own.suffix) == ("main", 20_000, "airflow", "")
    assert (b.cell, b.port, b.database) == ("b-2", 20_100, "airflow_b_2")
    first, second = airflow.environment(layout), airflow.environment(layout, b)
    assert "INBOXOPS_CELL" not in first
    assert (second["INBOXOPS_CELL"], second["INBOXOPS_AIRFLOW_URL"]) == ("b-2", "http://127.0.0.1:20100")
    apart = (
        "AIRFLOW_HOME",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
        "AIRFLOW__API__PORT",
    )
    assert not [name for name in apart if first[name] == second[name]]
    assert first["AIRFLOW_CONN_INBOXOPS_DB"] == second["AIRFLOW_CONN_INBOXOPS_DB"]
