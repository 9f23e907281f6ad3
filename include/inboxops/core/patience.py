"""How long a server asks to be left alone."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_SECONDS = 3600.0
"""Whoever says more is asked again then: a slip of a server's would keep an inbox unread, or a reply unsent, for good."""


def retry_after(value: str | None, *, now: datetime) -> float | None:
    """Seconds of a Retry-After header, which says them or names a date (RFC 9110, 10.2.3): at most LONGEST_SECONDS.

    Also of a date as RFC 3339 writes it. None when it is none of these.
    """
    if not value:
        return None
    if value.strip().isdecimal():
        return min(float(value), LONGEST_SECONDS)
    try:
        named = datetime.fromisoformat(value) if value[10:11] == "T" else parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, (named.replace(tzinfo=named.tzinfo or UTC) - now).total_seconds()), LONGEST_SECONDS)
