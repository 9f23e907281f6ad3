"""What operators look at and do in Airflow's UI: the same functions as the command line's, by button."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from inboxops.composition import connecting, mailboxes, pushing, replaying, resyncing, runs, upkeep
from inboxops.composition.world import World
from inboxops.core.inbox import REPLAY_DAG, Inbox
from inboxops.core.looking import Standing
from inboxops.core.pulse import State
from inboxops.core.trace import Wanted, wanted
from inboxops.errors import InvalidInput
from inboxops.oauth.clients import CLIENTS


def vitals(world: World) -> tuple[State, Standing, list[dict[str, Any]]]:
    """The pulse, whether inboxes are looked at in time, and what waits in the outbox."""
    return upkeep.pulse_state(world), upkeep.looks_state(world), world.console.outbox()


def act(
    world: World,
    inbox_id: int,
    action: str,
    *,
    by: str,
    inbound_id: int | None = None,
    days: int | None = None,
    replay_id: int | None = None,
    since: date | None = None,
    until: date | None = None,
    about: str | None = None,
    group: str | None = None,
) -> str:
    """Do one of `ACTIONS`; a sentence that says what came of it. until: a day that still counts. about: "#12" or "mail 481".

    Raises InvalidInput for another action, and what the action raises.
    """
    if action in MAIL_ACTIONS:
        return _send_back(world, inbox_id, action, inbound_id)
    if action == PREVIEW:
        return _preview(world, world.inboxes.get(inbox_id), days, since, until, about, by)
    if action == RESYNC:
        return _resync(world, world.inboxes.get(inbox_id), since)
    if action in REPLAY_ACTIONS:
        return _replay(world, world.inboxes.get(inbox_id), action, replay_id, group)
    if action not in ACTIONS:
        known = (*ACTIONS, *MAIL_ACTIONS, PREVIEW, RESYNC, *REPLAY_ACTIONS)
        raise InvalidInput(f"there is no action {action!r}", fix=f"Known: {', '.join(known)}")
    return ACTIONS[action](world, world.inboxes.get(inbox_id))


def _fetch(world: World, inbox: Inbox) -> str:
    if not inbox.is_live:
        raise InvalidInput(f"{inbox.name} is {inbox.state}", fix="Resume or reconnect it first")
    return (
        f"{inbox.name} is woken" if runs.wake(world, inbox.id) else "Airflow takes no wake-up now: woken once it does"
    )


def _pause(world: World, inbox: Inbox) -> str:
    return _paused(world, inbox, paused=True)


def _resume(world: World, inbox: Inbox) -> str:
    return _paused(world, inbox, paused=False)


def _paused(world: World, inbox: Inbox, *, paused: bool) -> str:
    world.inboxes.pause(inbox.id, paused=paused)
    runs.show_inboxes(world, inbox.cell)
    return f"{inbox.name} is {'paused: nothing is read until it is resumed' if paused else 'read again from where it stopped'}"


def _test(world: World, inbox: Inbox) -> str:
    info = mailboxes.look(world, inbox)
    return f"{info.server} is fine: {info.messages} messages in {info.folder}"


def _reconnect(world: World, inbox: Inbox) -> str:
    if inbox.connection_type not in CLIENTS:
        raise InvalidInput(
            f"{inbox.name} has a password", fix=f"`inboxops inbox reconnect {inbox.name}` asks for a new one"
        )
    link = connecting.link(world, inbox.connection_type, inbox.tenant_id, inbox=inbox)
    return f"Whoever owns the mailbox opens this: {link}"


def _register(world: World, inbox: Inbox) -> str:
    if not pushing.can_push(inbox.connection_type):
        raise InvalidInput(f"{inbox.name} is held in IDLE and polled: it has no push channel")
    if not pushing.is_wanted(world, inbox.connection_type):
        raise InvalidInput("push is not set up here", fix="docs/push.md says which settings it needs")
    runs.ask_for_registration(world, inbox)
    return f"the push channel of {inbox.name} is made anew by its DAG"


def _send_back(world: World, inbox_id: int, action: str, inbound_id: int | None) -> str:
    if inbound_id is None or world.inbound.one(inbound_id)["inbox_id"] != inbox_id:
        raise InvalidInput("name a mail of this inbox")
    world.inbound.send_back(inbound_id, release=action == "release")
    runs.wake(world, inbox_id)
    return f"mail {inbound_id} goes through the stages again"


def _resync(world: World, inbox: Inbox, since: date | None) -> str:
    if since is None:
        raise InvalidInput("from which day on is not said")
    now = resyncing.wish(world, inbox.id, _midnight(since))
    said = f"{inbox.name} is compared with its mailbox from {since} on"
    return said if now else f"{said} once Airflow is back"


def _preview(
    world: World, inbox: Inbox, days: int | None, since: date | None, until: date | None, about: str | None, by: str
) -> str:
    """Mail of this inbox alone, whatever else is named: of the last days, of a span of days, of a ticket, or one mail."""
    meant = wanted(about) if about is not None else Wanted()
    if about is not None and meant.ticket_number is None and meant.inbound_id is None:
        raise InvalidInput(f"{about!r} is neither a ticket nor a mail's number", fix="Write #12 or mail 481")
    number = meant.ticket_number
    scope = replaying.scope(
        world,
        inbox.tenant_id,
        inbox_id=inbox.id,
        ticket_id=None if number is None else world.replays.ticket_id(inbox.tenant_id, number),
        inbound_id=meant.inbound_id,
        days=days,
        since=_midnight(since) if since is not None else None,
        until=_midnight(until + timedelta(days=1)) if until is not None else None,
    )
    replay_id = replaying.ask(world, scope, by=by)
    of = about or (f"the mail of {days} days" if days is not None else "the mail of these days")
    return f"replay {replay_id} reads {of} again: its report stands here when it is done"


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _replay(world: World, inbox: Inbox, action: str, replay_id: int | None, group: str | None) -> str:
    """Of a replay of this inbox alone: who may act on one inbox has no say in others. group: what is applied, None for all."""
    if replay_id is None or world.replays.one(replay_id, tenant_id=inbox.tenant_id)["inbox_id"] != inbox.id:
        raise InvalidInput("name a replay of this inbox")
    if action == "replay_undo":
        replaying.undo(world, inbox.tenant_id, replay_id)
        return f"replay {replay_id} is taken back by a run of {REPLAY_DAG}"
    replaying.apply(world, inbox.tenant_id, replay_id, replaying.groups([] if group is None else [group]))
    said = "" if group is None else f" as to {group}"
    return f"replay {replay_id} is applied{said} by a run of {REPLAY_DAG}"


ACTIONS: dict[str, Callable[[World, Inbox], str]] = {
    "fetch": _fetch,
    "pause": _pause,
    "resume": _resume,
    "test": _test,
    "reconnect": _reconnect,
    "register": _register,
}
MAIL_ACTIONS = ("release", "reparse")
PREVIEW, RESYNC, REPLAY_ACTIONS = "replay", "resync", ("replay_apply", "replay_undo")
