"""`inboxops bench kills`: single processes killed while a full mailbox becomes tickets, and how long until all of it has.

The whole stack as `inboxops up` starts it, a mailbox of its own each time. The clock runs from the kill until the last mail is a
ticket, so what the rest of the backlog takes anyway is in it: `undisturbed_seconds` is a whole backlog without a kill.
"""

from __future__ import annotations

import random
import statistics
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from inboxops.composition import runs
from inboxops.errors import InboxOpsError
from inboxops_lab.bench.place import Place, appears, place
from inboxops_lab.bench.trouble import killings
from inboxops_local.stack.testing import person

PATIENCE_SECONDS = 600.0
PER_HOUR = "100000"  # fetches: the limit is not what is tried


@dataclass(frozen=True, slots=True)
class Killed:
    """times: how often it met a process; seconds from the kill until everything was filed."""

    times: int
    median_seconds: float
    worst_seconds: float
    within_60: int
    lost: int
    double: int


def kills(messages: int, times: int, *, only: str = "", say: Callable[[str], None]) -> dict[str, Any]:
    """only: what to kill, by a part of its name. Raises OperatorError without Dovecot, or when the stack does not start."""
    say("starting the whole stack and Dovecot")
    with place(more={"INBOXOPS_FETCH_LIMIT_PER_HOUR": PER_HOUR}) as here:
        undisturbed = _backlog(here, messages, None)
        say(f"undisturbed: {undisturbed[0]:.0f} s")
        found = {}
        for name, strike in killings(here):
            if only not in name:
                continue
            tries = []
            for number in range(times):
                tries.append(_backlog(here, messages, strike))
                say(
                    f"{name}, {number + 1} of {times}: {tries[-1][0]:.0f} s, lost {tries[-1][1]}, double {tries[-1][2]}"
                )
            seconds = [one[0] for one in tries]
            found[name] = asdict(
                Killed(
                    times=len(tries),
                    median_seconds=round(statistics.median(seconds), 1),
                    worst_seconds=round(max(seconds), 1),
                    within_60=sum(one <= 60 for one in seconds),
                    lost=sum(one[1] for one in tries),
                    double=sum(one[2] for one in tries),
                )
            )
    return {"messages": messages, "undisturbed_seconds": round(undisturbed[0], 1), "killed": found}


def _backlog(here: Place, count: int, strike: Callable[[], int] | None) -> tuple[float, int, int]:
    """(seconds until all is filed, from the kill on or from the start; mails lost; mails double)."""
    user = f"full{uuid.uuid4().hex[:8]}"
    inbox_id = here.add_mailbox(user, first_sync_messages=count)
    appears(here, inbox_id)
    _until(lambda: _looked(here, inbox_id))
    sent = set()
    for _ in range(count):
        id_ = f"{uuid.uuid4().hex}@customer.example"
        lines = (
            f"From: {id_[:6]}@customer.example",
            "To: full@bench.example",
            f"Message-ID: <{id_}>",
            "Subject: Full",
            "",
            id_,
            "",
        )
        here.dovecot.append(user, "\r\n".join(lines).encode())
        sent.add(id_)
    began = time.monotonic()
    runs.wake(here.world, inbox_id)
    if strike is not None:
        some = random.randrange(1, count * 3 // 4)
        _until(lambda: _came(here, inbox_id) >= some)
        while not strike():
            time.sleep(0.02)  # no worker of that kind at this moment
        began = time.monotonic()
    _until(lambda: _filed(here, inbox_id) >= count)
    seconds = time.monotonic() - began
    _until(lambda: _at_rest(here, inbox_id))  # a task that is tried again later may do something twice
    ids = [
        row["id"] for row in _rows(here, "SELECT message_id_header AS id FROM messages WHERE inbox_id = %s", inbox_id)
    ]
    here.world.inboxes.pause(inbox_id, paused=True)
    return seconds, len(sent - set(ids)), len(ids) - len(set(ids))


def _until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            if look():
                return
        except InboxOpsError:  # the database was what was killed
            time.sleep(0.5)
        time.sleep(0.05)


def _rows(here: Place, sql: str, *parameters: object) -> list[dict[str, Any]]:
    with here.world.database.transaction() as t:
        return t.connection.execute(sql.encode(), parameters).fetchall()


def _came(here: Place, inbox_id: int) -> int:
    return int(_rows(here, "SELECT count(*) AS n FROM inbound WHERE inbox_id = %s", inbox_id)[0]["n"])


def _filed(here: Place, inbox_id: int) -> int:
    return int(_rows(here, "SELECT count(*) AS n FROM messages WHERE inbox_id = %s", inbox_id)[0]["n"])


def _at_rest(here: Place, inbox_id: int) -> bool:
    """Whether no run of the inbox is under way."""
    dag_id = here.world.inboxes.get(inbox_id).dag_id
    found = person(here.home).get(f"/dags/{dag_id}/dagRuns", order_by="-run_after", limit=20)["dag_runs"]
    return all(run["state"] in ("success", "failed") for run in found)


def _looked(here: Place, inbox_id: int) -> bool:
    return _rows(here, "SELECT last_fetch_at FROM inboxes WHERE id = %s", inbox_id)[0]["last_fetch_at"] is not None
