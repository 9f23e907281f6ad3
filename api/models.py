"""What goes over the wire. Texts hold no NUL, which PostgreSQL takes in none; ids fit a bigint."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
Number = Annotated[int, Field(ge=1, le=2**63 - 1)]
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
Address = Annotated[str, StringConstraints(max_length=320), WithJsonSchema({"type": "string", "format": "email"})]
Label = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=40)]
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=300)]


class Status(StrEnum):
    open = "open"
    pending = "pending"
    closed = "closed"


class Priority(StrEnum):
    low = "low"
    normal = "normal"
    high = "high"
    urgent = "urgent"


class InboundState(StrEnum):
    parked = "parked"
    refused = "refused"
    listed = "listed"
    conflict = "conflict"
    dropped = "dropped"


class Strict(BaseModel):
    """What a caller sends: an unknown field is a mistake, not a wish."""

    model_config = ConfigDict(extra="forbid")


class Person(BaseModel):
    name: str
    address: str


class Evidence(BaseModel):
    where: str
    value: str


class Verdict(BaseModel):
    """What the message was taken for, and what showed it."""

    kind: str
    rule: str | None
    ruleset: str | None
    evidence: list[Evidence]


class Ruling(BaseModel):
    """A mail rule of the tenant that held: which, of which version of the rules, what it did, and what made it hold."""

    rule: str
    version: int
    did: list[str]
    evidence: list[Evidence]


class Refused(BaseModel):
    address: str
    code: int
    reply: str


class Sending(BaseModel):
    """How far an outbound message is. unknown: the mail server was lost at the last step and may have taken it."""

    status: Literal["pending", "sending", "sent", "failed", "unknown"]
    attempt: int = Field(description="Counts from 0; one more for each retry that somebody asked for.")
    sent_at: datetime | None
    error: str | None
    answer: str | None = Field(description="What the mail server said as it took it.")
    refused_recipients: list[Refused]
    bounced_at: datetime | None
    wire_message_id: str | None = Field(description="The id it really went out under, where the provider changed it.")


class Bounce(BaseModel):
    id: int
    kind: Literal["hard", "soft", "delayed"]
    recipients: list[str]
    status: str
    diagnostic: str
    received_at: datetime


class Attachment(BaseModel):
    id: int
    file_name: str
    content_type: str
    size_bytes: int
    content_id: str = ""
    inline: bool = Field(False, description="The message's HTML shows it.")


class Omitted(BaseModel):
    """A file of an inbound mail that was over a limit; the raw mail holds it."""

    file_name: str
    size_bytes: int
    reason: str


class Message(BaseModel):
    id: int
    ticket_id: int
    direction: Literal["inbound", "outbound"]
    type: Literal["message", "note", "auto_response"]
    message_id_header: str
    sender: Person
    to: list[Person]
    cc: list[Person]
    reply_to: list[Person] = Field(
        description="Where its sender wants answers; empty: to the sender. An answer goes there."
    )
    subject: str
    body_text: str
    body_new: str = Field(description="`body_text` without what it quotes.")
    has_html: bool = Field(description="GET /v1/messages/{id}/html answers it, made safe.")
    at: datetime = Field(description="When it was received or written.")
    placed_by: str
    unknown_sender: bool = Field(description="The sender is no participant: nothing is sent to that address by itself.")
    verdict: Verdict | None
    mail_rules: list[Ruling]
    marks: list[str]
    author: str
    sending: Sending | None
    bounces: list[Bounce]
    attachments: list[Attachment]
    omitted_attachments: list[Omitted]

    @classmethod
    def of(cls, row: dict[str, Any]) -> Message:
        recipients = row["recipients"]
        return cls.model_validate(
            row
            | {
                "sender": {"name": row["from_name"], "address": row["from_address"]},
                "to": recipients.get("to") or [],
                "cc": recipients.get("cc") or [],
                "reply_to": recipients.get("reply_to") or [],
                "at": row["received_at"] or row["sent_date"] or row["created_at"],
                "verdict": None
                if row["verdict"] is None
                else {key: row[key] for key in ("rule", "ruleset")}
                | {"kind": row["verdict"], "evidence": row["evidence"] or []},
                "sending": None
                if row["send_status"] is None
                else {
                    "status": row["send_status"],
                    "attempt": row["send_attempt"],
                    "sent_at": row["sent_at"],
                    "error": row["send_error"],
                    "answer": row["sent_answer"],
                    "refused_recipients": row["refused_recipients"],
                    "bounced_at": row["bounce_received_at"],
                    "wire_message_id": row["wire_message_id"],
                },
            }
        )


class TicketRow(BaseModel):
    id: int
    ticket_number: int
    status: Status
    subject: str
    requester: Person
    inbox_id: int
    inbox: str
    unread: bool
    tags: list[str]
    priority: Priority
    queue: str = Field(description="Empty: in none.")
    preview: str | None = Field(None, description="How the last message begins; in lists only.")
    trouble: Literal["failed", "unknown", "bounced"] | None = Field(
        None, description="What became of the last message, when it is an answer that did not arrive; in lists only."
    )
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> TicketRow:
        return cls.model_validate(row | {"requester": _requester(row)})


class Thread(TicketRow):
    """A ticket with its newest messages, oldest first."""

    merged_into: int | None = Field(description="Number of the ticket that this one became part of.")
    follows: int | None = Field(description="Number of the closed ticket that this one continues.")
    requester_rule: str = Field(description="Which rule says who the requester is; `from`: whoever wrote in From.")
    requester_claimed: bool = Field(description="A text alone says so: an agent's forward. The address proves nothing.")
    requester_evidence: list[Evidence]
    answered_to: list[Person] = Field(
        description="Whom an answer goes to; empty: it has nobody until the customer is named."
    )
    participants: list[str]
    messages: list[Message]
    older: str | None = Field(
        description="Give it as `cursor` for the messages before these; null when there are none."
    )

    @classmethod
    def of_thread(cls, row: dict[str, Any], messages: list[dict[str, Any]], older: str | None) -> Thread:
        more = {
            "requester": _requester(row),
            "answered_to": list(map(asdict, row["answered_to"])),
            "messages": list(map(Message.of, messages)),
            "older": older,
        }
        return cls.model_validate(row | more)


def _requester(row: dict[str, Any]) -> dict[str, str]:
    return {"name": row["requester_name"], "address": row["requester_address"]}


class TicketPatch(Strict):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"status": "closed"}})

    status: Status | None = None
    unread: bool | None = None
    tags: list[Annotated[Label, Field(min_length=1)]] | None = Field(None, max_length=50)
    priority: Priority | None = None
    queue: Label | None = Field(None, description="Empty: in none.")


class ReplyBody(Strict):
    """An answer to a ticket. One of the bodies is enough; the text is derived from the HTML when it is missing."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"body_text": "Your parcel is on its way.", "cc": ["depot@example.com"], "attachment_ids": []}
        },
    )

    body_text: Text = Field("", max_length=500_000)
    body_html: Text = Field("", max_length=500_000, description="Made safe before it is stored.")
    cc: list[Address] = Field([], max_length=50, description="Our own mailboxes among them are left out.")
    attachment_ids: list[Number] = Field([], max_length=10, description="Uploaded with POST /v1/attachments.")


