"""Delta queries on the messages of a folder: rounds in pages, each ending in a link that names where the next one starts.

As the real one does: `changeType` holds back other changes from the second round on, a filter by `receivedDateTime` holds
for the first, and tokens that are too old answer 410.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlencode

from inboxops_local.standins.graph_mailbox import Change, Mailbox, Message
from inboxops_local.standins.graph_query import (
    chosen,
    failure,
    page_size,
    prefers_immutable_ids,
    received_filter,
    wire_name,
)
from inboxops_local.standins.http import Call, Refused, Reply

MOST_FILTERED = 5000  # "Applying $filter in a delta query returns only up to 5,000 messages"


@dataclass(frozen=True, slots=True)
class _Round:
    """What a token stands for.

    since: the change to start behind, -1 for a first round; until: where the round ends."""

    since: int
    until: int
    passed: int = 0
    change_type: str = ""
    select: str = ""
    received: str = ""

    def token(self) -> str:
        return base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode().rstrip("=")

    @classmethod
    def read(cls, token: str) -> _Round:
        try:
            return cls(**json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))))
        except (ValueError, TypeError) as exc:
            raise Refused(failure(400, "BadRequest", "Badly formed token.")) from exc


def delta(call: Call, mailbox: Mailbox, folder: str) -> Reply:
    found = _round(call, mailbox)
    if found.since >= 0 and found.since < mailbox.oldest_sequence:
        raise Refused(failure(410, "syncStateNotFound", "The sync state generation is not found."))
    immutable = prefers_immutable_ids(call)
    entries = _entries(found, mailbox, folder, immutable=immutable)
    behind = sorted(((key, entry) for key, entry in entries.items() if key > found.passed), key=lambda pair: pair[0])
    page = behind[: page_size(call, usual=10)]
    answer: dict[str, Any] = {
        "@odata.context": f"{call.base}/v1.0/$metadata#Collection(message)",
        "value": [_shown(one, found, immutable=immutable) for _, one in page],
    }
    here = f"{call.base}{call.path}"
    if len(page) < len(behind):
        answer["@odata.nextLink"] = f"{here}?{urlencode({'$skiptoken': replace(found, passed=page[-1][0]).token()})}"
    else:
        ended = replace(found, since=found.until, until=-1, passed=0)
        answer["@odata.deltaLink"] = f"{here}?{urlencode({'$deltatoken': ended.token()})}"
    return Reply.json(answer, headers={"Preference-Applied": 'IdType="ImmutableId"'} if immutable else {})


def _round(call: Call, mailbox: Mailbox) -> _Round:
    if "$skiptoken" in call.query:
        return _Round.read(call.query["$skiptoken"])
    if "$deltatoken" in call.query:
        return replace(_Round.read(call.query["$deltatoken"]), until=mailbox.sequence)
    return _Round(
        since=-1,
        until=mailbox.sequence,
        change_type=call.query.get("changeType", ""),
        select=call.query.get("$select", ""),
        received=call.query.get("$filter", ""),
    )


def _entries(found: _Round, mailbox: Mailbox, folder: str, *, immutable: bool) -> dict[int, Message | str]:
    """Messages, and ids of those that left, by a number that orders them and does not change while the round is read."""
    fits = received_filter(found.received)
    if found.since < 0:
        there = [m for m in mailbox.within(folder) if fits(m.received_at) and m.entered <= found.until]
        there = there[:MOST_FILTERED] if found.received else there
        return {m.number: m for m in there}
    last: dict[int, Change] = {}
    for change in mailbox.changes:
        if found.since < change.sequence <= found.until and change.folder == folder:
            before = last.get(change.number)
            if change.kind == "updated" and before is not None and before.kind == "created":
                continue
            last[change.number] = change
    entries: dict[int, Message | str] = {}
    for number, change in last.items():
        message = mailbox.messages.get(number)
        if found.change_type and change.kind != found.change_type:
            continue
        if change.kind == "deleted" or message is None or message.folder != folder:
            entries[change.sequence] = wire_name(number, mailbox, immutable=immutable)
        elif fits(message.received_at):
            entries[change.sequence] = message
    return entries


def _shown(entry: Message | str, found: _Round, *, immutable: bool) -> dict[str, Any]:
    if isinstance(entry, str):
        return {"@removed": {"reason": "deleted"}, "id": entry}
    return chosen(entry.resource(immutable=immutable), found.select)
