"""`inboxops bench drain`: several full mailboxes become tickets side by side, with more and more slots of the pool they share.

The whole stack as `inboxops up` starts it, mailboxes of its own each round, all woken at once, as after an outage. Mail to a small
inbox beside them, woken as by a push, says what the others' backlog costs who has none.
"""

from __future__ import annotations

import statistics
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from inboxops.composition import runs
from inboxops.errors import OperatorError
from inboxops_lab.bench.corpus import corpus
from inboxops_lab.bench.place import Place, place
from inboxops_lab.bench.poll import metadata, one, until_known

PATIENCE_SECONDS = 1800.0
LOOKS_SECONDS = 0.2
SETTINGS = {
    "INBOXOPS_FETCH_LIMIT_PER_HOUR": "100000",  # the limit is not what is tried
    # Nobody begins before all are full.
    "INBOXOPS_IDLE_INBOXES": "0",
    "INBOXOPS_POLL_MINUTES": "1440",
}


@dataclass(frozen=True, slots=True)
class Drained:
    """One round. Seconds are from the moment when all were woken; of the small inbox from a mail's delivery to its ticket.

    done_seconds: when each of the full inboxes was filed to its last mail, first to last. small_mails: how many came meanwhile.
    """

    messages_per_second: float
    done_seconds: list[float]
    small_mails: int
    small_median_seconds: float
    small_worst_seconds: float


def drain(inboxes: int, messages: int, workers: Sequence[int], *, say: Callable[[str], None]) -> dict[str, Any]:
    """workers: how many slots the pool `inbox` has, round for round.

    Raises OperatorError without Dovecot, or when a round is not over in half an hour.
    """
    say("starting the whole stack and Dovecot")
    rounds = {}
    with place(more=SETTINGS) as here, metadata(here) as airflow:
        ids = [_mailboxes(here, f"r{number}", inboxes, messages) for number in range(len(workers))]
        runs.show_inboxes(here.world)
        until_known(airflow, len(workers) * (inboxes + 1), lambda known: say(f"Airflow knows {known} inboxes"))
        for slots, of_round in zip(workers, ids, strict=True):
            _until(lambda: one(airflow, _UNDER_WAY) == (0,))
            airflow.execute("UPDATE slot_pool SET slots = %s WHERE pool = 'inbox'", (slots,))
            say(f"with {slots} slots")
            rounds[str(slots)] = asdict(_round(here, of_round, messages, say))
    return {"inboxes": inboxes, "messages": messages, "workers": rounds}


_UNDER_WAY = """SELECT
    (SELECT count(*) FROM dag_run WHERE dag_id LIKE 'inbox\\_%%' AND state IN ('queued', 'running'))
    + (SELECT count(*) FROM dag WHERE dag_id LIKE 'inbox\\_%%' AND dag_id NOT IN (SELECT dag_id FROM dag_run))"""
"""How many inboxes are being read, or still have to be for the first time."""


def _mailboxes(here: Place, tag: str, inboxes: int, messages: int) -> dict[str, int]:
    """The inboxes of a round by user, empty: the last is the small one."""
    users = [*(f"full-{tag}-{number}" for number in range(inboxes)), f"small-{tag}"]
    return {user: here.add_mailbox(user, first_sync_messages=messages) for user in users}


def _round(here: Place, ids: Mapping[str, int], messages: int, say: Callable[[str], None]) -> Drained:
    *full, small = ids
    inboxes = len(full)
    say(f"writing {messages} mails into each of {inboxes} mailboxes")
    for seed, user in enumerate(full):
        for mail in corpus(messages, seed=seed, to=f"{user}@bench.example"):
            here.dovecot.append(user, mail.raw, when=mail.received)
    backlog = [ids[user] for user in full]
    say("all are woken")
    began = time.monotonic()
    for inbox_id in backlog:
        runs.wake(here.world, inbox_id)
    done: dict[int, float] = {}
    over = threading.Event()

    def look() -> bool:
        for inbox_id, filed in _filed(here, backlog).items():
            if filed >= messages and inbox_id not in done:
                done[inbox_id] = time.monotonic() - began
                say(f"{len(done)} of {inboxes} inboxes filed after {done[inbox_id]:.0f} s")
        return len(done) == inboxes

    with ThreadPoolExecutor(1) as other:
        beside = other.submit(_beside, here, small, ids[small], over)
        try:
            _until(look)
        finally:
            over.set()
    took = beside.result()
    ends = sorted(done.values())
    return Drained(
        messages_per_second=round(inboxes * messages / ends[-1], 1),
        done_seconds=[round(end, 1) for end in ends],
        small_mails=len(took),
        small_median_seconds=round(statistics.median(took), 1),
        small_worst_seconds=round(max(took), 1),
    )


def _beside(here: Place, user: str, inbox_id: int, over: threading.Event) -> list[float]:
    """Seconds of each mail to the small inbox, one behind the other's ticket, until the others are drained."""
    took: list[float] = []
    while not over.is_set():
        id_ = f"{uuid.uuid4().hex}@customer.example"
        raw = f"From: ann@customer.example\r\nSubject: Small\r\nMessage-ID: <{id_}>\r\n\r\nHow long?\r\n"
        began = time.monotonic()
        here.dovecot.append(user, raw.encode())
        runs.wake(here.world, inbox_id)
        _until(lambda: _filed(here, [inbox_id]).get(inbox_id, 0) > len(took))
        took.append(time.monotonic() - began)
        over.wait(1)
    return took


def _filed(here: Place, inbox_ids: Sequence[int]) -> Mapping[int, int]:
    """How many mails of each are filed, whatever as."""
    done = (
        "SELECT inbox_id, count(*) AS filed FROM inbound WHERE inbox_id = ANY(%s) AND state NOT IN ('stored', 'classified')"
        " GROUP BY inbox_id"
    )
    with here.world.database.transaction() as t:
        return {row["inbox_id"]: row["filed"] for row in t.connection.execute(done, (inbox_ids,)).fetchall()}


def _until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not look():
        if time.monotonic() > deadline:
            raise OperatorError(
                f"a backlog is not filed after {PATIENCE_SECONDS:.0f} s", fix="Fewer inboxes or messages"
            )
        time.sleep(LOOKS_SECONDS)
