"""The OData that Microsoft Graph understands about messages: select, filter, order, pages, and its errors."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from inboxops_local.standins.graph_mailbox import Mailbox
from inboxops_local.standins.http import Call, Refused, Reply

LARGEST_PAGE = 1000
_COMPARE: dict[str, Callable[[datetime, datetime], bool]] = {
    "ge": lambda a, b: a >= b,
    "gt": lambda a, b: a > b,
    "le": lambda a, b: a <= b,
    "lt": lambda a, b: a < b,
}


def failure(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    """An error as Graph words it."""
    inner = {"request-id": secrets.token_hex(16), "date": "2026-01-01T00:00:00"}
    return Reply.json({"error": {"code": code, "message": message, "innerError": inner}}, status, headers)


def preferences(call: Call) -> str:
    return call.headers.get("prefer", "")


def prefers_immutable_ids(call: Call) -> bool:
    return re.search(r'IdType\s*=\s*"?ImmutableId"?', preferences(call), re.IGNORECASE) is not None


def page_size(call: Call, *, usual: int) -> int:
    """`Prefer: odata.maxpagesize=N`, which delta wants, or $top, which the rest wants."""
    preferred = re.search(r"odata\.maxpagesize\s*=\s*(\d+)", preferences(call), re.IGNORECASE)
    size = int(preferred[1]) if preferred else int(call.query.get("$top", usual))
    return max(1, min(size, LARGEST_PAGE))


def chosen(resource: dict[str, Any], select: str) -> dict[str, Any]:
    wanted = {name.strip() for name in select.split(",") if name.strip()}
    if not wanted:
        return resource
    return {name: value for name, value in resource.items() if name in wanted or name == "id" or name.startswith("@")}


def received_filter(expression: str) -> Callable[[datetime], bool]:
    """A test of arrival times. Graph knows no other filter together with delta."""
    tests = []
    for clause in filter(None, re.split(r"\s+and\s+", expression.strip())):
        found = re.fullmatch(r"receivedDateTime\s+(ge|gt|le|lt)\s+(\S+)", clause)
        if found is None:
            raise Refused(failure(400, "ErrorInvalidUrlQuery", f"The filter {clause!r} is not supported."))
        tests.append((_COMPARE[found[1]], datetime.fromisoformat(found[2].replace("Z", "+00:00"))))
    return lambda at: all(compare(at, limit) for compare, limit in tests)


def wire_name(number: int, mailbox: Mailbox, *, immutable: bool) -> str:
    """The id that a message had, also when it is gone."""
    message = mailbox.messages.get(number)
    if message is None or immutable:
        return f"AAkALg{number:014d}"
    return message.id
