"""A backlog in several processes: what reads it, and what files it beside; and the filing of whatever is left (ADR 17)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from inboxops.composition import sending
from inboxops.composition.beside import Beside, Calls
from inboxops.composition.forks import Died, spread
from inboxops.composition.world import World
from inboxops.core.inbox import Inbox
from inboxops.core.model import InboxContext
from inboxops.db.inbound import InboundStore
from inboxops.ports import StoredRow
from inboxops.processors import processors
from inboxops.stories import classify as classifying
from inboxops.stories import persist as persisting
from inboxops.stories.autorespond import responder
from inboxops.stories.publish import alongside
from inboxops.stories.telling import escaped, hidden, log

SLICE_SECONDS = 30.0
"""How long the slice may take that is under way when all is read: another run may decide for the inbox just then."""


def reader(world: World, known: InboxContext) -> classifying.Reader:
    """For a forked process: what reads there, on a database connection and an S3 client of that process's own."""
    return classifying.Reader(known, InboundStore(world.database.in_fork()), objects_of_a_fork(world))


def objects_of_a_fork(world: World) -> classifying.Objects:
    """The object store of a forked process, on connections of its own."""
    is_forked_too_late = "bulk_objects" in world.__dict__
    return world.new_objects() if is_forked_too_late else world.bulk_objects


def read_elsewhere(
    world: World, known: InboxContext, chunks: Iterable[Sequence[StoredRow]]
) -> Iterator[classifying.Classified | tuple[StoredRow, str]]:
    """`classifying.Spread` by forked processes. Once there is a slice of mail that was read, one more process files."""
    world.database.close()  # a process is forked without threads
    processes = processors() + 1  # while one waits for the object store, another reads
    read = 0
    with Beside(partial(_file_beside, world, known.inbox_id)) as filer:
        for outcome in spread(partial(reader, world, known), chunks, processes=processes):
            if isinstance(outcome, Died):
                yield outcome.item, outcome.how
                continue
            yield outcome
            read += outcome.read
            if read >= persisting.SLICE:
                filer.call()
                read = 0
        filed, why = filer.end(seconds=SLICE_SECONDS)
    if why:
        log.warning("filing_beside_ended", why=why, to_do="nothing: persist files what is left")
    yield classifying.Classified(filed_beside=sum(filed, persisting.Persisted()))


def rest(world: World, inbox: Inbox, *, in_time: Callable[[], bool]) -> persisting.Persisted:
    """File all that is classified, or what there is time for, and let its events out meanwhile."""
    with alongside(partial(sending.publish, world, inbox.tenant_id)) as filed:
        return persisting.persist(_filing(world, inbox, filed), in_time=in_time)


def _file_beside(world: World, inbox_id: int, calls: Calls) -> Iterator[persisting.Persisted]:
    """In a process of its own, whose parent closed the database before: the connections are its own, and so is the bus's
    (redis-py goes by the process's id). Events leave behind each slice, not in a thread: a fork has none. Ends with the slice
    that is under way when all is read: the rest is persist's."""
    world.database.in_fork()
    inbox = world.inboxes.get(inbox_id, removed=True)
    filing = _filing(world, inbox, partial(sending.publish, world, inbox.tenant_id), in_order=True)
    while calls.wait():
        yield filing.slice()
        while filing.more and not calls.over():
            yield filing.slice()
    filing.close()


def _filing(world: World, inbox: Inbox, filed: Callable[[], object], *, in_order: bool = False) -> persisting.Filing:
    return persisting.Filing(
        inbox,
        world.filing,
        world.inbound,
        own_addresses=world.inboxes.own_addresses(inbox.tenant_id),
        respond=responder(inbox, signing_key=world.signing_key),
        filed=filed,
        show=escaped if world.settings.log_addresses else partial(hidden, key=world.signing_key.current),
        in_order=in_order,
    )
