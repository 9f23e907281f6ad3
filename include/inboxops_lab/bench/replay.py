"""`inboxops bench replay`: stored mail read again and compared with what is stored, and what is applied of it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inboxops.cli.world import warnings_to_stderr
from inboxops.composition import intake, replaying
from inboxops.composition.world import World
from inboxops.core.replay import Group
from inboxops.db.database import Row
from inboxops.errors import OperatorError
from inboxops.settings import load
from inboxops_lab.bench.corpus import corpus
from inboxops_lab.bench.ingest import ADDRESS, USER
from inboxops_lab.bench.meter import cpu_seconds, pss_mb
from inboxops_lab.bench.place import TENANT, Place, place
from inboxops_lab.bench.stages import cpu_seconds as own_cpu_seconds

Say = Callable[[str], None]
SHARE = 10
"""Every so manyth mail is stored as an older version would have read it."""

_LOOK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Measured:
    """bytes: of the raw mail. preview_*: of all mail, with every SHARE-th of it otherwise. peak_mb: of all processes of the command
    together, what they share counted once. per_cpu_second: mails, the CPU of PostgreSQL and the object store counted in.
    after: differences that a preview finds behind applying.
    """

    messages: int
    bytes: int
    differing: int
    preview_seconds: float
    preview_cpu_seconds: float
    preview_servers_cpu_seconds: float
    preview_peak_mb: float
    preview_per_cpu_second: float
    apply_seconds: float
    apply_peak_mb: float
    after: int


def replay(count: int, *, say: Say) -> Measured:
    """Raises OperatorError without Dovecot, and when a preview counts otherwise than it has to."""
    warnings_to_stderr()
    say("starting PostgreSQL, Valkey, S3 and Dovecot")
    with place("--only=services") as here:
        inbox_id = here.add_mailbox(USER, first_sync_messages=count, plain=True)
        say(f"writing {count} messages into the mailbox")
        size = 0
        for mail in corpus(count, to=ADDRESS):
            here.dovecot.append(USER, mail.raw, when=mail.received)
            size += len(mail.raw)
        say("taking them in")
        while intake.fetch(here.world, inbox_id).more:
            pass
        intake.file(here.world, inbox_id)
        here.world.database.close()
        _made_older(here)
        say("preview")
        servers = here.part("postgres", "s3")
        used = cpu_seconds(servers)
        first = _run(here, "preview")
        used = cpu_seconds(servers) - used
        say("apply")
        second = _run(here, "apply", str(first["replay"]))
        say("preview behind it")
        third = _run(here, "preview")
    if first["read"] < count * 0.9 or not first["differing"]:
        raise OperatorError(f"of {count} mails {first['read']} were read, {first['differing']} were otherwise")
    return Measured(
        messages=first["read"],
        bytes=size,
        differing=first["differing"],
        preview_seconds=first["seconds"],
        preview_cpu_seconds=first["cpu_seconds"],
        preview_servers_cpu_seconds=round(used, 2),
        preview_peak_mb=first["peak_mb"],
        preview_per_cpu_second=round(first["read"] / (first["cpu_seconds"] + used), 1),
        apply_seconds=second["seconds"],
        apply_peak_mb=second["peak_mb"],
        after=third["differing"],
    )


def _made_older(here: Place) -> None:
    with here.world.database.transaction() as t:
        t.connection.execute(
            b"UPDATE messages SET body_new = '', rule = 'older', customer = NULL "
            b" WHERE direction = 'inbound' AND id %% %s = 0", (SHARE,)
        )  # fmt: skip
    with here.world.database.transaction() as t:
        t.connection.execute(b"ANALYZE")
    here.world.database.close()


def _run(here: Place, *work: str) -> dict[str, Any]:
    """One step in a process of its own, watched from here: what it says, and the most memory that its processes took together."""
    child = subprocess.Popen(
        [sys.executable, "-m", "inboxops_lab.bench.replay", *work],
        env=here.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    peak = 0.0
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(_LOOK_SECONDS):
            peak = max(peak, pss_mb([child.pid]))

    watching = threading.Thread(target=watch)
    watching.start()
    said, _ = child.communicate()
    over.set()
    watching.join()
    if child.returncode != 0:
        raise OperatorError("a replay failed", fix="What it said stands above")
    return {**json.loads(said.splitlines()[-1]), "peak_mb": round(peak, 1)}


def main(step: str, replay_id: str = "") -> None:
    warnings_to_stderr()
    world = World(load())
    tenant_id = world.inboxes.tenant_id(TENANT)
    began, used = time.monotonic(), own_cpu_seconds()
    row: Row
    if step == "preview":
        row = replaying.preview(world, replaying.scope(world, tenant_id, days=30), by="bench")
    else:
        row = replaying.apply(world, tenant_id, int(replay_id), list(Group), here=True)
    told = {
        "replay": row["id"],
        "seconds": round(time.monotonic() - began, 2),
        "cpu_seconds": round(own_cpu_seconds() - used, 2),
        "read": row["report"]["read"],
        "differing": row["report"]["differing"],
        "groups": row["report"]["groups"],
    }
    world.close()
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
