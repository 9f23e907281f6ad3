"""The whole stack from its parts: what `inboxops up` runs."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import psutil

from inboxops.cancelling import cancelled
from inboxops.errors import OperatorError
from inboxops_local.stack import airflow, backing, checks, postgres
from inboxops_local.stack.home import Home, ends_at, load_or_make_secrets
from inboxops_local.stack.layout import Layout
from inboxops_local.stack.lock import Held, exclusive
from inboxops_local.stack.part import Part
from inboxops_local.stack.ports import Ports
from inboxops_local.stack.record import Record, clear
from inboxops_local.stack.supervisor import Notify, Supervisor

Then = Callable[[Layout], Awaitable[None]]
Choose = Callable[[Layout], list[Part]]

ROLES = ("STACK_POSTGRES_", "STACK_OWNER_", "STACK_TASKS_", "STACK_API_", "STACK_AIRFLOW_DATABASE_")
"""How the names of the passwords of PostgreSQL's roles begin."""


def services(layout: Layout) -> list[Part]:
    """PostgreSQL with our roles and databases, one for each Airflow, Valkey, and the S3 server with our bucket."""
    databases = Part(
        name="databases",
        argv=layout.python(
            "inboxops_local.stack.jobs", "databases", *(each.database for each in airflow.instances(layout))
        ),
        env=layout.environment(),
        made_of=layout.made_of(*ROLES),
        needs=("postgres",),
    )
    return [*postgres.parts(layout), databases, *backing.redis(layout), *backing.s3(layout)]


def application(layout: Layout, *, demo: bool, celery: bool) -> list[Part]:
    """What stands on the services: the schema, the demonstration mail server, the API and Airflow."""
    home, ports = layout.home, layout.ports
    inbox = Part(
        name="demo",
        argv=layout.python("inboxops_local.stack.jobs", "demo"),
        env=layout.environment(),
        needs=("schema", "mail"),
    )
    return [
        *([inbox] if demo else []),
        Part(
            name="mail",
            argv=layout.python("inboxops_local.demo.mailserver", *(["--clouds"] if demo else [])),
            env=layout.environment(),
            made_of=layout.made_of("STACK_SUPPORT_", "STACK_CUSTOMER_"),
            ready=partial(_mail_is_ready, ports, home, clouds=demo),
            answers=partial(_mail_is_ready, ports, home, clouds=demo),
            ports=(ports.imap, ports.smtp, *((ports.gmail, ports.graph) if demo else ())),
        ),
        Part(
            name="schema",
            argv=layout.python("inboxops_local.stack.jobs", "schema"),
            env=layout.environment(),
            needs=("databases",),
            deadline=None,  # an upgrade goes through all mail there is
        ),
        Part(
            name="api",
            argv=layout.python(
                "uvicorn", "api.app:app", "--host", checks.HOST, "--port", str(ports.api), "--no-access-log"
            ),
            env=layout.environment(),
            made_of=layout.made_of("INBOXOPS_"),
            needs=("schema", "redis"),
            ready=partial(checks.http, f"http://{checks.HOST}:{ports.api}/healthz"),
            answers=partial(checks.http_answers, f"http://{checks.HOST}:{ports.api}/"),  # asks nobody else
            ports=(ports.api,),
        ),
        *_airflows(layout, roster_after="demo" if demo else "schema", celery=celery),
    ]


def _airflows(layout: Layout, *, roster_after: str, celery: bool) -> list[Part]:
    """One after the other: two that start at once take so long on a small machine that neither is ready in time."""
    found: list[Part] = []
    after: tuple[str, ...] = ()
    for each in airflow.instances(layout):
        own = celery and not each.suffix
        made = airflow.parts(layout, each, roster_after=roster_after, after=after, celery=own)
        after = tuple(part.name for part in made if not part.is_job)
        found += made
    return found


def whole(layout: Layout, *, demo: bool = False, celery: bool = False) -> list[Part]:
    return [*services(layout), *application(layout, demo=demo, celery=celery)]


async def _mail_is_ready(ports: Ports, home: Home, *, clouds: bool) -> bool:
    listening = not clouds or (await checks.listens(ports.gmail) and await checks.listens(ports.graph))
    return listening and await checks.imap(ports.imap, home.ca_file) and await checks.smtp(ports.smtp)


