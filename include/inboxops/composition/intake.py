"""Taking mail in: the three stages of an inbox, the question that comes before them, and looking without taking."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

from inboxops.composition import filing, mailboxes, resyncing, runs
from inboxops.composition.world import World
from inboxops.core.cells import MOVING
from inboxops.core.detached import Apart
from inboxops.core.inbox import Inbox
from inboxops.core.push import Errand
from inboxops.db.inboxes import Asked, room_after
from inboxops.errors import Conflict, NotFound, OperatorError, Overtaken, ServiceAway, TransientError
from inboxops.ports import FetchLimits
from inboxops.providers import provider
from inboxops.stories import classify as classifying
from inboxops.stories import fetch as fetching
from inboxops.stories import persist as persisting
from inboxops.stories import raw_mail as reading
from inboxops.stories.telling import log

TRY_AGAIN = timedelta(minutes=5)
"""After a woken fetch that failed for now: as long as an inbox that is not in IDLE waits for its next poll."""

BATCHES_PER_RUN = 80
"""A big mailbox yields after so many batches: it is woken again and other inboxes get their turn."""

SECONDS_PER_RUN = 180.0
"""So does a slow one, behind the batch that it is at then. A server has ten minutes at most for each answer of one."""

CUT_OFF_FIX = "It is tried again, and goes on behind the mail that came. If it stays so, ask who runs the mail server"

GONE = fetching.Fetched(skipped="the inbox is here no more: its tenant moved to another installation, or was erased")


def wants_fetch(world: World, inbox_id: int, asked: Asked | None = None) -> bool:
    """Whether a worker is worth starting: mail behind the cursor (and room in the hourly limit), or mail left unfiled.

    Not here once its tenant moved to another cell. Raises the provider's errors, after they were recorded on the inbox.
    """
    inbox, has_work, sealed = asked or world.inboxes.to_probe(inbox_id)
    return inbox.cell == world.cell and (has_work or (has_news(world, inbox, sealed) and _has_room(world, inbox)))


def has_news(world: World, inbox: Inbox, sealed: bytes | None, *, disconnects: bool = True) -> bool:
    """Whether the server of a live inbox says that there is mail. disconnects: as of `fetching.standing`; raises what that does."""
    if not inbox.is_live:
        world.prober(inbox.connection_type).forget(inbox.id)
        return False
    with fetching.standing(inbox, world.inboxes, disconnects=disconnects):
        account = mailboxes.opened(world, inbox, sealed)
        news = world.prober(inbox.connection_type).has_news(account, inbox.cursor)
    if not news:
        world.inboxes.is_read(inbox.id)
    return news


def fetch(
    world: World,
    inbox_id: int,
    *,
    by: str = "",
    yields: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> fetching.Fetched:
    """Take in what is behind the cursor; when this run's bound was reached, the inbox is woken for the rest.

    by: which run and try this is, kept with the mail. yields: asked behind each batch, whether the rest is another run's.
    clock: in seconds, from any moment on.
    `skipped` says why nothing is to be done at all: not live, or neither news nor mail left unfiled.
    """

    def turn() -> Callable[[], bool]:
        ends = clock() + SECONDS_PER_RUN
        return lambda: clock() >= ends or yields()

    inbox = world.inboxes.get(inbox_id, removed=True)
    fetched = fetching.Fetched()
    if inbox.is_live:
        limits = FetchLimits(first_sync_days=inbox.first_sync_days, first_sync_messages=inbox.first_sync_messages)
        fetched = fetching.fetch(
            inbox,
            mailboxes.account(world, inbox),
            provider(inbox.connection_type),
            world.inbound,
            world.inboxes,
            world.bulk_objects,
            limits=limits,
            max_batches=BATCHES_PER_RUN,
            yields=turn(),
            by=by,
        )
        if inbox.resync_since is not None and not fetched.more:
            most = BATCHES_PER_RUN * limits.batch_messages
            again = resyncing.take_in(world, inbox_id, inbox.resync_since, most=most, turn=turn, by=by)
            fetched = fetching.Fetched(
                fetched.stored + again.stored, fetched.refused + again.refused, fetched.bytes + again.bytes, again.more
            )
    if fetched.more and world.inboxes.get(inbox_id, removed=True).is_live:
        runs.wake(world, inbox_id)
    if not fetched.stored and not world.inboxes.has_work(inbox_id):
        why = "nothing new" if inbox.is_live else f"the inbox is {inbox.state}"
        log.info("fetch_skipped", inbox=inbox.name, why=why)
        return replace(fetched, skipped=why)
    return fetched


def fetch_woken(world: World, inbox_id: int, *, by: str = "") -> fetching.Fetched:
    """As `fetch`, within the hourly limit. One that fails for now is tried again soon: an inbox in IDLE is polled seldom."""
    if (inbox := _still_here(world, inbox_id)) is None:
        return GONE
    if inbox.cell != world.cell:
        if inbox.cell != MOVING:
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
    if (inbox := _still_here(world, inbox_id)) is None:
        return GONE
    return _moved(inbox) if inbox.cell != world.cell else _fetch_noting_pushes(world, inbox, by=by)


def _still_here(world: World, inbox_id: int) -> Inbox | None:
    """The inbox, None once its rows went: its DAG stays in Airflow's list for some minutes more."""
    try:
        return world.inboxes.get(inbox_id, removed=True)
    except NotFound:
        return None


