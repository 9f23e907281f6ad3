"""How the demonstration's mails are written down: drafts whose dates are filled in when the mailbox is seeded."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime

from inboxops_local.stack.home import SUPPORT


@dataclass(frozen=True, slots=True)
class Mail:
    """One message as bytes, `{date}` and friends already filled in, and when it arrived."""

    raw: bytes
    received: datetime


@dataclass(frozen=True, slots=True)
class Draft:
    """A message before its date is known. `hours` before the moment of seeding it was written, and arrived a minute later.

    head: header lines without Date, To, Message-ID and MIME-Version, which are added unless it names them itself ("" drops one).
    """

    hours: float
    message_id: str | None
    head: str
    body: bytes = b""
    raw: bytes | None = None  # a whole message instead; `{date}` in it becomes the date


def dated(draft: Draft, now: datetime) -> Mail:
    """The message as it goes over the wire, written `draft.hours` before `now`."""
    written = (now - timedelta(hours=draft.hours)).replace(microsecond=0)
    date = format_datetime(written)
    raw = draft.raw
    if raw is None:
        lines = [line for line in draft.head.strip("\n").split("\n") if line]
        names = {line.split(":", 1)[0].lower() for line in lines if not line[0].isspace()}
        extra = {"Date": date, "To": f"Support <{SUPPORT}>", "MIME-Version": "1.0"}
        if draft.message_id:
            extra["Message-ID"] = f"<{draft.message_id}>"
        lines += [f"{name}: {value}" for name, value in extra.items() if name.lower() not in names]
        raw = "\n".join(lines).encode("utf-8") + b"\n\n" + draft.body
    raw = raw.replace(b"{date}", date.encode()).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return Mail(raw, written + timedelta(minutes=1))


def attachment(boundary: str, name: str, content_type: str, content: bytes, more: str = "") -> bytes:
    """One part of a multipart body, from its boundary line on."""
    head = f'--{boundary}\nContent-Type: {content_type}; name="{name}"\nContent-Transfer-Encoding: base64\n{more}'
    if not more:
        head += f'Content-Disposition: attachment; filename="{name}"\n'
    return head.encode() + b"\n" + base64.encodebytes(content)


TEXT = "Content-Type: text/plain; charset=utf-8"

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mPQqr+CFTEMLQkADXNfQdqiNccAAAAASUVORK5CYII="
)

INVOICE = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"

CALENDAR = b"""BEGIN:VCALENDAR
PRODID:-//Example//Meetings//EN
VERSION:2.0
METHOD:REQUEST
BEGIN:VEVENT
UID:onboarding-77@nordwind.example
DTSTAMP:20260105T090000Z
DTSTART:20260112T130000Z
DTEND:20260112T133000Z
SUMMARY:Onboarding call with your support team
ORGANIZER;CN=Ines Costa:mailto:ines@nordwind.example
ATTENDEE;RSVP=TRUE:mailto:support@demo.example
END:VEVENT
END:VCALENDAR
"""
