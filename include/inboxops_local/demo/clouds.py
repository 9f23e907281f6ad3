"""`python -m inboxops_local.demo.clouds`: the demonstration's Gmail and Microsoft 365, two stand-ins in one process.

Their mailboxes are in memory, filled by the job that connects them, and numbered from a moment kept in the folder, so that
after a restart the inboxes go on from where they stopped and nothing is read twice.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

from inboxops import settings
from inboxops.settings import Ports
from inboxops_local.stack.home import Home


def born(folder: Path) -> float:
    """When these mailboxes came into being, in seconds since the epoch; now, when `folder` has none yet."""
    kept = folder / "born"
    if not kept.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept.write_text(str(int(time.time())))
    return float(kept.read_text())


def main() -> None:
    from inboxops_local.standins.running import run

    home, ports = Home(settings.home()), Ports()
    moment = born(home.standins)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    serving = [
        run(kind, port=port, users=[], ask=False, folder=home.standins, born=moment)
        for kind, port in (("gmail", ports.gmail), ("graph", ports.graph))
    ]
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    for each in serving:
        each.stop()


if __name__ == "__main__":
    main()
