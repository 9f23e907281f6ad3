"""The whole local stack, Airflow included, once for all end-to-end tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from inboxops.composition.world import World
from inboxops.settings import Settings
from inboxops_local.stack.testing import running

T = TypeVar("T")


@pytest.fixture(scope="session")
def stack_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("e2e") / "home"


@pytest.fixture(scope="session")
def stack(stack_home: Path) -> Iterator[Settings]:
    with running(stack_home, seconds=300) as settings:
        yield settings


@pytest.fixture
def services(stack: Settings) -> Settings:
    """Fixtures that ask for servers get those of the stack, so that Airflow works on the same ones."""
    return stack


def eventually(what: str, look: Callable[[], T], *, seconds: float = 90.0) -> T:
    """The first truthy answer. Fails, saying what was waited for, at the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


@pytest.fixture
def airflow_runs(world: World) -> Callable[[str], list[dict[str, object]]]:
    def runs(dag_id: str) -> list[dict[str, object]]:
        return list(world.airflow.get(f"/dags/{dag_id}/dagRuns", order_by="-run_after")["dag_runs"])

    return runs
