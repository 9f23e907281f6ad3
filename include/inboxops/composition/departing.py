"""A tenant goes to another installation, with a database and an object store of its own (ADR 19).

At any time it is worked for in one of the two at most: here until no Airflow of ours begins anything and the database refuses every
write for it; there from the commit on that brings its rows. Whatever ends the command in between, the same command goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from inboxops.composition import runs
from inboxops.composition.moving import begin_what_waits, must_beat
from inboxops.composition.world import World
from inboxops.core.installations import Moves, moves
from inboxops.core.keys import tenant_prefix
from inboxops.db.database import Database
from inboxops.db.departures import ArrivalStore, Departure, DepartureStore
from inboxops.errors import Conflict, InvalidInput, OperatorError
from inboxops.stories.erase import wipe_tenant
from inboxops.stories.outlast import outlast
from inboxops.stories.telling import log

COPIES = 8
"""Objects on their way at once: each waits for two servers, one after the other. None is larger than the largest mail, 64 MB."""

LOOK_AGAIN_SECONDS = 1.0
"""A message that is being sent is asked for so often."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Left:
    """cell: which works for the tenant now. shown: whether its Airflow was told; else it reads its list within five minutes."""

    cell: str
    rows: int
    objects: int
    shown: bool


def leave(world: World, other: World, slug: str, cell: str, *, tell: Tell) -> Left:
    """Move a tenant with all it has. other: the installation it goes to; tell: what goes on, a line each.

    Raises InvalidInput or Conflict for what can't be moved as asked, OperatorError for two installations that don't fit together;
    before the tenant was held nothing has changed then.
    """
    with _sides(world, other, slug) as (source, target):
        before = _begun(source, target, slug)
        tenant_id = before.tenant_id if before else world.inboxes.tenant_id(slug)
        with target.held(slug):
            there = target.has(slug)
        rows = objects = 0
        if before is not None and (before.arrived or there == tenant_id):
            cell = before.to_cell  # it arrived in that one, whatever is asked for now
        elif there is not None:
            raise InvalidInput(f"there is a tenant {slug!r} already where it is to go", fix="Rename or erase that one")
        else:
            _check(world, other, source, target, tenant_id, cell, tell)
            rows, objects = _take_over(world, other, source, target, slug, cell, tell)
        with _saying_how_to_go_on(slug, tell):
            shown = runs.show_inboxes(other, cell)
            begin_what_waits(other, tenant_id, cell)
            if not (before and before.gone):
                source.remove(tenant_id)
            wipe_tenant(tenant_id, world.objects)
            outlast(partial(world.bus.forget, tenant_id))
            outlast(partial(source.thaw, tenant_id))
            source.end(tenant_id)
            tell("nothing of it is left here")
    return Left(cell, rows, objects, shown)


def _take_over(
    world: World, other: World, source: DepartureStore, target: ArrivalStore, slug: str, cell: str, tell: Tell
) -> tuple[int, int]:
    """All that the tenant has, up to the commit from which on it is worked for there: (rows, objects)."""
    objects = _bring_objects(world, other, world.inboxes.tenant_id(slug), tell)
    departure = source.begin(slug, target.place, cell)
    with _saying_how_to_go_on(slug, tell):
        runs.show_inboxes(world, departure.from_cell)
        tell(f"{slug} is held: no Airflow works for it here")
        _freeze(source, departure, tell)
        objects += _bring_objects(world, other, departure.tenant_id, tell)
        with source.seen() as seen:
            rows = target.take(seen, slug, departure.tenant_id, cell, partial(_resealed, world, other))
        source.arrived(departure.tenant_id)
    log.info("tenant_left", tenant=slug, cell=cell, rows=rows, objects=objects)
    tell(f"{rows} rows and {objects} objects are there, and compared: {slug} is worked for there")
    return rows, objects


def stay(world: World, other: World, slug: str) -> str:
    """Take a move back that has not arrived: the tenant stays in the cell it was in, which is returned.

    Raises Conflict for one that is not on its way, or has arrived.
    """
    with _sides(world, other, slug) as (source, target):
        departure = _begun(source, target, slug)
        if departure is None:
            raise Conflict(f"{slug} is not on its way", fix="`inboxops tenant list` says in which cell it is")
        with target.held(slug):  # so no command that was lost copies it just now
            if departure.arrived or target.has(slug) is not None:
                raise Conflict(f"{slug} has arrived", fix="End the move: the same command without --back")
            outlast(partial(source.thaw, departure.tenant_id))
            source.back(departure)
        wipe_tenant(departure.tenant_id, other.objects)
        runs.show_inboxes(world, departure.from_cell)
        begin_what_waits(world, departure.tenant_id, departure.from_cell)
    log.info("tenant_stays", tenant=slug, cell=departure.from_cell)
    return departure.from_cell


