"""How long a server asks to be left alone, whatever it writes there."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from inboxops.core.patience import LONGEST_SECONDS, retry_after

NOW = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Mon, 02 Nov 2026 10:05:00 GMT", 300.0),
        ("Mon, 02 Nov 2026 09:00:00 GMT", 0.0),
        ("2026-11-02T10:05:00.247Z", 300.247),  # RFC 3339: Gmail, in its messages
        ("2026-11-02Tsoon", None),
        ("86400", LONGEST_SECONDS),
        ("9" * 400, LONGEST_SECONDS),
        ("Mon, 02 Nov 2099 10:05:00 GMT", LONGEST_SECONDS),
        ("Mon, 02 Nov 99999999999999999999 10:05:00 GMT", None),
        ("²", None),
        ("soon", None),
        ("-1", None),
        ("", None),
        (None, None),
    ],
)
def test_seconds_or_a_date_and_never_more_than_an_hour(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, now=NOW) == seconds
