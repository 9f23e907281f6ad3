"""Stored mail read again: previewed, applied by groups, taken back. A run of Airflow is told its number, its row says the rest."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from inboxops.composition import filing, intake, mailboxes, runs, sending
from inboxops.composition.forks import Died, spread
from inboxops.composition.world import World
from inboxops.core.replay import Group
from inboxops.core.replay_report import Report
from inboxops.core.replay_today import Reread, judge
from inboxops.db.database import Row
from inboxops.db.rereading import Put, RereadStore, Slice
from inboxops.errors import Conflict, InboxOpsError, InvalidInput
from inboxops.ports import ReplayRow, ReplayScope
from inboxops.processors import processors
from inboxops.stories import replay as story
from inboxops.stories.classify import FEW, Objects
from inboxops.stories.telling import log

UNDO_SLICE = 200


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a run did. state: of the replay behind it; skipped: why there was nothing to do."""

    state: str
    changed: dict[str, int] = field(default_factory=dict)
    skipped: str = ""


def scope(
    world: World,
    tenant_id: int,
    *,
    inbox_id: int | None = None,
    ticket_id: int | None = None,
    inbound_id: int | None = None,
    days: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> ReplayScope:
    """Which mail is meant. days: the last ones, instead of `since`. Raises InvalidInput; NotFound for what is not this tenant's."""
    if days is not None and since is not None:
        raise InvalidInput("days and since say the same", fix="Give one of them")
    if days is not None:
        since = datetime.now(UTC) - timedelta(days=days)
    if since is None and ticket_id is None and inbound_id is None:
        raise InvalidInput("which mail is not said", fix="Name a ticket, a mail, or days")
    if since is not None and until is not None and until <= since:
        raise InvalidInput("until is not behind since")
    wanted = ReplayScope(tenant_id, inbox_id, ticket_id, inbound_id, since, until)
    world.rereading.check(wanted)
    return wanted


def groups(names: Iterable[str]) -> frozenset[Group]:
    """Raises InvalidInput for a name that is none."""
    known = {str(group): group for group in Group}
    wrong = [name for name in names if name not in known]
    if wrong:
        raise InvalidInput(f"there is no group {wrong[0]!r}", fix=f"Known: {', '.join(known)}")
    return frozenset(known[name] for name in names)


def ask(world: World, wanted: ReplayScope, *, by: str) -> int:
    """Have a run preview it; its number. Without Airflow it waits in the outbox."""
    replay_id = world.replays.add(wanted, by=by)
    runs.ask_for_replay(world, wanted.tenant_id, replay_id)
    return replay_id


def preview(world: World, wanted: ReplayScope, *, by: str) -> Row:
    """Preview it here and now: the replay, as it is listed."""
    replay_id = world.replays.add(wanted, by=by)
    run(world, replay_id)
    return world.replays.one(replay_id)


def apply(world: World, tenant_id: int, replay_id: int, groups: Collection[Group], *, here: bool = False) -> Row:
    """Have what was previewed applied, all of it when no group is named. here: in this process, else by a run of Airflow.

    Of one that is being applied, or was, the groups add up. Raises NotFound, and Conflict before there is a preview and once it
    was taken back.
    """
    row = world.replays.one(replay_id, tenant_id=tenant_id)
    when = ("previewed", "applying", "applied")
    if not world.replays.want(tenant_id, replay_id, "applying", when=when, groups=groups or list(Group)):
        raise Conflict(f"replay {replay_id} is {row['state']}", fix="Wait for the preview, or ask for a new one")
    return _started(world, tenant_id, replay_id, here=here)


def undo(world: World, tenant_id: int, replay_id: int, *, here: bool = False) -> Row:
    """Take back what a replay changed, but for what was changed or answered since. Raises NotFound, and Conflict when nothing was
    applied."""
    row = world.replays.one(replay_id, tenant_id=tenant_id)
    if not world.replays.want(tenant_id, replay_id, "undoing", when=("applying", "applied", "undoing")):
        raise Conflict(f"replay {replay_id} is {row['state']}", fix="Only what was applied can be taken back")
    return _started(world, tenant_id, replay_id, here=here)


def _started(world: World, tenant_id: int, replay_id: int, *, here: bool) -> Row:
    if here:
        run(world, replay_id)
    else:
        runs.ask_for_replay(world, tenant_id, replay_id)
    return world.replays.one(replay_id, tenant_id=tenant_id)


def run(world: World, replay_id: int) -> Replayed:
    """Do what the replay's row says is to be done, from where the last try ended. Raises what reading and the database raise."""
    row = world.replays.one(replay_id)
    work = _WORK.get(row["state"])
    if work is None:
        return Replayed(row["state"], skipped=f"replay {replay_id} is {row['state']}: nothing is to be done")
    try:
        work(world, row)
    except InboxOpsError as exc:
        world.replays.failed(replay_id, str(exc))
        raise
    after = world.replays.one(replay_id)
    changed = {group: counts["changed"] for group, counts in after["done"].items()}
    log.info("replay_ended", replay=replay_id, state=after["state"], **changed)
    return Replayed(after["state"], changed)


def check(world: World, *, days: int) -> dict[str, Report]:
    """What the last days' mail of every tenant would be today, by tenant: after an update, before anything is applied."""
    since = datetime.now(UTC) - timedelta(days=days)
    return {
        tenant["slug"]: compared(world, ReplayScope(tenant["id"], since=since), desks(world, tenant["id"]))
        for tenant in world.inboxes.tenants()
    }


def desks(world: World, tenant_id: int) -> dict[int, story.Desk]:
    """Every inbox of a tenant. Mail of one that was removed is read no more."""
    return {
        inbox.id: story.Desk(inbox, mailboxes.context(world, inbox)) for inbox in world.inboxes.of_tenant(tenant_id)
    }


def _scope_of(row: Row) -> ReplayScope:
    names = ("tenant_id", "inbox_id", "ticket_id", "inbound_id", "since", "until")
    return ReplayScope(**{name: row[name] for name in names})


def _preview_asked(world: World, row: Row) -> None:
    tenant_id = row["tenant_id"]
    world.replays.previewed(tenant_id, row["id"], compared(world, _scope_of(row), desks(world, tenant_id)))


def compared(world: World, wanted: ReplayScope, known: dict[int, story.Desk], *, forked: bool = True) -> Report:
    """What mail would be to these desks; writes nothing. forked: by other processes, for which this one may have no threads."""
    here = story.Comparer(known, world.rereading, world.objects)
    return story.preview(wanted, world.rereading, here, partial(_compared_elsewhere, world, known) if forked else None)


def _compared_elsewhere(world: World, known: dict[int, story.Desk], chunks: Iterable[story.Chunk]) -> Iterator[Report]:
    """`story.Spread` by forked processes. A mail that ends the process which reads it is one that can't be read."""

    def prepare() -> story.Comparer:
        return story.Comparer(known, RereadStore(world.database.in_fork()), filing.objects_of_a_fork(world))

    world.database.close()  # a process is forked without threads
    for outcome in spread(prepare, chunks, processes=processors() + 1):
        yield story.UNREAD if isinstance(outcome, Died) else outcome


def _apply(world: World, row: Row) -> None:
    """Until what is applied is what is wanted: groups may be added meanwhile, which begin with the first mail."""
    while row["state"] == "applying" and not _applied(world, row):
        row = world.replays.one(row["id"])


def _applied(world: World, row: Row) -> bool:
    """False when something else is wanted by now."""
    wanted, after, groups = _scope_of(row), row["done_through"], row["groups"]
    while rows := world.rereading.to_replay(wanted, after=after, limit=story.PAGE):
        _renew(world, row, rows)
        after = rows[-1].stored.id
        is_wanted = world.replays.went_on(row["id"], through=after, groups=groups)
        sending.publish(world, row["tenant_id"])
        if not is_wanted:
            return False
    for inbox_id in world.replays.to_file(row["tenant_id"], row["id"]):
        intake.file(world, inbox_id)
    return world.replays.ended(row["id"], "applied", was="applying", groups=groups)


def _renew(world: World, row: Row, rows: Sequence[ReplayRow]) -> None:
    """Few mails here; many in one other process, so that the order stays, and a mail that ends it costs itself alone."""
    known = desks(world, row["tenant_id"])
    if len(rows) <= FEW:
        here = _renewer(row, known, world.rereading, world.objects)
        for chunk in story.in_order(rows):
            here(chunk)
        return

    def prepare() -> story.Renewer:
        return _renewer(row, known, RereadStore(world.database.in_fork()), filing.objects_of_a_fork(world))

    world.database.close()  # a process is forked without threads
    for outcome in spread(prepare, story.in_order(rows), processes=1):
        if isinstance(outcome, Died):
            log.warning("replay_unreadable", inbound=outcome.item.stored.id, how=outcome.how)


def _renewer(row: Row, known: dict[int, story.Desk], store: RereadStore, objects: Objects) -> story.Renewer:
    chosen = frozenset(map(Group, row["groups"]))

    def renew(desk: story.Desk, reread: Sequence[Reread], put: Put) -> int:
        own = desk.context.own_addresses
        return store.renew(Slice(row["tenant_id"], row["id"], desk.inbox, own, chosen, reread), judge, put)

    return story.Renewer(known, renew, objects)


def _undo(world: World, row: Row) -> None:
    while world.replays.undo(row["tenant_id"], row["id"], limit=UNDO_SLICE):
        sending.publish(world, row["tenant_id"])
    world.replays.ended(row["id"], "undone", was="undoing", groups=row["groups"])


_WORK = {"asked": _preview_asked, "applying": _apply, "undoing": _undo}