class Accepted(BaseModel):
    """The reply is stored and will be sent. GET the ticket to see how far it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "message_id": 481,
                "ticket_id": 12,
                "ticket_number": 7,
                "message_id_header": "io.12.481.abcdefghijklmnopqrstuvwxyz@acme.example",
                "created_at": "2026-05-04T09:30:00Z",
            }
        }
    )

    message_id: int
    ticket_id: int
    ticket_number: int
    message_id_header: str
    created_at: datetime


class Session(BaseModel):
    """Who works here: the key's name and role, and the tenant's name."""

    name: str
    role: Literal["agent", "admin"]
    tenant: str


class Retried(BaseModel):
    message_id: int
    attempt: int


class Html(BaseModel):
    html: str = Field(description="Without scripts, styles that reach out, forms and event attributes.")


class UploadRequest(Strict):
    """A file that is about to be uploaded: exactly this many bytes of this type."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"file_name": "invoice.pdf", "content_type": "application/pdf", "size_bytes": 48211}
        },
    )

    file_name: Line = Field(min_length=1)
    content_type: Line = "application/octet-stream"
    size_bytes: int = Field(ge=1, le=25 * 1024 * 1024)


class Put(BaseModel):
    """PUT the file there, with these headers, within 15 minutes."""

    url: str
    headers: dict[str, str]


class Upload(BaseModel):
    id: int
    file_name: str
    upload: Put | None = Field(description="null when the file came with the request and nothing is left to do.")


class Download(BaseModel):
    id: int
    file_name: str
    content_type: str
    size_bytes: int
    url: str = Field(description="Works for 15 minutes; browsers save it and never render it.")


class InboundRow(BaseModel):
    """Mail that became no ticket."""

    id: int
    inbox_id: int
    inbox: str
    state: InboundState
    reason: str
    received_at: datetime
    from_address: str | None
    subject: str | None
    verdict: str | None
    rule: str | None
    evidence: list[Evidence] | None
    mail_rules: list[Ruling]
    message_id: int | None
    size_bytes: int


class Resync(Strict):
    since: date = Field(description="The day from which on the mailbox is compared (UTC).")


class Woken(BaseModel):
    """woken false: Airflow is away or refuses the API, and the inbox is woken once it does not."""

    inbox_id: int
    woken: bool


