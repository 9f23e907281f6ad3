"""The demonstration's Gmail and Microsoft 365: two stand-ins in the process of its mail server.

Their mailboxes are in memory, filled by the job that connects them, and numbered from a moment kept in the folder, so that
after a restart the inboxes go on from where they stopped and nothing is read twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from inboxops_local.stack.ports import Ports
from inboxops_local.standins.running import run


def born(folder: Path) -> float:
    """When these mailboxes came into being, in seconds since the epoch; now, when `folder` has none yet."""
    kept = folder / "born"
    if not kept.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept.write_text(str(int(time.time())))
    return float(kept.read_text())


@contextmanager
def serving(folder: Path, ports: Ports) -> Iterator[None]:
    """Both answer while the block runs, each in a thread. folder: of certificates, and of the moment they came into being."""
    moment = born(folder)
    with ExitStack() as stack:
        for kind, port in (("gmail", ports.gmail), ("graph", ports.graph)):
            stack.enter_context(run(kind, port=port, users=[], ask=False, folder=folder, born=moment))
        yield
