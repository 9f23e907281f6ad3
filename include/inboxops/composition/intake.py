"""Taking mail in: the three stages of an inbox, the question that comes before them, and looking without taking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from inboxops.composition import mailboxes, resyncing, runs, sending
from inboxops.composition.forks import Died, processors, spread
from inboxops.composition.world import World
from inboxops.core.inbox import Inbox
from inboxops.core.model import InboxContext
from inboxops.core.push import Errand
from inboxops.db.inbound import InboundStore
from inboxops.db.inboxes import room_after
from inboxops.errors import Conflict, OperatorError, TransientError
from inboxops.ports import FetchLimits, StoredRow
from inboxops.providers import provider
from inboxops.stories import classify as classifying
from inboxops.stories import fetch as fetching
from inboxops.stories import persist as persisting
from inboxops.stories import raw_mail as reading
from inboxops.stories import rehearse as rehearsing
from inboxops.stories.autorespond import responder
from inboxops.stories.publish import alongside
from inboxops.stories.telling import hidden, log

TRY_AGAIN = timedelta(minutes=5)
"""After a woken fetch that failed for now: as long as an inbox that is not in IDLE waits for its next poll."""

BATCHES_PER_RUN = 80
"""A big mailbox yields after so many batches: it is woken again and other inboxes get their turn."""


def wants_fetch(world: World, inbox_id: int) -> bool:
    """Whether a worker is worth starting: mail behind the cursor (and room in the hourly limit), or mail left unfiled.

    Not here once its tenant moved to another cell. Raises the provider's errors, after they were recorded on the inbox.
    """
    inbox, has_work, sealed = world.inboxes.to_probe(inbox_id)
    return inbox.cell == world.cell and (has_work or (_has_news(world, inbox, sealed) and _has_room(world, inbox)))


def look(world: World, inbox_id: int) -> bool:
    """As `wants_fetch`, for who wakes the inbox then: a fetch that was woken asks for its room itself.

    A refused login is not recorded here: the run that is woken is refused as well, fails, and tells as ever.
    """
    inbox, has_work, sealed = world.inboxes.to_probe(inbox_id)
    return has_work or _has_news(world, inbox, sealed, disconnects=False)


def _has_news(world: World, inbox: Inbox, sealed: bytes | None, *, disconnects: bool = True) -> bool:
    if not inbox.is_live:
        world.prober(inbox.connection_type).forget(inbox.id)
        return False
    with fetching.standing(inbox, world.inboxes, disconnects=disconnects):
        account = mailboxes.opened(world, inbox, sealed)
        news = world.prober(inbox.connection_type).has_news(account, inbox.cursor)
    if not news:
        fetching.is_read(inbox, world.inboxes)
    return news


def fetch(world: World, inbox_id: int, *, by: str = "", yields: Callable[[], bool] = lambda: False) -> fetching.Fetched:
    """Take in what is behind the cursor; when this run's bound was reached, the inbox is woken for the rest.

    by: which run and try this is, kept with the mail. yields: asked behind each batch, whether the rest is another run's.
    `skipped` says why nothing is to be done at all: not live, or neither news nor mail left unfiled.
    """
    inbox = world.inboxes.get(inbox_id)
    fetched = fetching.Fetched()
    if inbox.is_live:
        limits = FetchLimits(first_sync_days=inbox.first_sync_days, first_sync_messages=inbox.first_sync_messages)
        fetched = fetching.fetch(
            inbox,
            mailboxes.account(world, inbox),
            provider(inbox.connection_type),
            world.inbound,
            world.inboxes,
            world.swift_objects,
            limits=limits,
            max_batches=BATCHES_PER_RUN,
            yields=yields,
            by=by,
        )
        if inbox.resync_since is not None and not fetched.more:
            most = BATCHES_PER_RUN * limits.batch_messages
            again = resyncing.take_in(world, inbox_id, inbox.resync_since, most=most, by=by)
            fetched = fetching.Fetched(
                fetched.stored + again.stored, fetched.refused + again.refused, fetched.bytes + again.bytes, again.more
            )
    if fetched.more:
        runs.wake(world, inbox_id)
    if not fetched.stored and not world.inboxes.has_work(inbox_id):
        why = "nothing new" if inbox.is_live else f"the inbox is {inbox.state}"
        log.info("fetch_skipped", inbox=inbox.name, why=why)
        return replace(fetched, skipped=why)
    return fetched


def fetch_woken(world: World, inbox_id: int, *, by: str = "") -> fetching.Fetched:
    """As `fetch`, within the hourly limit. One that fails for now is tried again soon: an inbox in IDLE is polled seldom."""
    inbox = world.inboxes.get(inbox_id)
    if inbox.cell != world.cell:
        runs.wake(world, inbox_id)  # whoever woke it here meant the inbox, wherever it is
        return _moved(inbox)
    # Where inboxes are looked at without a run, a look may have found what no push told of.
    fetch_now = _fetch_noting_pushes if world.settings.look_minutes else _fetch_while_ours
    if _has_room(world, inbox):
        try:
            return fetch_now(world, inbox, by=by)
        except TransientError:
            world.outbox.add_errand(Errand.WAKE, inbox.tenant_id, inbox_id, delay=TRY_AGAIN)
            raise
    return fetching.Fetched(skipped="the hourly limit is reached: the inbox is woken when there is room again")


def fetch_by_clock(world: World, inbox_id: int, *, by: str = "") -> fetching.Fetched:
    """As `fetch`, when nothing woke the inbox: mail that is found tells how well its push channel works."""
    inbox = world.inboxes.get(inbox_id)
    return _moved(inbox) if inbox.cell != world.cell else _fetch_noting_pushes(world, inbox, by=by)


def _fetch_noting_pushes(world: World, inbox: Inbox, *, by: str) -> fetching.Fetched:
    fetched = _fetch_while_ours(world, inbox, by=by)
    if fetched.stored:
        world.push.note_poll(inbox.id)
    return fetched


def _fetch_while_ours(world: World, inbox: Inbox, *, by: str) -> fetching.Fetched:
    """As `fetch`; once the tenant has moved to another cell no further batch is begun: the rest is that cell's."""
    return fetch(world, inbox.id, by=by, yields=lambda: world.inboxes.cell_of(inbox.tenant_id) != world.cell)


