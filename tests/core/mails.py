"""Mail for tests, built in a line."""

from __future__ import annotations

from dataclasses import replace

from inboxops.core import ids
from inboxops.core.classify import classify
from inboxops.core.mime import parse
from inboxops.core.model import InboxContext, ParsedMessage, Verdict
from inboxops.core.signing import SigningKey

KEY = SigningKey(b"a signing key of thirty-two bytes")
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


OWN = ids.make_message_id(ticket_id=3, message_id=8, domain="shop.example", signing_key=KEY)
REPORT = {"MIME_Version": "1.0", "Content_Type": "multipart/report; report-type=delivery-status; boundary=b"}


def verdict(message: ParsedMessage, **context: object) -> Verdict:
    return classify(message, replace(INBOX, **context))


def report(*blocks: str, subject: str = "Delivery Status Notification", returned: str = "") -> ParsedMessage:
    """A delivery status notification with these recipient blocks."""
    status = "\n\n".join(("Reporting-MTA: dns; mx.example", *blocks))
    body = f"--b\nContent-Type: text/plain\n\nnotice\n--b\nContent-Type: message/delivery-status\n\n{status}\n"
    if returned:
        body += f"--b\nContent-Type: message/rfc822\n\n{returned}\n"
    return mail(body + "--b--\n", From="postmaster@mx.example", Subject=subject, **REPORT)


def block(address: str, action: str, status: str = "") -> str:
    lines = [
        f"Final-Recipient: rfc822; {address}",
        f"Action: {action}" if action else "",
        f"Status: {status}" if status else "",
    ]
    return "\n".join(filter(None, lines))
