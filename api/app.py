"""The HTTP API: authenticate, translate, call one story."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

import inboxops
from api import document, problems, watch
from api.limits import BodyLimit, Looks, Tries
from api.private import Private
from api.routers import (
    attachments,
    certificates,
    corrections,
    events,
    health,
    inbound,
    inboxes,
    mail_rules,
    messages,
    metrics,
    oauth,
    page,
    replays,
    session,
    tickets,
    webhooks,
)
from inboxops.composition.world import World
from inboxops.cores import leave_no_core
from inboxops.errors import OperatorError
from inboxops.events import feed
from inboxops.settings import Settings, home, load

CONNECTIONS = 16  # to the database; a request holds one only while it reads or writes

DESCRIPTION = """\
Tickets, replies, files and inboxes of one tenant. Every request carries a key: `Authorization: Bearer io_...`
(`inboxops key add --tenant NAME --name WHOSE` makes one). Errors are problem documents (RFC 9457). Lists come in pages: give
`next` as `cursor`.
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; its settings are read when it starts, unless they are given."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        leave_no_core()
        known = settings or load()
        app.state.world = _world(known)
        app.state.world.airflows  # noqa: B018  # made here, where cells that can't be meant are said at once
        app.state.tries, app.state.looks = Tries(), Looks()
        app.state.feeds = feed.Feeds(feed.client(known.redis_url.get_secret_value()))
        async with (
            health.probes(known) as (app.state.database, app.state.redis),
            webhooks.desk(known, app.state.world) as app.state.push,
            watch.watched(known, partial(health.wrong, app.state), home() / "standing.json"),
        ):
            gc.freeze()  # what was imported stays: going through it held requests up for 60 ms, one in fifteen at 100 a second
            yield
        await app.state.feeds.close()
        app.state.world.close()

    app = FastAPI(
        title="InboxOps",
        version=inboxops.__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # pages of another host's scripts, in the origin that the session belongs to
        redoc_url=None,
    )
    # In the order in which they are tried.
    for part in (
        webhooks,
        health,
        metrics,
        tickets,
        messages,
        attachments,
        inbound,
        corrections,
        certificates,
        inboxes,
        mail_rules,
        replays,
        oauth,
        events,
        session,
        page,
    ):
        app.include_router(part.router)
    app.mount("/static", page.Static())
    app.add_middleware(BodyLimit)
    app.add_middleware(Private)
    problems.install(app)
    document.install(app)
    return app


def _world(settings: Settings) -> World:
    """Raises OperatorError when the API would not be under row-level security."""
    url = settings.api_database_url
    if url is None or url.get_secret_value() == settings.database_url.get_secret_value():
        raise OperatorError(
            "the API needs a database role of its own, under row-level security",
            fix="Set INBOXOPS_API_DATABASE_URL to a URL with the role inboxops_api",
        )
    return World(settings, dsn=url.get_secret_value(), connections=CONNECTIONS)


app = create_app()
