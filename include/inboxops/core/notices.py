"""What admins are told, in words: what is wrong and what to do, and that it is over."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr

from inboxops.core.canary import WHERE_TO_LOOK


@dataclass(frozen=True, slots=True)
class Kind:
    """A condition: its title about an inbox or a ticket, and what helps."""

    title: str
    fix: str


KINDS = {
    "inbox_disconnected": Kind("{inbox} is disconnected", "Connect it again: `inboxops inbox reconnect {name}`."),
    "inbox_not_read": Kind(
        "{inbox} is not read",
        "It is tried at every poll; nothing is lost meanwhile. `inboxops inbox test {name}` looks now.",
    ),
    "push_failed": Kind(
        "{inbox} gets no pushes", "Its mail is polled meanwhile; the channel is tried again by itself."
    ),
    "mail_parked": Kind(
        "mail to {inbox} is parked",
        "Look at it under Parked on the tickets page, or with `inboxops inbound list --state parked`.",
    ),
    "mail_unaccounted": Kind(
        "mail of {inbox} is not accounted for",
        "The certificate names each and what to do: `inboxops certificate show --tenant {tenant}`, or GET /v1/certificates.",
    ),
    "inbox_not_certified": Kind(
        "whether all mail of {inbox} is here was not looked at for a day and a half",
        "Mail goes on meanwhile. `inboxops inbox test {name}` looks at the mailbox, and the next certificate tries again.",
    ),
    "canary_late": Kind(
        "mail to {inbox} does not arrive as it should",
        f"{WHERE_TO_LOOK}; `inboxops canary list {{name}}` shows them all.",
    ),
    "canary_not_sent": Kind(
        "no canary could be sent to {inbox}",
        "Whether mail arrives is not known meanwhile. `inboxops canary send {name}` tries again now.",
    ),
    "canary_in_doubt": Kind(
        "whether a canary to {inbox} left is not known",
        "When it comes back, or when the next one is sent, this is over. `inboxops canary send {name}` sends one now.",
    ),
    "reply_failed": Kind("an answer in ticket #{ticket} was not sent", "Open the ticket and try again."),
    "reply_bounced": Kind("an answer in ticket #{ticket} came back", "Check the customer's address in the ticket."),
}


@dataclass(frozen=True, slots=True)
class Notice:
    """One condition of one inbox or message. over: this tells of its end. tenant: its short name."""

    kind: str
    over: bool
    inbox: str
    inbox_address: str
    detail: str
    at: datetime
    ticket_number: int | None = None
    ticket_id: int | None = None
    message_id: int | None = None
    tenant: str = "NAME"  # as a version before told none

    @property
    def title(self) -> str:
        said = KINDS[self.kind].title.format(inbox=self.inbox_address, ticket=self.ticket_number)
        return f"over: {said}" if self.over else said

    @property
    def fix(self) -> str:
        return "" if self.over else KINDS[self.kind].fix.format(name=self.inbox, tenant=self.tenant)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Notices on their way to one channel. id: stays the same over all tries, so that a receiver can tell a repeat.

    secret: what a webhook's deliveries are signed with.
    """

    id: int
    tenant: str
    way: str
    target: str
    created_at: datetime
    notices: tuple[Notice, ...]
    secret: str = field(default="", repr=False)


def subject(delivery: Delivery) -> str:
    first = delivery.notices[0].title
    more = len(delivery.notices) - 1
    said = first[:1].upper() + first[1:]
    return f"[InboxOps] {said}" + (f" (and {more} more)" if more else "")


def text(delivery: Delivery, page_url: str) -> str:
    blocks = []
    for notice in delivery.notices:
        lines = [notice.title[:1].upper() + notice.title[1:] + ".", *([] if notice.over else [notice.detail])]
        if notice.ticket_id is not None:
            lines.append(f"{page_url.rstrip('/')}/tickets/{notice.ticket_id}")
        blocks.append("\n".join([*lines, *([notice.fix] if notice.fix else [])]))
    return "\n\n".join([*blocks, f"-- \nInboxOps, for {delivery.tenant}"]) + "\n"


def mail(delivery: Delivery, *, sender: str, page_url: str, now: datetime) -> bytes:
    """RFC 5322 bytes. Nothing answers it by itself (RFC 3834, 5)."""
    message = EmailMessage(policy=SMTP)
    message["From"] = formataddr(("InboxOps", sender))
    message["To"] = delivery.target
    message["Subject"] = " ".join(subject(delivery).split())
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<notice-{delivery.id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text(delivery, page_url))
    return message.as_bytes()
