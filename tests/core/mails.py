"""Mail for tests, built in a line."""

from __future__ import annotations

from inboxops.core.mime import parse
from inboxops.core.model import InboxContext, ParsedMessage

KEY = b"a signing key of thirty-two bytes"
INBOX = InboxContext(
    tenant_id=1,
    inbox_id=2,
    email_address="support@shop.example",
    own_addresses=frozenset({"support@shop.example"}),
    signing_key=KEY,
)


def raw(body: str | bytes = "hello", **headers: str) -> bytes:
    """A mail from Anna to the inbox; `X_Y="v"` is the header `X-Y: v`, and an empty `From` leaves it out."""
    wanted = {
        "From": "Anna <anna@cust.example>",
        "To": "support@shop.example",
        "Subject": "hi",
        "Message-ID": "<a1@cust.example>",
    }
    wanted |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\n" for name, value in wanted.items() if value != "")
    return head.encode("utf-8") + b"\n" + (body.encode("utf-8") if isinstance(body, str) else body)


def mail(body: str | bytes = "hello", **headers: str) -> ParsedMessage:
    return parse(raw(body, **headers))
