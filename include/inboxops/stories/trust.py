"""Inboxes that answer by themselves without anybody's word on who forged a mail, and whose word their mails carry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from inboxops.core.authentication import UNNAMED, on_top
from inboxops.core.inbox import Inbox
from inboxops.core.mime import parse
from inboxops.core.packs import unpack
from inboxops.errors import TransientError
from inboxops.ports import StoredRow
from inboxops.stories.raw_mail import Gets
from inboxops.stories.stored_mail import frames

NEWEST = 5
"""Mails that are looked at. A server that writes on all of them is worth a proposal; a stranger's header stands on some."""


PROPOSED = 3
"""Inboxes whose mails are looked at: whoever has mended those asks again."""


class Newest(Protocol):
    def newest(self, inbox_id: int, *, limit: int) -> list[StoredRow]: ...


@dataclass(frozen=True, slots=True)
class Unguarded:
    """proposed: the server on top of each of the inbox's newest mails, else "". A person has to know that it is theirs."""

    tenant: str
    name: str
    proposed: str = ""


def unguarded(inboxes: Iterable[Inbox], mails: Newest, objects: Gets) -> list[Unguarded]:
    """All of them; a server is proposed for the first PROPOSED."""
    found = [one for one in inboxes if one.auto_response_enabled and one.is_live and not one.trusted_servers]
    return [
        Unguarded(
            one.tenant,
            one.name,
            _proposed(mails.newest(one.id, limit=NEWEST), objects) if number < PROPOSED else "",
        )
        for number, one in enumerate(found)
    ]


def _proposed(rows: list[StoredRow], objects: Gets) -> str:
    try:
        packed = [frame for frame, _ in frames(rows, objects) if frame is not None]
        found = Counter(on_top(parse(unpack(frame)[0]).headers) for frame in packed)
    except (TransientError, ValueError):  # the store is away, or a frame is damaged: there is nothing to propose
        return ""
    return next((server for server in found if len(found) == 1 and server != UNNAMED), "")
