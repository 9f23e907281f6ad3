"""Which server an inbox is read from: whoever stands for many inboxes is bounded by it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from inboxops.core.inbox import Inbox
from inboxops.core.model import Cursor

INBOX = Inbox(
    id=1, tenant_id=1, tenant="acme", name="support", email_address="support@acme.example", display_name="",
    connection_type="imap", connection={}, connected_at=None, paused_at=None, last_error=None, cursor=Cursor(), first_sync_days=7,
    first_sync_messages=500, spam_headers=(), trusted_authserv_ids=frozenset(), auto_response_enabled=False, auto_response_body="",
    note="", reopen_days=30,
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "connection", "place"),
    [
        ("imap", {"host": "imap.acme.example"}, "imap imap.acme.example"),
        ("jmap", {"url": "https://api.fastmail.example/jmap/session"}, "jmap api.fastmail.example"),
        ("jmap", {"url": "https://jmap.acme.example:8443/"}, "jmap jmap.acme.example"),
        ("gmail", {}, "gmail "),
    ],
)
def test_an_inbox_that_is_named_by_a_url_stands_at_that_urls_host(
    kind: str, connection: dict[str, Any], place: str
) -> None:
    assert replace(INBOX, connection_type=kind, connection=connection).place == place