def _fetch_noting_pushes(world: World, inbox: Inbox, *, by: str) -> fetching.Fetched:
    fetched = _fetch_while_ours(world, inbox, by=by)
    if fetched.stored:
        world.push.note_poll(inbox.id)
    return fetched


def _fetch_while_ours(world: World, inbox: Inbox, *, by: str) -> fetching.Fetched:
    """As `fetch`; no further batch is begun once the tenant is in another cell or the inbox is stopped: it is for another run."""
    try:
        return fetch(
            world, inbox.id, by=by, yields=lambda: not world.inboxes.get(inbox.id, removed=True).is_read_by(world.cell)
        )
    except (ServiceAway, Overtaken):  # it is tried again here, or another run is at it
        raise
    except Exception:
        _file_what_came(world, inbox.id)
        raise


def _file_what_came(world: World, inbox_id: int) -> None:
    """No stage runs behind a fetch that failed, and that failure is what is to be told."""
    try:
        if world.inboxes.has_work(inbox_id):
            file(world, inbox_id)
    except Exception as exc:  # noqa: BLE001 - whatever it is, the fetch's own failure is what is told
        log.warning("filing_is_left_to_the_next_run", why=str(exc))


def cut_off(world: World, inbox_id: int) -> persisting.Persisted:
    """What a fetch leaves to do that was ended from outside, as one that took too long: its inbox says so and is tried again
    soon, and what came until then is filed."""
    inbox = world.inboxes.get(inbox_id, removed=True)
    world.inboxes.note_error(inbox_id, TransientError("a fetch took so long that it was cut off", fix=CUT_OFF_FIX))
    if not inbox.is_removed:
        world.outbox.add_errand(Errand.WAKE, inbox.tenant_id, inbox_id, delay=TRY_AGAIN)
    return file(world, inbox_id, careful=True)


def _moved(inbox: Inbox) -> fetching.Fetched:
    on_its_way, there = "on its way to another installation, which", f"in cell {inbox.cell} now, whose Airflow"
    who = on_its_way if inbox.cell == MOVING else there
    return fetching.Fetched(skipped=f"the tenant {inbox.tenant} is {who} reads it")


def _has_room(world: World, inbox: Inbox) -> bool:
    """Whether the hourly limit lets the inbox fetch now. Otherwise it is woken once there is room: nothing is refused."""
    limit = world.settings.fetch_limit_per_hour
    if world.inboxes.take_fetch_slot(inbox.id, per_hour=limit):
        return True
    world.outbox.add_errand(Errand.WAKE, inbox.tenant_id, inbox.id, delay=room_after(limit))
    return False


def classify(
    world: World, inbox_id: int, *, careful: bool = False, in_time: Callable[[], bool] = lambda: True
) -> classifying.Classified:
    """Read and judge what is stored, on all processors when it is much, and file meanwhile what is read (ADR 17).

    careful: somebody was at it before and ended without a word. It may be a mail's doing. in_time: both as of `stories.classify`.
    """
    known = mailboxes.context(world, world.inboxes.get(inbox_id, removed=True))
    if careful:
        world.database.close()
        careful = threading.active_count() == 1  # nothing is forked beside threads, whose locks a fork would wait for
    elsewhere = partial(filing.read_elsewhere, world, known)
    return classifying.classify(known, world.inbound, world.objects, elsewhere, careful=careful, in_time=in_time)


def persist(world: World, inbox_id: int, *, in_time: Callable[[], bool] = lambda: True) -> persisting.Persisted:
    """File what is classified and let its events out meanwhile; those that can't leave now stay for `drain_outbox`."""
    inbox = world.inboxes.get(inbox_id, removed=True)
    done = filing.rest(world, inbox, in_time=in_time)
    runs.deliver_sends(world, tenant_id=inbox.tenant_id)
    return done


def file(
    world: World, inbox_id: int, *, careful: bool = False, in_time: Callable[[], bool] = lambda: True
) -> persisting.Persisted:
    """Both stages behind fetch, for mail that is durable already. careful, in_time: as of `classify`; the rest waits for a run."""
    beside = classify(world, inbox_id, careful=careful, in_time=in_time).filed_beside
    return beside + persist(world, inbox_id, in_time=in_time)


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
    apart = Apart(row["tenant_id"], row["reserved_message_id"], row["storage_key"], row["detached_offsets"] or ())
    try:
        return reading.raw_mail(frame, apart, world.objects)
    except ValueError as exc:
        raise OperatorError(
            f"inbound message {inbound_id}: {exc}", fix="Restore the bucket's objects from a backup"
        ) from exc
