"""A supervisor of toy parts, run as a process of its own by the tests: `toy.py HOME BASE [NAME=PYTHON ...]`.

A part's Python source may contain {port}; a part without it is a job. Parts need the one before them. A part hangs as long as a
file `hang.NAME` is in the home: it holds the reason.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path

from inboxops.errors import InboxOpsError
from inboxops.settings import Ports
from inboxops_local.stack import checks, launch
from inboxops_local.stack.home import Home
from inboxops_local.stack.layout import Layout
from inboxops_local.stack.part import Part
from inboxops_local.stack.record import PartRecord


async def answers(port: int) -> bool:
    return bool(await checks.conversation(port, b"hello"))


async def hangs(told: Path) -> str:
    return told.read_text() if told.exists() else ""


def parts(layout: Layout) -> list[Part]:
    made: list[Part] = []
    for number, argument in enumerate(sys.argv[3:]):
        name, source = argument.split("=", 1)
        port = layout.ports.base + number
        is_job = "{port}" not in source
        made.append(
            Part(
                name=name,
                argv=(sys.executable, "-c", source.replace("{port}", str(port))),
                env=layout.environment(),
                needs=(made[-1].name,) if made else (),
                ready=None if is_job else partial(answers, port),
                ports=() if is_job else (port,),
                deadline=10.0,
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
    try:
        asyncio.run(launch.run(Home(Path(sys.argv[1])), Ports(base=int(sys.argv[2])), heard, choose=parts, then=ready))
    except InboxOpsError as exc:
        sys.exit(f"error: {exc}")
