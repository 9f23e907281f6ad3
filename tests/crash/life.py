"""What becomes of an inbox, stage by stage, as Airflow's tasks, the API and a person at the command line call them."""

from __future__ import annotations

from typing import Any

import httpx

from inboxops.composition import intake, pushing, replaying, runs, sending, upkeep
from inboxops.composition.world import World
from inboxops.core.outbound import ReplyRequest
from inboxops.core.push import Errand
from inboxops.errors import TransientError
from inboxops.settings import Settings
from inboxops.stories import replay, stored_mail
from tests.crash.boundaries import Path, watched

ANSWER = "Here is your answer."
QUESTION = "Question A"
SPAM = "You won"


def live(path: Path, settings: dict[str, Any], inbox_id: int) -> None:
    """Each stage looks at what is there and does what is left, whoever did the rest: so a second life ends what the first began."""
    world = watched(Settings.model_validate(settings), path)
    inbox = world.inboxes.get(inbox_id)
    if pushing.can_push(inbox.connection_type):
        path.stage = "register"
        pushing.register(world, inbox_id)
    _poll(path, world, inbox_id)
    path.stage = "auto-response"
    _send(world)
    path.stage = "reply"
    _reply(world, inbox.tenant_id, inbox_id)
    path.stage = "send"
    _send(world)
    path.stage = "replay"
    _release(world, inbox_id)
    path.stage = "drain"
    world.outbox.add_errand(Errand.WAKE, inbox.tenant_id, inbox_id)
    upkeep.drain(world)
    path.stage = "afterwards"
    _send(world)  # what the drain had started
    world.close()


def replay_mail(path: Path, settings: dict[str, Any], replay_id: int, forked: bool = True) -> None:
    """A run of `replay_mail`. Slices are two mails, and other processes read them, as they do when there are many.

    forked: without that, all that is crossed is crossed here.
    """
    if forked:
        replaying.FEW = 0  # type: ignore[misc, attr-defined]
    stored_mail.CHUNK_MESSAGES, replay.PAGE = 2, 4  # type: ignore[misc, assignment]
    replaying.UNDO_SLICE = 2  # type: ignore[misc]
    world = watched(Settings.model_validate(settings), path)
    path.stage = "replay_mail"
    replaying.run(world, replay_id)
    world.close()


def _poll(path: Path, world: World, inbox_id: int) -> None:
    """A run of the inbox's DAG by the clock."""
    path.stage = "probe"
    if not intake.wants_fetch(world, inbox_id):
        return
    path.stage = "fetch"
    if intake.fetch_by_clock(world, inbox_id).skipped:
        return
    path.stage = "classify"
    intake.classify(world, inbox_id)
    path.stage = "persist"
    intake.persist(world, inbox_id)


def _send(world: World) -> None:
    """The runs that Airflow was told to start. One whose attempt is done finds nothing to do; a task is tried again."""
    for run in httpx.get(f"{world.settings.airflow_url}/_admin/runs").json():
        if run["dag"] != runs.SEND_DAG:
            continue
        for _ in range(2):
            try:
                sending.send(world, run["conf"]["message_id"], run["conf"]["attempt"])
                break
            except TransientError:
                continue


def _reply(world: World, tenant_id: int, inbox_id: int) -> None:
    """An agent's reply by the API, under the key that a client keeps for its next try."""
    ticket_id = _ticket(world, inbox_id)
    key = f"reply-{inbox_id}"
    accepted = sending.reply(world, tenant_id, ticket_id, ReplyRequest(ANSWER), author="Ann Agent", idempotency_key=key)
    sending.dispatch(world, tenant_id, accepted.message_id, 0)


def _ticket(world: World, inbox_id: int) -> int:
    with world.database.transaction() as t:
        row = t.connection.execute(
            "SELECT id FROM tickets WHERE inbox_id = %s AND subject = %s", (inbox_id, QUESTION)
        ).fetchone()
    assert row is not None
    return int(row["id"])


def _release(world: World, inbox_id: int) -> None:
    """`inboxops inbound release`, unless it was done."""
    with world.database.transaction() as t:
        row = t.connection.execute(
            "SELECT id FROM inbound WHERE inbox_id = %s AND state = 'listed' AND subject = %s", (inbox_id, SPAM)
        ).fetchone()
    if row is not None:
        intake.file(world, world.inbound.send_back(row["id"], release=True))
