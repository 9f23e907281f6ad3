"""`inboxops bench thread`: reading long threads through the API at a steady rate."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from inboxops.composition.world import World
from inboxops.errors import OperatorError
from inboxops_lab.bench.lines import Lines, percentile, steadily
from inboxops_lab.bench.meter import cpu_seconds
from inboxops_lab.bench.place import api, plain_inbox, stack

TICKETS = 200

_TICKETS = b"""
INSERT INTO tickets (tenant_id, inbox_id, ticket_number, subject, requester_address, requester_name)
SELECT %(tenant_id)s, %(inbox_id)s, g, 'Order ' || g || ' is late', 'ann@customer.example', 'Ann'
FROM generate_series(1, %(tickets)s::int) AS g
"""
# Every third is an answer that was sent; each text is 1.6 KB, half of it quoted; every message has a file.
_MESSAGES = b"""
INSERT INTO messages (tenant_id, inbox_id, ticket_id, direction, type, message_id_header, from_name, from_address, recipients,
                      subject, body_text, body_new, received_at, verdict, rule, ruleset, evidence, send_status, sent_at)
SELECT t.tenant_id, t.inbox_id, t.id, CASE WHEN g.out THEN 'outbound' ELSE 'inbound' END, 'message',
       t.id || '.' || g.n || '@customer.example', 'Ann', 'ann@customer.example',
       '{"to": [{"name": "Support", "address": "support@bench.example"}], "cc": []}',
       t.subject, repeat('The parcel has not come, and nobody says when. ', 35), repeat('The parcel has not come. ', 32), now(),
       CASE WHEN NOT g.out THEN 'human' END, CASE WHEN NOT g.out THEN 'human' END, CASE WHEN NOT g.out THEN '1' END,
       CASE WHEN NOT g.out THEN '[{"where": "From", "value": "ann@customer.example"}]'::jsonb END,
       CASE WHEN g.out THEN 'sent' END, CASE WHEN g.out THEN now() END
FROM tickets AS t, (SELECT n, n %% 3 = 0 AS out FROM generate_series(1, %(messages)s::int) AS n) AS g
"""
_ATTACHMENTS = b"""
INSERT INTO attachments (tenant_id, message_id, file_name, storage_key, content_type, size_bytes)
SELECT tenant_id, id, 'label.pdf', id || '/label.pdf', 'application/pdf', 48211 FROM messages
"""


@dataclass(frozen=True, slots=True)
class ThreadNumbers:
    """answer_p50_seconds, answer_p95_seconds: from the moment a request is due until its last byte. answer_kb: of one answer."""

    messages: int
    requests_per_second: float
    answer_p50_seconds: float
    answer_p95_seconds: float
    answer_kb: float
    api_cpu_ms_per_request: float


def thread(messages: int, rate: float, seconds: float, *, say: Callable[[str], None]) -> ThreadNumbers:
    """Raises OperatorError when an answer is not the whole thread."""
    say("starting PostgreSQL, Valkey and S3")
    with stack("--only=services") as (home, world):
        say(f"making {TICKETS} tickets of {messages} messages")
        tickets = _fill(world, messages)
        key = world.api_keys.add(world.inboxes.tenant_id("bench"), name="bench", role="agent")
        with api(home) as (url, process):
            say(f"reading threads, {rate:.0f} a second for {seconds:.0f} s")
            lines = Lines(url, key)

            async def read(number: int) -> bytes:
                return await lines.ask("GET", f"/v1/tickets/{tickets[number % TICKETS]}")

            async def measured() -> tuple[bytes, list[float], float, float]:
                await steadily(TICKETS, rate, read)  # connections are made and caches filled
                used = cpu_seconds([process.pid])
                waited, per_second = await steadily(round(rate * seconds), rate, read)
                return await read(0), waited, per_second, cpu_seconds([process.pid]) - used

            answer, waited, per_second, used = asyncio.run(measured())
    if len(json.loads(answer)["messages"]) != messages:
        raise OperatorError(f"the answer has {len(json.loads(answer)['messages'])} of {messages} messages")
    return ThreadNumbers(
        messages=messages,
        requests_per_second=round(per_second, 1),
        answer_p50_seconds=round(statistics.median(waited), 4),
        answer_p95_seconds=round(percentile(waited, 0.95), 4),
        answer_kb=round(len(answer) / 1000, 1),
        api_cpu_ms_per_request=round(used / len(waited) * 1000, 2),
    )


def _fill(world: World, messages: int) -> list[int]:
    """The tickets' ids."""
    tenant_id, inbox_id = plain_inbox(world)
    about = {"tenant_id": tenant_id, "inbox_id": inbox_id, "tickets": TICKETS, "messages": messages}
    with world.database.transaction() as t:
        for statement in (_TICKETS, _MESSAGES, _ATTACHMENTS):
            t.connection.execute(statement, about)
    with psycopg.connect(world.settings.owner_dsn) as owner:
        owner.execute("ANALYZE")
    with world.database.transaction() as t:
        rows = t.connection.execute(b"SELECT id FROM tickets ORDER BY id").fetchall()
    return [row["id"] for row in rows]
