"""`inboxops bench live`: the list of tickets with many of them, and events from the commit to everybody who listens.

Only the services and one API process run. Ticket rows are made by one statement; listeners are plain sockets.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg

from inboxops.composition import sending
from inboxops.composition.world import World
from inboxops_lab.bench.place import PATIENCE_SECONDS, api, plain_inbox, stack

_TICKETS = b"""
INSERT INTO tickets (tenant_id, inbox_id, ticket_number, subject, requester_address, requester_name, status, closed_at, unread,
                     created_at, updated_at)
SELECT %(tenant_id)s, %(inbox_id)s, g,
       (ARRAY['Refund', 'Invoice', 'Broken', 'Question', 'Password', 'Delivery', 'Order', 'Printer', 'Login', 'Stop'])[1 + g %% 10]
           || ' of order ' || (100000 + (g * 7919) %% 900000) || ' ' || substr(md5((g %% 20000)::text), 1, 6),
       'customer' || (g %% 200000) || '@' || (ARRAY['example.com', 'mail.example', 'kontor.example'])[1 + g %% 3],
       (ARRAY['Anna', 'Ben', 'Carla', 'Dora', 'Emil'])[1 + g %% 5]
           || (ARRAY[' Berg', ' Smith', ' Rossi', ' Meyer'])[1 + g %% 4],
       CASE WHEN g %% 100 < 3 THEN 'open' WHEN g %% 100 < 5 THEN 'pending' ELSE 'closed' END,
       CASE WHEN g %% 100 >= 5 THEN now() END, g %% 500 = 0,
       now() - (%(count)s - g) * interval '31 seconds', now() - (%(count)s - g) * interval '31 seconds'
