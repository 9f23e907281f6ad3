"""Which Airflow works for which cell: our own, and those that INBOXOPS_CELLS names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from inboxops.core.cells import valid_cell
from inboxops.errors import OperatorError, TransientError
from inboxops.orchestrator.airflow import Airflow

FIX = (
    'It is JSON: {"b": {"url": "http://...", "username": "...", "password": "..."}}; the last two are ours unless given'
)

TWICE = "Each cell has an Airflow of its own; ours is at INBOXOPS_AIRFLOW_URL"


class Airflows:
    """A client of each, made when it is first asked for."""

    def __init__(self, own: str, url: str, username: str, password: str, others: str) -> None:
        """others: INBOXOPS_CELLS. Raises OperatorError for what it can't mean, as two cells of one Airflow."""
        ours = {"url": url, "username": username, "password": password}
        self._known = {own: ours} | {name: ours | given for name, given in _read(others).items() if name != own}
        at: dict[str, str] = {}
        for name, known in self._known.items():
            address = known["url"].rstrip("/")
            if address in at:
                raise OperatorError(f"INBOXOPS_CELLS: cells {at[address]} and {name} are both at {address}", fix=TWICE)
            at[address] = name
        self._made: dict[str, Airflow] = {}

    def __iter__(self) -> Iterator[str]:
        """The cells whose Airflow is known."""
        return iter(self._known)

    def address(self, cell: str) -> Mapping[str, str]:
        """url, username and password of one that is known."""
        return self._known[cell]

    def of(self, cell: str) -> Airflow:
        """Raises TransientError for a cell whose Airflow is not known here: it delivers by itself what is kept for it."""
        if cell not in self._known:
            raise TransientError(f"the Airflow of cell {cell} is not known here", fix="Name it in INBOXOPS_CELLS")
        if cell not in self._made:
            known = self._known[cell]
            client = Airflow(known["url"], known["username"], known["password"], cell=cell)
            self._made.setdefault(cell, client)  # of two threads the first one's
        return self._made[cell]


def _read(text: str) -> Mapping[str, dict[str, str]]:
    if not text.strip():
        return {}
    try:
        known = json.loads(text)
    except json.JSONDecodeError as exc:
        raise OperatorError(f"INBOXOPS_CELLS is no JSON: {exc}", fix=FIX) from None
    if not isinstance(known, dict):
        raise OperatorError("INBOXOPS_CELLS is no JSON object", fix=FIX)
    for name, given in known.items():
        if not valid_cell(name):
            raise OperatorError(f"{name!r} in INBOXOPS_CELLS is no name of a cell", fix=FIX)
        if not isinstance(given, dict) or "url" not in given or given.keys() - {"url", "username", "password"}:
            raise OperatorError(
                f"cell {name} in INBOXOPS_CELLS needs a url, and may have username and password", fix=FIX
            )
        if not all(isinstance(value, str) for value in given.values()):
            raise OperatorError(f"cell {name} in INBOXOPS_CELLS: text is expected", fix=FIX)
    return known
