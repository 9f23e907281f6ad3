"""The classify task of a clean process, whose reader never comes to one chunk: `python -m tests.stories.waiting_task`.

On stdin a line of JSON: the settings of the installation, the inbox, the first row of the chunk, and how many mails a slice and a
chunk have. A test process has threads, and what is forked beside those may wait for ever for a lock of theirs.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Sequence

from inboxops.composition import filing, intake
from inboxops.composition.forks import Begin
from inboxops.composition.world import World
from inboxops.core.model import InboxContext
from inboxops.ports import StoredRow
from inboxops.settings import Settings
from inboxops.stories import persist as persisting
from inboxops.stories import stored_mail
from inboxops.stories.classify import Classified


def main() -> None:
    order = json.loads(sys.stdin.readline())
    persisting.SLICE, stored_mail.CHUNK_MESSAGES = order["slice"], order["chunk"]
    plain = filing.reader

    def reader(world: World, known: InboxContext) -> Callable[[Sequence[StoredRow], Begin], Classified]:
        read = plain(world, known)

        def waiting(rows: Sequence[StoredRow], begin: Begin) -> Classified:
            if rows[0].id == order["waits_at"]:
                threading.Event().wait()
            return read(rows, begin)

        return waiting

    filing.reader = reader  # type: ignore[assignment]
    intake.classify(World(Settings.model_validate(order["settings"])), order["inbox_id"])


if __name__ == "__main__":
    main()
