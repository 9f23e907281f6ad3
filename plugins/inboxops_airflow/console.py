"""The console: pages within Airflow's UI, under its log-in and its rights, for who runs the inboxes.

A page is an iframe of Airflow's origin. Each request is its user's: lists show the inboxes whose DAGs he may read, an action needs
the right to edit that DAG, and is written into Airflow's audit log. A database that is away breaks these pages alone.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

import jinja2
import structlog
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.api_fastapi.logging.decorators import action_logging
from airflow.configuration import conf
from airflow.models.dagrun import DagRun
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from inboxops.composition import console
from inboxops.composition.world import World
from inboxops.core import canary, trace
from inboxops.core.inbox import Inbox, inbox_id_of, without_secrets
from inboxops.core.inbox import dag_id as dag_id_of
from inboxops.db.console import SORTS
from inboxops.errors import InboxOpsError, InvalidInput, NotFound
from inboxops_airflow import connections

PAGE = 50
TRACED = 20
CANARIES = 10
MOST_MAILS = 500
HEADER = "X-InboxOps-Console"
"""A page of another origin can't send it without asking first, and nobody answers such a question (Fetch standard, 3.2)."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'self'"
)
FOLDER = Path(__file__).with_name("console_pages")

log = structlog.get_logger("inboxops.console")
app = FastAPI(title="InboxOps console", docs_url=None, redoc_url=None, openapi_url=None)
app.mount("/static", StaticFiles(directory=FOLDER / "static"))
_pages = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)

DagId = Annotated[str, Query(max_length=250)]


def _world() -> World:
    return connections.world()


WorldDep = Annotated[World, Depends(_world)]


@app.middleware("http")
async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    if not request.url.path.rpartition("/")[0].endswith("/static"):
        response.headers["Cache-Control"] = "no-store"
    return response


@app.exception_handler(InboxOpsError)
def say(request: Request, exc: InboxOpsError) -> Response:
    """One sentence that says what to do, on a page or as an action's answer."""
    status = 404 if isinstance(exc, NotFound) else 422 if isinstance(exc, InvalidInput) else 503
    if request.method == "POST":
        return JSONResponse({"said": str(exc)}, status)
    return HTMLResponse(_page("problem.html", said=str(exc)), status)


@app.get("/inboxes", response_class=HTMLResponse)
def inboxes(
    user: GetUserDep,
    session: SessionDep,
    world: WorldDep,
    q: Annotated[str, Query(max_length=200)] = "",
    state: Annotated[str, Query(max_length=20)] = "",
    kind: Annotated[str, Query(max_length=20)] = "",
    trouble: bool = False,
    sort: Annotated[str, Query(max_length=20)] = "lag",
    down: bool = True,
    page: Annotated[int, Query(ge=0, le=10_000)] = 0,
) -> str:
    """All inboxes of this cell that the user may see, filtered and sorted by the database."""
    sort = sort if sort in SORTS else "lag"
    rows = world.console.inboxes(
        cell=world.cell,
        every=timedelta(minutes=world.settings.poll_minutes),
        ids=_readable(user, session),
        q=q,
        state=state,
        kind=kind,
        trouble=trouble,
        sort=sort,
        down=down,
        offset=page * PAGE,
        limit=PAGE,
    )
    pulse, looks, outbox = console.vitals(world)
    asked = {"q": q, "state": state, "kind": kind, "trouble": trouble, "sort": sort, "down": down}
    total = rows[0]["total"] if rows else 0
    return _page(
        "inboxes.html",
        rows=[row | {"dag": dag_id_of(row["id"], row["tenant"], row["name"])} for row in rows],
        total=total,
        page=page,
        pages=-(-total // PAGE),
        asked=asked,
        to=partial(_to, asked),
        pulse=pulse,
        looks=looks,
        outbox=outbox,
        thinned=world.settings.idle_poll_minutes,
    )


@app.get("/inbox", response_class=HTMLResponse, dependencies=[Depends(requires_access_dag("GET"))])
def inbox(world: WorldDep, session: SessionDep, dag_id: DagId) -> str:
    """One inbox: settings without secrets, where it was read to, how it fares, what was set aside."""
    known = _of(world, dag_id)
    id_ = known.id
    (row,) = world.console.inboxes(
        every=timedelta(minutes=world.settings.poll_minutes),
        ids=[id_],
        q="",
        state="",
        kind="",
        trouble=False,
        sort="name",
        down=False,
        offset=0,
        limit=1,
    )
    runs = session.scalars(
        select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.run_after.desc()).limit(25)
    ).all()
    return _page(
        "inbox.html",
        dag=dag_id,
        inbox=known,
        cell=world.cell,
        connection=without_secrets(known.connection),
        row=row,
        look=world.looks.last(id_),
        counts=world.console.counts(id_),
        channel=world.push.channels([id_])[id_],
        runs=runs,
        aside=world.console.aside(id_, limit=100),
        replays=world.replays.listed(known.tenant_id, inbox_id=id_, limit=5),
        certified=world.certificates.of_inbox(id_),
        canaries=[
            row | {"means": canary.means(row), "helps": canary.helps(row)}
            for row in world.canaries.listed(inbox_id=id_, limit=CANARIES)
        ],
    )