async def run(
    home: Home,
    ports: Ports,
    notify: Notify,
    *,
    choose: Choose = whole,
    then: Then | None = None,
    again: Sequence[str] = (),
    missed: str = "",
) -> None:
    """Start the chosen parts, await `then`, and keep everything running until SIGINT, SIGTERM or SIGHUP.

    At SIGUSR1 the secrets are read again, and what is made of those that changed starts anew. again, missed: as `Supervisor`.

    Raises OperatorError (a port is taken, the folder can't be written, a part does not start) after ending what was begun.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    renew = asyncio.Event()
    loop.add_signal_handler(RENEW, renew.set)
    await supervise(home, ports, notify, stop=stop, renew=renew, choose=choose, then=then, again=again, missed=missed)


RENEW = signal.SIGUSR1


async def supervise(
    home: Home,
    ports: Ports,
    notify: Notify,
    *,
    stop: asyncio.Event,
    renew: asyncio.Event | None = None,
    choose: Choose = whole,
    then: Then | None = None,
    again: Sequence[str] = (),
    missed: str = "",
) -> None:
    """As `run`, until `stop` is set; secrets are read again whenever `renew` is.

    missed: the watch has ended what was left, whose record stays until it is ours: so a try that fails is made again, and none is
    once `down` has taken the record away.
    """
    if not missed:
        tidy(home)
    _need_free(ports)
    if not missed:
        home.make()
    with exclusive(home.lock):
        if missed:
            _need_record(home)
        layout = Layout(home, ports, load_or_make_secrets(home, ports))
        supervisor = Supervisor(
            choose(layout),
            home=home.path,
            record_path=home.record,
            port_base=ports.base,
            notify=notify,
            again=again,
            missed=missed,
        )
        work = asyncio.create_task(_work(supervisor, layout, then, renew or asyncio.Event(), choose))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await work
        finally:
            stopped.cancel()
            await cancelled([work])
            await supervisor.stop()


async def _work(
    supervisor: Supervisor, layout: Layout, then: Then | None, renew: asyncio.Event, choose: Choose
) -> None:
    """Start, await `then`, and follow the secrets until we are cancelled."""
    await supervisor.start()
    if then is not None:
        await then(layout)
    while True:
        ends = ends_at(layout.secrets.values)
        with suppress(TimeoutError):
            async with asyncio.timeout((ends - datetime.now(UTC)).total_seconds() if ends else None):
                await renew.wait()
        renew.clear()
        try:
            layout = Layout(layout.home, layout.ports, load_or_make_secrets(layout.home, layout.ports))
            await supervisor.renew(choose(layout))
        except (OperatorError, OSError) as exc:
            supervisor.renewed(refused=str(exc))
            await asyncio.sleep(1)  # an end that could not be written down comes at once again


def tidy(home: Home) -> None:
    """Clear up after a supervisor that was killed. Raises OperatorError when one is alive."""
    if not home.path.exists():
        return
    with exclusive(home.lock):
        record = Record.read(home.record)
        if record is not None:
            clear(record)
            home.record.unlink(missing_ok=True)


def _need_record(home: Home) -> None:
    """Raises OperatorError when nobody waits any more for the run whose supervisor was killed: it was stopped meanwhile."""
    record = Record.read(home.record)
    if record is None or record.ends:
        raise OperatorError("the stack was stopped meanwhile", fix="Start it with `inboxops up`")


def _need_free(ports: Ports) -> None:
    """Raises OperatorError, naming the port and who has it, when one of ours is taken."""
    for port in ports.all:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((checks.HOST, port))
            except OSError as exc:
                raise OperatorError(
                    f"port {port} on {checks.HOST} is taken{_holder(port)}",
                    fix=f"Free it, or move all ports: INBOXOPS_PORT_BASE={ports.base + 1000}",
                ) from exc


def _holder(port: int) -> str:
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and getattr(connection.laddr, "port", None) == port
                and connection.pid
            ):
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return ""


def down(home: Home, *, seconds: float = 60.0) -> bool:
    """Stop the stack of this home and wait until it is gone; clear up when its supervisor was killed.

    Returns whether there was anything to stop. Raises OperatorError when it does not stop in time.
    """
    found, deadline = False, time.monotonic() + seconds
    while record := Record.read(home.record):
        found = True
        if record.supervisor.alive:
            _stop(record.supervisor.pid, seconds)
        try:
            tidy(home)
        except Held:  # by one that starts again what was killed, and has no record yet
            if time.monotonic() > deadline:
                raise
    return found


def _stop(supervisor: int, seconds: float) -> None:
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        os.kill(supervisor, signal.SIGTERM)
        try:
            psutil.Process(supervisor).wait(timeout=seconds)
        except psutil.TimeoutExpired as exc:
            raise OperatorError(
                f"the supervisor, process {supervisor}, did not stop in {seconds:.0f} s",
                fix=f"Kill it with `kill -9 {supervisor}` and run `inboxops down` again",
            ) from exc
