"""A supervisor of toy parts, run as a process of its own by the tests: `toy.py HOME BASE [NAME=PYTHON ...]`.

A part's Python source may contain {port}; a part without it is a job. Parts need the one before them. A part hangs as long as a
file `hang.NAME` is in the home: it holds the reason; and when it has given no answer for SILENT_SECONDS. With TOY_AGAIN in the
environment it is a stack in the background: should its supervisor be killed, it is started again. `nursery=` is Airflow's own;
behind it a source `-m MODULE ...` is forked.
"""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from pathlib import Path

from inboxops.errors import InboxOpsError
from inboxops_local.stack import airflow, checks, launch, supervisor
from inboxops_local.stack.home import Home
from inboxops_local.stack.layout import Layout
from inboxops_local.stack.part import Part
from inboxops_local.stack.ports import Ports
from inboxops_local.stack.record import PartRecord

NAMED = [argument for argument in sys.argv[3:] if "=" in argument]  # behind them: when the supervisor before was killed
SILENT_SECONDS = 1.0
STILL_SECONDS = 0.5


async def answers(port: int) -> bool:
    return bool(await checks.conversation(port, b"hello"))


async def hangs(told: Path) -> str:
    return told.read_text() if told.exists() else ""


def nursery(layout: Layout) -> Part:
    own, *_ = airflow.instances(layout)
    return next(part for part in airflow.parts(layout, own, roster_after="") if part.name == "nursery")


def parts(layout: Layout) -> list[Part]:
    made: list[Part] = []
    for number, argument in enumerate(NAMED):
        name, source = argument.split("=", 1)
        if name == "nursery":
            made.append(nursery(layout))
            continue
        port = layout.ports.base + number
        is_job, is_forked = "{port}" not in source, source.startswith("-m ")
        source = source.replace("{port}", str(port))
        made.append(
            Part(
                name=name,
                argv=(sys.executable, *(source.split() if is_forked else ("-c", source))),
                nursery=layout.home.airflow if is_forked else None,
                env=layout.environment(),
                needs=(made[-1].name,) if made else (),
                ready=None if is_job else partial(checks.listens if is_forked else answers, port),
                answers=None if is_job or is_forked else partial(answers, port),
                ports=() if is_job else (port,),
                deadline=None if is_job else 10.0,
                grace=1.0,
                hangs=partial(hangs, layout.home.path / f"hang.{name}"),
                hang_patience=0.0,
            )
        )
    return made


def heard(name: str, part: PartRecord) -> None:
    print(name, part.state, part.detail, flush=True)  # noqa: T201


async def ready(_layout: Layout) -> None:
    print("all ready", flush=True)  # noqa: T201


if __name__ == "__main__":
    supervisor.SILENT_SECONDS, supervisor.STILL_SECONDS = SILENT_SECONDS, STILL_SECONDS
    try:
        again = [sys.executable, *sys.argv[:3], *NAMED] if "TOY_AGAIN" in os.environ else []
        missed = "".join(sys.argv[3 + len(NAMED) :])
        home, ports = Home(Path(sys.argv[1])), Ports(base=int(sys.argv[2]))
        asyncio.run(launch.run(home, ports, heard, choose=parts, then=ready, again=again, missed=missed))
    except InboxOpsError as exc:
        sys.exit(f"error: {exc}")