FROM generate_series(1, %(count)s::bigint) AS g
"""
# One message each for the newest, so that the list has something to preview.
_MESSAGES = b"""
INSERT INTO messages (tenant_id, inbox_id, ticket_id, direction, type, message_id_header, from_address, body_text, body_new)
SELECT tenant_id, inbox_id, id, 'inbound', 'message', 'bench-' || id || '@customer.example', requester_address, subject, subject
FROM tickets WHERE tenant_id = %(tenant_id)s ORDER BY updated_at DESC LIMIT 20000
"""

LISTS = {
    "open": "status=open",
    "closed": "status=closed",
    "all": "",
    "unread": "unread=true",
    "pending, unread": "status=pending&unread=true",
    "a frequent word": "q=refund",
    "two words": "q=anna invoice",
    "a rare word": "q=customer77123",
    "a word of nobody": "q=zebra",
    "an address": "q=customer4711@mail.example",
    "a number": "q=%23471100",
    "a word in the open ones": "q=smith&status=open",
}
"""What agents ask for, each of it first pages."""


def live(tickets: int, clients: int, events: int, *, say: Callable[[str], None]) -> dict[str, Any]:
    with stack("--only=services") as (home, world):
        say(f"making {tickets} tickets")
        tenant_id = _fill(world, tickets)
        key = world.api_keys.add(tenant_id, name="bench", role="agent")
        with api(home) as (url, process):
            say("reading lists")
            listed = _lists(url, key)
            say(f"{clients} clients hear {events} events")
            heard = asyncio.run(_events(world, tenant_id, url, key, clients, events))
            rss = process.memory_info().rss / 1_000_000
            say("a browser hears events")
            in_browser = _in_browser(world, tenant_id, url, events=50)
    return {
        "tickets": tickets,
        **listed,
        "clients": clients,
        "events": events,
        **heard,
        "api_rss_mb": round(rss, 1),
        "commit_to_browser_p50_ms": in_browser,
    }


def _fill(world: World, tickets: int) -> int:
    tenant_id, inbox_id = plain_inbox(world)
    with world.database.transaction() as t:
        about = {"tenant_id": tenant_id, "inbox_id": inbox_id, "count": tickets}
        t.connection.execute(_TICKETS, about)
        t.connection.execute(_MESSAGES, about)
    with psycopg.connect(world.settings.owner_dsn) as owner:
        owner.execute(b"ANALYZE tickets, messages")
        # What autovacuum does within a minute: search reads no pending list, index scans see the visibility map.
        owner.execute(b"SELECT gin_clean_pending_list('tickets_by_words')")
    return tenant_id


def _lists(url: str, key: str, rounds: int = 25) -> dict[str, Any]:
    """Milliseconds from request to whole answer, one after the other, over all kinds of lists and following pages."""
    each: dict[str, list[float]] = {name: [] for name in LISTS}
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=30) as client:
        for _ in range(rounds):
            for name, query in LISTS.items():
                began = time.perf_counter()
                page = client.get(f"/v1/tickets?{query}").raise_for_status().json()
                each[name].append((time.perf_counter() - began) * 1000)
                if page["next"]:
                    began = time.perf_counter()
                    client.get(f"/v1/tickets?{query}&cursor={page['next']}").raise_for_status()
                    each[name].append((time.perf_counter() - began) * 1000)
    every = sorted(value for values in each.values() for value in values)
    return {
        "list_p50_ms": round(statistics.median(every), 1),
        "list_p95_ms": round(every[int(len(every) * 0.95)], 1),
        "list_p95_ms_of": {name: round(sorted(values)[int(len(values) * 0.95)], 1) for name, values in each.items()},
    }


@dataclass
class _Listener:
    """Event id -> when it came, as the wall clock has it."""

    came: dict[int, float] = field(default_factory=dict)
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    is_news: asyncio.Event = field(default_factory=asyncio.Event)

    async def has_all(self, events: int) -> None:
        while len(self.came) < events:
            self.is_news.clear()
            await self.is_news.wait()

    async def listen(self, host: str, port: int, key: str) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"GET /v1/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        try:
            while line := await reader.readline():
                if line.startswith(b"event: ready"):
                    self.is_ready.set()
                elif line.startswith(b'data: {"'):
                    self.came.setdefault(json.loads(line[6:])["id"], time.time())
                    self.is_news.set()
        finally:
            writer.close()


async def _events(world: World, tenant_id: int, url: str, key: str, clients: int, events: int) -> dict[str, Any]:
    parts = urlsplit(url)
    listeners = [_Listener() for _ in range(clients)]
    tasks = [asyncio.create_task(one.listen(str(parts.hostname), parts.port or 80, key)) for one in listeners]
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*(one.is_ready.wait() for one in listeners))
    committed: dict[int, float] = {}
    statuses = cycle(("pending", "open"))
    for _ in range(events):
        number, moment = await asyncio.to_thread(_change, world, tenant_id, next(statuses))
        committed[number] = moment
        await asyncio.sleep(0.05)
    with suppress(TimeoutError):
        async with asyncio.timeout(30):
            await asyncio.gather(*(one.has_all(events) for one in listeners))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    waited = sorted(
        (one.came[n] - moment) * 1000 for one in listeners for n, moment in committed.items() if n in one.came
    )
    return {
        "events_lost": clients * events - len(waited),
        "commit_to_client_p50_ms": round(statistics.median(waited), 1) if waited else None,
        "commit_to_client_p95_ms": round(waited[int(len(waited) * 0.95)], 1) if waited else None,
    }


def _change(world: World, tenant_id: int, status: str) -> tuple[int, float]:
    """One change of a ticket: (its event's id, when it was committed)."""
    with world.database.transaction() as t:
        row = t.connection.execute(
            b"SELECT max(id) AS ticket, (SELECT coalesce(max(id), 0) FROM outbox) AS last FROM tickets WHERE tenant_id = %s",
            (tenant_id,),
        ).fetchone()
    assert row is not None
    world.reading.patch_ticket(tenant_id, row["ticket"], status=status, unread=None)
    moment = time.time()
    with world.database.transaction() as t:
        event = t.connection.execute(b"SELECT max(id) AS id FROM outbox WHERE tenant_id = %s", (tenant_id,)).fetchone()
    sending.publish(world, tenant_id)
    assert event is not None
    return event["id"], moment


def _in_browser(world: World, tenant_id: int, url: str, *, events: int) -> float | None:
    """Median ms until a page in Chromium hears of a commit; None where there is no Chromium or no Playwright."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        return None
    link = world.api_keys.add_link(tenant_id, name="bench", role="agent", minutes=5)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        page = browser.new_page()
        page.goto(f"{url}/login#{link}")
        page.locator(".live.live").wait_for()
        page.evaluate(
            "() => { window.came = {}; new EventSource('/v1/events').addEventListener('ticket.updated',"
            " (event) => { window.came[JSON.parse(event.data).id] ??= Date.now() }) }"
        )
        page.wait_for_timeout(1000)
        committed = {}
        for number in range(events):
            id_, moment = _change(world, tenant_id, ("pending", "open")[number % 2])
            committed[id_] = moment
            page.wait_for_timeout(100)
        page.wait_for_timeout(1000)
        came: dict[str, float] = page.evaluate("() => window.came")
        browser.close()
    return round(statistics.median([came[str(id_)] - moment * 1000 for id_, moment in committed.items()]), 1)
