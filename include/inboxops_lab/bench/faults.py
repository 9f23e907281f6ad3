"""Faults put into a day's mail, for a certificate to find: what is put in is told as the certificate has to name it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import psycopg

from inboxops.composition.world import World
from inboxops.core import accounting
from inboxops.core.accounting import Kind
from inboxops.db.database import Row
from inboxops.stories.certify_objects import SAMPLE_PACKS

Named = tuple[str, str, str]
"""kind, inbox and key of a finding."""


@dataclass(frozen=True, slots=True)
class Faults:
    """named: what a certificate has to find. only_there: inbox -> provider's keys that no row has."""

    named: frozenset[Named]
    only_there: dict[int, list[str]]


def inject(world: World, each: int, day: datetime) -> Faults:
    """So many of each kind: rows deleted, mail that was never fetched, packs gone, packs altered within the day's sample, and rows
    doubled, as a damaged index lets them be. Each in a pack of its own."""
    packs = _packs(world)
    rest = iter(packs)
    gone, deleted, doubled = (list(islice(rest, each)) for _ in range(3))
    left = {row["storage_key"]: row for row in packs if row not in gone}
    order = accounting.drawn(left, accounting.seed(day, world.signing_key))[:SAMPLE_PACKS]
    spoilt = {row["storage_key"] for row in (*deleted, *doubled)}
    altered = [left[key] for key in order if key not in spoilt][:each]
    named = [
        *_lost(world, gone),
        *_altered(world, altered),
        *_deleted(world, deleted),
        *_doubled(world, doubled),
    ]
    only_there: dict[int, list[str]] = {}
    for row in deleted:
        only_there.setdefault(row["inbox_id"], []).append(row["key"])
    for number, row in enumerate(islice(rest, each)):
        only_there.setdefault(row["inbox_id"], []).append(f"never-fetched/{number}")
        named.append((Kind.MAIL_MISSING, row["inbox"], f"never-fetched/{number}"))
    return Faults(frozenset(named), only_there)


def _packs(world: World) -> list[Row]:
    """The first mail of each pack, in an order that has nothing to do with when it came."""
    with world.database.transaction() as t:
        return t.connection.execute(
            b"SELECT DISTINCT ON (md5(b.storage_key)) b.id, b.inbox_id, i.name AS inbox, b.provider_key AS key, b.storage_key,"
            b" b.storage_offset, b.storage_length FROM inbound b JOIN inboxes i ON i.id = b.inbox_id"
            b" WHERE b.storage_key IS NOT NULL ORDER BY md5(b.storage_key), b.id"
        ).fetchall()


def _lost(world: World, rows: Sequence[Row]) -> Iterator[Named]:
    world.objects.delete([row["storage_key"] for row in rows])
    return ((Kind.OBJECT_MISSING, row["inbox"], row["storage_key"]) for row in rows)


def _altered(world: World, rows: Sequence[Row]) -> Iterator[Named]:
    for row in rows:
        content = bytearray(world.objects.get(row["storage_key"]))
        content[row["storage_offset"] + row["storage_length"] // 2] ^= 1
        world.objects.put(row["storage_key"], bytes(content), content_type="application/octet-stream")
    return ((Kind.OBJECT_ALTERED, row["inbox"], row["key"]) for row in rows)


def _deleted(world: World, rows: Sequence[Row]) -> Iterator[Named]:
    ids = [row["id"] for row in rows]
    with world.database.transaction() as t:
        t.connection.execute(b"DELETE FROM messages WHERE inbound_id = ANY (%s)", (ids,))
        t.connection.execute(b"DELETE FROM inbound WHERE id = ANY (%s)", (ids,))
    return ((Kind.MAIL_MISSING, row["inbox"], row["key"]) for row in rows)


def _doubled(world: World, rows: Sequence[Row]) -> Iterator[Named]:
    with psycopg.connect(world.settings.owner_dsn) as owner:
        owner.execute(b"ALTER TABLE inbound DROP CONSTRAINT inbound_inbox_id_provider_key_key")
        owner.execute(b"CREATE INDEX inbound_by_key ON inbound (inbox_id, provider_key)")
    with world.database.transaction() as t:
        t.connection.execute(
            b"INSERT INTO inbound (tenant_id, inbox_id, provider_key, state, storage_key, storage_offset, storage_length,"
            b" size_bytes, received_at) SELECT tenant_id, inbox_id, provider_key, 'listed', storage_key, storage_offset,"
            b" storage_length, size_bytes, received_at FROM inbound WHERE id = ANY (%s)",
            ([row["id"] for row in rows],),
        )
    return ((Kind.MAIL_DOUBLED, row["inbox"], row["key"]) for row in rows)
