"""What a run's conf says. Whoever may start a run writes it: it names rows and orders nothing that is not ordered there."""

from __future__ import annotations

from typing import Any

from airflow.sdk.exceptions import AirflowFailException

MOST = 2**63 - 1
"""What an id of the database can be."""


def given(context: Any) -> dict[str, Any]:
    conf: dict[str, Any] = context["dag_run"].conf or {}
    return conf


def number(context: Any, name: str, *, least: int = 1) -> int:
    """An id or a count of the conf. Raises AirflowFailException for anything else: no other try makes it one."""
    value = given(context).get(name)
    if type(value) is not int or not least <= value <= MOST:
        raise AirflowFailException(f"{name} in the run's conf has to be a whole number of at least {least}")
    return value