def moves_state(world: World) -> Moves:
    """Whether a tenant stands half-way to another installation."""
    return moves(world.departures.on_their_way(), now=datetime.now(UTC))


@contextmanager
def _sides(world: World, other: World, slug: str) -> Iterator[tuple[DepartureStore, ArrivalStore]]:
    """Both databases, by the roles that own their tables, while no other command moves the tenant."""
    here, there = (Database(each.settings.owner_dsn, connections=3) for each in (world, other))
    try:
        source = DepartureStore(here)
        with source.held(slug):
            yield source, ArrivalStore(there)
    finally:
        here.close()
        there.close()


def _begun(source: DepartureStore, target: ArrivalStore, slug: str) -> Departure | None:
    """The move that is under way. Raises Conflict for one to another installation, where the tenant may be worked for already."""
    begun = source.of(slug)
    if begun is not None and begun.to_database != target.place:
        raise Conflict(
            f"{slug} is on its way to the database {begun.to_database}, and not to {target.place}",
            fix="Name the settings of that installation, by which the move began",
        )
    return begun


@contextmanager
def _saying_how_to_go_on(slug: str, tell: Tell) -> Iterator[None]:
    try:
        yield
    except BaseException:
        tell(
            f"{slug} is on its way and stands still: the same command goes on; with --back it stays, if it has not arrived"
        )
        raise


def _check(
    world: World, other: World, source: DepartureStore, target: ArrivalStore, tenant_id: int, cell: str, tell: Tell
) -> None:
    """What would be found out too late. Raises InvalidInput and OperatorError."""
    must_beat(other, cell)
    if not source.owns_tables():
        raise OperatorError(
            "who moves a tenant has to own the tables it leaves",
            fix="Set INBOXOPS_OWNER_DATABASE_URL for this command: docs/operations.md, Roles",
        )
    if source.migrations() != target.migrations():
        raise OperatorError(
            "the two databases are of different versions", fix="Bring both to the same one: `inboxops prepare`"
        )
    if not set(world.signing_key.secrets()) <= set(other.signing_key.secrets()):
        raise OperatorError(
            "the other installation does not know all keys that ours signed with, so answers to what was sent would not be told",
            fix="Add INBOXOPS_SIGNING_KEY (as KEY@UNTIL) and INBOXOPS_PREVIOUS_SIGNING_KEYS of this one to its"
            " INBOXOPS_PREVIOUS_SIGNING_KEYS, and start its processes anew",
        )
    for sealed in source.sealed(tenant_id):
        world.vault.open(sealed)
    with source.seen() as seen:
        target.check_ids(seen, tenant_id)
    _check_buckets(world, other, tenant_id)
    for name, kind in (("google_client_id", "gmail"), ("microsoft_client_id", "microsoft")):
        if getattr(world.settings, name) != getattr(other.settings, name) and kind in source.kinds(tenant_id):
            tell(
                f"INBOXOPS_{name.upper()} is another one there: inboxes of the kind {kind} will have to be connected again"
            )


def _check_buckets(world: World, other: World, tenant_id: int) -> None:
    """Two names may be one bucket, in which each housekeeping would delete what the other's rows name."""
    mark = f"{tenant_prefix(tenant_id)}uploads/{time.time_ns()}/moving"
    other.objects.put(mark, b"a tenant is moving here", content_type="text/plain")
    try:
        if world.objects.size(mark) is not None:
            raise InvalidInput(
                "both installations keep their objects in one bucket", fix="Give each a bucket of its own"
            )
    finally:
        other.objects.delete([mark])


def _freeze(source: DepartureStore, departure: Departure, tell: Tell) -> None:
    """Until nothing is written any more. What is being sent ends before: it could not be told to have left. No more is claimed."""
    while (seconds := source.sends_under_way(departure.tenant_id)) is not None:
        tell(f"a message is being sent: waiting, for {seconds:.0f} s at most")
        time.sleep(LOOK_AGAIN_SECONDS)
    outlast(partial(source.freeze, departure.tenant_id))


def _resealed(world: World, other: World, sealed: bytes) -> bytes:
    return other.vault.seal(world.vault.open(sealed))


def _bring_objects(world: World, other: World, tenant_id: int, tell: Tell) -> int:
    """Have the other store hold what ours does below the tenant's prefix, and nothing else. Returns how many came."""
    prefix = tenant_prefix(tenant_id)
    ours, theirs = dict(world.objects.sizes(prefix)), dict(other.objects.sizes(prefix))
    missing = [key for key, size in ours.items() if theirs.get(key) != size]
    if missing:
        tell(f"{len(missing)} objects of {sum(ours[key] for key in missing) / 1e6:.1f} MB are copied")
    with ThreadPoolExecutor(COPIES) as pool:
        for _ in pool.map(partial(other.objects.bring, world.objects), missing):
            pass
    other.objects.delete([key for key in theirs if key not in ours])
    return len(missing)
