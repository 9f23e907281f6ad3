"""How long a server asks to be left alone."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after(value: str | None, *, now: datetime) -> float | None:
    """Seconds of a Retry-After header, which says them or names a date (RFC 9110, 10.2.3); None when it does neither."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        named = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (named.replace(tzinfo=named.tzinfo or UTC) - now).total_seconds())
