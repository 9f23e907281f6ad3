"""The whole local stack, Airflow included, once for all end-to-end tests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from inboxops.orchestrator.airflow import Airflow
from inboxops.settings import Settings
from inboxops_local.stack.testing import person, running

T = TypeVar("T")


@pytest.fixture(scope="session")
def stack_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("e2e") / "home"


CELERY = os.environ.get("INBOXOPS_TEST_EXECUTOR") == "celery"
"""Whether the stack has Celery's workers and two of what may be two: `make celery`."""


@pytest.fixture(scope="session")
def stack(stack_home: Path) -> Iterator[Settings]:
    # The webhooks that notices are sent to stand on this machine, as an operator's may.
    environment = {**os.environ, "INBOXOPS_PRIVATE_HOSTS": "127.0.0.1"}
    with running(stack_home, *(["--celery"] if CELERY else []), environment=environment, seconds=600) as settings:
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
def airflow(stack: Settings, stack_home: Path) -> Airflow:
    """As an operator sees it."""
    return person(stack_home)


@pytest.fixture
def airflow_runs(airflow: Airflow) -> Callable[[str], list[dict[str, object]]]:
    def runs(dag_id: str) -> list[dict[str, object]]:
        return list(airflow.get(f"/dags/{dag_id}/dagRuns", order_by="-run_after")["dag_runs"])

    return runs