class ImapConnection(Strict):
    type: Literal["imap"] = "imap"
    host: Line = Field(min_length=1)
    port: int | None = Field(None, ge=1, le=65535)
    security: Literal["tls", "starttls", "plain"] = "tls"
    auth: Literal["login", "plain", "xoauth2"] | None = None
    folder: Line = "INBOX"
    smtp_host: Line | None = Field(None, description="Without it the inbox can't send.")
    smtp_port: int | None = Field(None, ge=1, le=65535)
    smtp_security: Literal["tls", "starttls", "plain"] = "tls"
    smtp_auth: Literal["auto", "plain", "login", "xoauth2", "none"] | None = None
    save_sent: bool = Field(True, description="Put copies into Sent; false where the server does so itself.")
    sent_folder: Line | None = None


class JmapConnection(Strict):
    """A server that speaks JMAP: by the URL of its session resource, or by its host."""

    type: Literal["jmap"]
    host: Line | None = Field(None, description="Whose /.well-known/jmap leads to the session resource.")
    port: int | None = Field(None, ge=1, le=65535)
    url: Line | None = Field(None, description="The session resource itself, where the host does not lead to it.")
    auth: Literal["basic", "bearer"] = "basic"
    folder: Line = Field("inbox", description="A role or a name.")


Connection = ImapConnection | JmapConnection


class Credentials(Strict):
    """Sealed at once; no answer ever holds them."""

    username: Line | None = None
    password: Line | None = None
    access_token: Text | None = Field(None, max_length=10_000)
    smtp_username: Line | None = None
    smtp_password: Line | None = None


class InboxRequest(Strict):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "email_address": "support@acme.example",
                "display_name": "Acme support",
                "connection": {"host": "imap.acme.example", "smtp_host": "smtp.acme.example"},
                "credentials": {"password": "correct horse"},
            }
        },
    )

    email_address: Address
    name: Line = Field("", description="By default made from the address. It never changes.")
    display_name: Line = ""
    connection: Connection
    credentials: Credentials
    first_sync_days: int = Field(7, ge=0, le=36500)
    first_sync_messages: int = Field(500, ge=0, le=1_000_000)


class InboxPatch(Strict):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "auto_response_enabled": True,
                "auto_response_body": "Hello {{ sender_name }}, this is ticket {{ ticket_number }}.",
            }
        },
    )

    display_name: Line | None = None
    paused: bool | None = None
    auto_response_enabled: bool | None = None
    auto_response_body: Text | None = Field(
        None,
        max_length=20_000,
        description="ticket_number, org_name, inbox_name, sender_name in {{ }}; HTML when it has a tag.",
    )
    trusted_servers: list[Line] | None = Field(
        None,
        max_length=20,
        description="Whose Authentication-Results are believed (RFC 8601, 2.5); (none): the topmost one that names no server. "
        "Empty: those of the mailbox's cloud.",
    )
    canary_minutes: int | None = Field(
        None, ge=0, le=10_080, description="A canary so often, 15 or more; 0 for none (docs/canaries.md)."
    )
    canary_from_id: int | None = Field(None, ge=0, le=2**63 - 1, description="The inbox that sends them; 0 for itself.")
    canary_delete: bool | None = Field(None, description="From the mailbox, once they were recognised there.")
    connection: Connection | None = Field(None, description="With credentials: connects again with both.")
    credentials: Credentials | None = None


class Inbox(BaseModel):
    id: int
    name: str
    email_address: str
    display_name: str
    connection_type: str
    connection: dict[str, Any]
    state: Literal["connected", "paused", "disconnected"]
    connected_at: datetime | None
    last_error: str | None
    auto_response_enabled: bool
    auto_response_body: str
    trusted_servers: list[str] = Field(
        description="Whose Authentication-Results are believed. Without any, nobody says which mail is forged."
    )
    canary_minutes: int | None = Field(description="It gets a canary so often.")
    canary_from_id: int | None = Field(description="The inbox that sends them; null for itself.")
    resync_since: datetime | None = Field(description="It is about to be compared with its mailbox from then on.")
    canary_delete: bool = Field(description="They are deleted from the mailbox once they were recognised there.")
    note: str


class Canary(BaseModel):
    id: int
    sender: str = Field(description="The name of the inbox that sent it.")
    state: Literal["being_sent", "not_sent", "in_doubt", "on_its_way", "late", "back", "back_late", "spam"]
    made_at: datetime
    sent_at: datetime | None
    late_at: datetime | None
    back_at: datetime | None
    inbound_id: int | None = Field(description="The mail that it came back as.")
    error: str | None
    removed: Literal["trashed", "deleted", "gone"] | None = Field(
        description="How it went out of the mailbox, where `canary_delete` is on; gone: it was not there any more."
    )
    removal_error: str | None = Field(description="Why it is still in the mailbox.")


class Tested(BaseModel):
    server: str
    folder: str
    messages: int
