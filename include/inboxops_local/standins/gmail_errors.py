"""How Google words an error."""

from __future__ import annotations

from collections.abc import Mapping

from inboxops_local.standins.http import Reply


def failure(status: int, reason: str, message: str, state: str, headers: Mapping[str, str] | None = None) -> Reply:
    """An error as Google words it."""
    error = {
        "code": status,
        "message": message,
        "errors": [{"message": message, "domain": "global", "reason": reason}],
        "status": state,
    }
    return Reply.json({"error": error}, status, headers)
