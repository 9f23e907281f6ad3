"""`inboxops bench certificate`: a day's mail of many inboxes accounted for, in a process of its own.

Raw mail and rows are made by the product's fetch, in packs of a few mails as polls every five minutes make them; tickets and
messages by one statement. The mailboxes are simulated: they list what was fetched, at once, and keep no Sent folder.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, count, cycle, islice
from pathlib import Path
from typing import Any

from inboxops.cli.world import warnings_to_stderr
from inboxops.composition import certifying
from inboxops.composition.world import World
from inboxops.core import certificate as core
from inboxops.core.inbox import Inbox
from inboxops.core.model import Batch, Copy, Cursor, Listed, RawMessage, Removed
from inboxops.errors import OperatorError
from inboxops.ports import Account, FetchLimits, MailboxInfo
from inboxops.providers.smtp import SmtpSender
from inboxops.settings import load
from inboxops.stories.certify_mailbox import Door
from inboxops.stories.fetch import fetch
from inboxops_lab.bench.corpus import corpus
from inboxops_lab.bench.faults import Faults, Named, inject
from inboxops_lab.bench.place import TENANT, stack, without_ours
from inboxops_lab.bench.stages import peaks

MAILS_A_PACK = 4
DIFFERENT = 2_000  # mails of the corpus; more are the same under other keys

_FILE = b"""
WITH taken AS (
    SELECT id, tenant_id, inbox_id, reserved_message_id, row_number() OVER (ORDER BY id) AS n FROM inbound WHERE state = 'stored'
), opened AS (
    INSERT INTO tickets (tenant_id, inbox_id, ticket_number) SELECT tenant_id, inbox_id, n FROM taken RETURNING id, ticket_number
), written AS (
    INSERT INTO messages (id, tenant_id, inbox_id, ticket_id, inbound_id, direction, type, message_id_header)
    SELECT t.reserved_message_id, t.tenant_id, t.inbox_id, o.id, t.id, 'inbound', 'message', t.n || '@customer.example'
    FROM taken t JOIN opened o ON o.ticket_number = t.n
), counted AS (
    UPDATE tenants SET last_ticket_number = (SELECT count(*) FROM taken)
)
UPDATE inbound i SET state = 'persisted', message_id = i.reserved_message_id FROM taken t WHERE t.id = i.id"""


@dataclass(frozen=True, slots=True)
class Measured:
    """seconds: of the certificate alone. simulated: what was no real server.

    faults: put in for a second certificate, by kind; found: those that it names; false_alarms: what it names besides.
    """

    inboxes: int
    mails: int
    objects: int
    packs_read: int
    seconds: float
    cpu_seconds: float
    peak_rss_mb: float
    said: str
    faults: Mapping[str, int]
    found: int
    false_alarms: int
    simulated: str = "the providers' lists; Sent folders were not asked"


def certificate(inboxes: int, mails: int, faults: int, *, say: Callable[[str], None]) -> Measured:
    """faults: of each kind, for a second certificate. Raises OperatorError when the first does not account for every mail."""
    warnings_to_stderr()
    with stack("--only=services") as (home, world):
        _build(world, inboxes, mails, say)
        day = datetime.now(UTC) + timedelta(hours=1)
        say(f"the certificate of {mails} mails")
        told = _made(home, day, {})
        put, named = Faults(frozenset(), {}), set[Named]()
        if faults:
            say(f"the certificate with {faults} faults of each kind")
            put = inject(world, faults, day)
            named = {(kind, inbox, key) for kind, inbox, key in _made(home, day, put.only_there)["findings"]}
    result = Measured(
        inboxes=inboxes,
        **{name: value for name, value in told.items() if name != "findings"},
        faults=dict(Counter(str(kind) for kind, _, _ in put.named)),
        found=len(put.named & named),
        false_alarms=len(named - put.named),
    )
    if not (result.said.startswith(f"{mails} mails ") and result.said.endswith(", each accounted for")):
        raise OperatorError(f"the certificate says: {result.said}")
    return result


def _made(home: Path, day: datetime, only_there: Mapping[int, Sequence[str]]) -> dict[str, Any]:
    """What the certificate of a process of its own says. only_there: keys that each mailbox lists besides."""
    asked = json.dumps({"day": day.isoformat(), "only_there": only_there})
    command = [sys.executable, "-m", "inboxops_lab.bench.certificate", asked]
    environment = {**without_ours(), "INBOXOPS_HOME": str(home)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise OperatorError("the certificate failed", fix="What it said stands above")
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def _build(world: World, inboxes: int, mails: int, say: Callable[[str], None]) -> None:
    tenant_id = world.inboxes.tenant_id(TENANT)
    pool = [mail.raw for mail in corpus(min(DIFFERENT, mails))]
    each = -(-mails // inboxes)
    for number in range(inboxes):
        say(f"mail of inbox {number + 1} of {inboxes}")
        inbox_id = world.inboxes.add(
            tenant_id=tenant_id, name=f"box-{number}", email_address=f"box-{number}@bench.example", display_name="",
            connection_type="imap", connection={}, credentials=world.vault.seal({}), first_sync_days=7, first_sync_messages=500,
        )  # fmt: skip
        assert inbox_id is not None
        wanted = min(each, mails - number * each)
        source = Full(list(islice(cycle(pool), wanted)))
        about = (_account(world.inboxes.get(inbox_id)), source, world.inbound, world.inboxes, world.bulk_objects)
        fetch(world.inboxes.get(inbox_id), *about, limits=FetchLimits(), max_batches=wanted)
    with world.database.transaction() as t:
        t.connection.execute(_FILE)
        t.connection.execute(b"UPDATE inboxes SET first_read_at = now() - interval '1 day'")
    with world.database.transaction() as t:
        t.connection.execute(b"ANALYZE")


class Full:
    """A provider and its mailbox that bring this mail, a few at a time."""

    def __init__(self, mails: Sequence[bytes]) -> None:
        self._mails = mails

    @contextmanager
    def open(self, account: Account) -> Iterator[Full]:
        yield self

    def info(self) -> MailboxInfo:
        return MailboxInfo("bench", "bench", len(self._mails))

    def has_news(self, cursor: Cursor) -> bool:
        return True

    def batches(self, cursor: Cursor, limits: FetchLimits) -> Iterator[Batch]:
        uids, now = count(1), datetime.now(UTC)
        mails = iter(self._mails)
        while some := list(islice(mails, MAILS_A_PACK)):
            messages = tuple(RawMessage(f"bench/1/{next(uids)}", raw, now, len(raw)) for raw in some)
            yield Batch(messages, Cursor(uid_validity=1, last_uid=int(messages[-1].key.rpartition("/")[2])))

    def listing(self, since: datetime, until: datetime) -> Iterator[Listed]:
        return (
            Listed(message.key, message.size_bytes)
            for batch in self.batches(Cursor(), FetchLimits())
            for message in batch.messages
        )

    def named(self, wanted: Sequence[Listed], cursor: Cursor, limits: FetchLimits) -> Iterator[Batch]:
        keys = {one.key for one in wanted}
        for batch in self.batches(cursor, limits):
            yield Batch(tuple(message for message in batch.messages if message.key in keys), cursor)

    def remove(self, key: str) -> Removed:
        return Removed.GONE


class Listing(Full):
    """A mailbox that lists what was fetched from it, and what it has besides; it gives none of that out."""

    def __init__(self, world: World, inbox_id: int, besides: Sequence[str]) -> None:
        super().__init__(())
        self._world, self._inbox_id, self._besides = world, inbox_id, besides

    def listing(self, since: datetime, until: datetime) -> Iterator[Listed]:
        with self._world.database.transaction() as t:
            rows = t.connection.execute(
                b"SELECT DISTINCT provider_key AS key, size_bytes FROM inbound WHERE inbox_id = %s", (self._inbox_id,)
            ).fetchall()
        return chain((Listed(row["key"], row["size_bytes"]) for row in rows), map(Listed, self._besides))


class NoCopies(SmtpSender):
    def copies(self, account: Account, *, since: datetime) -> Iterator[Copy] | None:
        return None


def _account(inbox: Inbox) -> Account:
    return Account(inbox.id, inbox.tenant_id, inbox.email_address, inbox.connection_type, inbox.connection, {})


def main() -> None:
    """The certificate in this process: a line of JSON."""
    warnings_to_stderr()
    asked = json.loads(sys.argv[1])
    besides: dict[str, list[str]] = asked["only_there"]
    world = World(load())
    tenant_id = world.inboxes.tenant_id(TENANT)

    def door(inbox: Inbox) -> Door:
        real = certifying.way_in(world, inbox)
        listing = Listing(world, inbox.id, besides.get(str(inbox.id), []))
        return replace(real, provider=listing, sender=NoCopies(), fetch=lambda: True, fetch_named=lambda wanted: None)

    began, used = time.monotonic(), time.process_time()
    made = certifying.certify(world, tenant_id, now=datetime.fromisoformat(asked["day"]), door=door)
    body = certifying.body(certifying.of_day(world, tenant_id, None))
    told = {
        "mails": made.mails,
        "objects": body["objects"],
        "packs_read": body["packs_read"],
        "seconds": round(time.monotonic() - began, 2),
        "cpu_seconds": round(time.process_time() - used, 2),
        "peak_rss_mb": round(peaks("all")["all"], 1),
        "said": core.sentence(body),
        "findings": [(one["kind"], one["inbox"], one["key"]) for one in body["findings"]],
    }
    world.close()
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