def _moved(inbox: Inbox) -> fetching.Fetched:
    return fetching.Fetched(skipped=f"the tenant {inbox.tenant} is in cell {inbox.cell} now, whose Airflow reads it")


def _has_room(world: World, inbox: Inbox) -> bool:
    """Whether the hourly limit lets the inbox fetch now. Otherwise it is woken once there is room: nothing is refused."""
    limit = world.settings.fetch_limit_per_hour
    if world.inboxes.take_fetch_slot(inbox.id, per_hour=limit):
        return True
    world.outbox.add_errand(Errand.WAKE, inbox.tenant_id, inbox.id, delay=room_after(limit))
    return False


def classify(world: World, inbox_id: int) -> classifying.Classified:
    """Read and judge what is stored, on all processors when it is much."""
    known = context(world, world.inboxes.get(inbox_id))
    return classifying.classify(known, world.inbound, world.objects, partial(_read_elsewhere, world, known))


def context(world: World, inbox: Inbox) -> InboxContext:
    """What reading and judging a mail has to know of its inbox."""
    return InboxContext(
        tenant_id=inbox.tenant_id,
        inbox_id=inbox.id,
        email_address=inbox.email_address,
        own_addresses=world.inboxes.own_addresses(inbox.tenant_id),
        agents=inbox.agents,
        trusted_authserv_ids=inbox.trusted_authserv_ids,
        spam_headers=inbox.spam_headers,
        signing_key=world.signing_key,
        mail_rules=world.mail_rules.current(inbox.tenant_id),
    )


def reader(world: World, known: InboxContext) -> classifying.Reader:
    """For a forked process: what reads there, on a database connection and an S3 client of that process's own."""
    return classifying.Reader(known, InboundStore(world.new_database()), objects_of_a_fork(world))


def objects_of_a_fork(world: World) -> classifying.Objects:
    """The object store of a forked process, on connections of its own."""
    is_forked_too_late = "swift_objects" in world.__dict__
    return world.new_objects() if is_forked_too_late else world.swift_objects


def _read_elsewhere(
    world: World, known: InboxContext, chunks: Iterable[Sequence[StoredRow]]
) -> Iterator[classifying.Classified | tuple[StoredRow, str]]:
    """`classifying.Spread` by forked processes."""
    world.database.close()  # a process is forked without threads
    processes = processors() + 1  # while one waits for the object store, another reads
    for outcome in spread(partial(reader, world, known), chunks, processes=processes):
        yield (outcome.item, outcome.how) if isinstance(outcome, Died) else outcome


def persist(world: World, inbox_id: int) -> persisting.Persisted:
    """File what is classified and let its events out meanwhile; those that can't leave now stay for `drain_outbox`."""
    inbox = world.inboxes.get(inbox_id)
    with alongside(lambda: sending.publish(world, inbox.tenant_id)) as filed:
        done = persisting.persist(
            inbox,
            world.filing,
            world.inbound,
            own_addresses=world.inboxes.own_addresses(inbox.tenant_id),
            respond=responder(inbox, signing_key=world.signing_key),
            filed=filed,
            show=str if world.settings.log_addresses else partial(hidden, key=world.signing_key.current),
        )
    runs.deliver_sends(world, tenant_id=inbox.tenant_id)
    return done


def file(world: World, inbox_id: int) -> persisting.Persisted:
    """Both stages behind fetch, for mail that is durable already."""
    classify(world, inbox_id)
    return persist(world, inbox_id)


def raw_mail(world: World, inbound_id: int) -> bytes:
    """A message as its provider delivered it.

    Raises NotFound, Conflict when its bytes were refused, OperatorError when they are gone or damaged.
    """
    row = world.inbound.one(inbound_id)
    if row["storage_key"] is None:
        raise Conflict(
            f"inbound message {inbound_id} was not taken in: {row['reason']}", fix="Look for it in the mailbox"
        )
    frame = world.objects.get(row["storage_key"], offset=row["storage_offset"], length=row["storage_length"])
    try:
        return reading.raw_mail(
            frame, tenant_id=row["tenant_id"], message_id=row["reserved_message_id"], objects=world.objects
        )
    except ValueError as exc:
        raise OperatorError(
            f"inbound message {inbound_id}: {exc}", fix="Restore the bucket's objects from a backup"
        ) from exc


def rehearse(world: World, inbox_id: int, *, days: int, most: int) -> rehearsing.Rehearsal:
    """What the inbox's last days would become; writes nothing. Raises the provider's errors."""
    inbox = world.inboxes.get(inbox_id)
    return rehearsing.rehearse(
        inbox,
        mailboxes.account(world, inbox),
        provider(inbox.connection_type),
        context(world, inbox),
        world.filing,
        days=days,
        most=most,
    )