@app.get("/trace", response_class=HTMLResponse)
def traced(
    user: GetUserDep, session: SessionDep, world: WorldDep, q: Annotated[str, Query(max_length=1_000)] = ""
) -> str:
    """The life of mails that the user may see, as `inboxops trace` tells it."""
    found, problem = [], ""
    if q.strip():
        try:
            wanted = trace.wanted(q)
            found = world.traces.find(wanted, inbox_ids=_readable(user, session), limit=TRACED + 1)
            problem = "" if found else str(trace.unknown(q.strip()))
        except InvalidInput as exc:
            problem = str(exc)
    return _page(
        "trace.html",
        q=q.strip(),
        problem=problem,
        more=len(found) > TRACED,
        tickets=world.settings.api_url.rstrip("/"),
        found=[
            {
                "mail": one.mail,
                "dag": dag_id_of(one.mail["inbox_id"], one.mail["tenant"], one.mail["inbox"]),
                "steps": trace.steps(one),
            }
            for one in found[:TRACED]
        ],
    )


@app.get(
    "/came",
    response_class=HTMLResponse,
    dependencies=[Depends(requires_access_dag("GET", access_entity=DagAccessEntity.RUN))],
)
def came(world: WorldDep, session: SessionDep, dag_id: DagId, run_id: Annotated[str, Query(max_length=250)]) -> str:
    """Every mail of one run: verdict with its evidence, where the raw mail is, ticket, events, what was answered."""
    id_ = _of(world, dag_id).id
    run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    if run is None:
        raise NotFound(f"{dag_id} has no run {run_id}")
    until = run.end_date or datetime.now(UTC)
    rows = world.console.came(id_, run.start_date, until, limit=MOST_MAILS + 1) if run.start_date else []
    return _page(
        "came.html",
        dag=dag_id,
        run=run,
        rows=rows[:MOST_MAILS],
        more=len(rows) > MOST_MAILS,
        tickets=world.settings.api_url.rstrip("/"),
    )


class Act(BaseModel):
    action: str
    inbound_id: int | None = None
    days: int | None = Field(None, ge=1, le=3_650)
    replay_id: int | None = None
    since: date | None = None
    until: date | None = None
    about: str | None = Field(None, max_length=40)
    group: str | None = Field(None, max_length=20)


@app.post("/act", dependencies=[Depends(requires_access_dag("PUT")), Depends(action_logging("inboxops_console"))])
def act(request: Request, user: GetUserDep, world: WorldDep, dag_id: DagId, asked: Act) -> dict[str, str]:
    """Do something with one inbox. What came of it is one sentence, for who asked and for the log."""
    if is_from_elsewhere(request):
        raise HTTPException(403, "only the console itself acts")
    meant = asked.model_dump(exclude={"action"})
    said = console.act(world, _of(world, dag_id).id, asked.action, by=user.get_name(), **meant)
    log.info("console_action", action=asked.action, dag=dag_id, by=user.get_name(), **meant)
    return {"said": said}


def is_from_elsewhere(request: Request) -> bool:
    """Whether it is another page than the console that asks. What is no browser says nothing of where it comes from."""
    return HEADER not in request.headers or request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin"


def _readable(user: BaseUser, session: Session) -> list[int]:
    """The inboxes whose DAGs the user may read."""
    dags = get_auth_manager().get_authorized_dag_ids(user=user, method="GET", session=session)
    return [id_ for dag in dags if (id_ := _inbox_of(dag)) is not None]


def _inbox_of(dag: str) -> int | None:
    try:
        return inbox_id_of(dag)
    except ValueError:
        return None


def _of(world: World, dag: str) -> Inbox:
    """The inbox of a DAG, by its whole name: what Airflow allowed was the name, and the number in it is anybody's."""
    id_ = _inbox_of(dag)
    found = world.inboxes.get(id_) if id_ is not None else None
    if found is None or found.dag_id != dag:
        raise NotFound(f"{dag} is not the DAG of an inbox", fix="The page Inboxes, under Browse, lists those")
    return found


def _to(asked: dict[str, Any], **change: Any) -> str:
    """The list's address with something asked for otherwise."""
    values = {
        name: str(value).lower() if isinstance(value, bool) else value for name, value in (asked | change).items()
    }
    return f"inboxes?{urlencode({name: value for name, value in values.items() if value != ''})}"


def _page(name: str, **values: Any) -> str:
    airflow = urlsplit(conf.get("api", "base_url", fallback="/")).path.rstrip("/")
    return _pages.get_template(name).render(airflow=airflow, now=datetime.now(UTC), **values)


def _ago(moment: datetime | None) -> str:
    return "never" if moment is None else f"{_lasting((datetime.now(UTC) - moment).total_seconds())} ago"


def _lasting(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, default=str)


_pages.filters |= {"ago": _ago, "lasting": _lasting, "utc": _utc, "pretty": _pretty}
