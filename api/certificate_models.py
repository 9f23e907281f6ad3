"""What goes over the wire of certificates."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Self

from pydantic import BaseModel, Field

from inboxops.composition import certifying
from inboxops.core import certificate as core


class CertificateLine(BaseModel):
    number: int
    day: date
    made_at: datetime
    mails: int
    unaccounted: int = Field(description="Findings that are open.")
    says: str
    digest: str = Field(description="SHA-256 of the signed text, in hex: `previous` of the next one.")

    @classmethod
    def of(cls, made: core.Certificate) -> Self:
        return cls(**_line(made))


class Finding(BaseModel):
    kind: str
    inbox: str = Field(description="Its name; empty for what is the tenant's.")
    key: str
    detail: str
    repaired: bool
    to_do: str


class Looked(BaseModel):
    inbox: str
    since: datetime
    until: datetime
    listed: int = Field(description="Mails that the provider listed.")
    skipped: str = Field(description="Why the provider could not be asked, else empty.")
    odd_sizes: int = Field(0, description="Mails whose size the provider tells otherwise than it is.")
    compared: int = Field(0, description="Those of them that were read once more.")
    sent_unchecked: str = Field("", description="Why nobody looked through the Sent folder, else empty.")


class Certificate(CertificateLine):
    erased: int = Field(description="Mails that were erased for good.")
    refused: int = Field(0, description="Mails that were too large and never stored.")
    objects: int
    packs_read: int = Field(description="Packs of raw mail that were read in full.")
    sent: int = Field(description="Messages of ours that were looked for in a Sent folder.")
    unsent: dict[str, int] = Field({}, description="Messages of ours that have not left, by `send_status`.")
    last_ticket: int
    erased_tickets: int
    inboxes: list[Looked]
    findings: list[Finding]
    findings_more: int = Field(description="Findings that are counted and not named.")
    text: str = Field(description="What was signed, byte for byte (UTF-8).")
    signature: str = Field(description="HMAC-SHA256 of the text, in hex.")

    @classmethod
    def of(cls, made: core.Certificate) -> Self:
        return cls(**certifying.body(made) | _line(made), text=made.body, signature=made.signature)


def _line(made: core.Certificate) -> dict[str, Any]:
    return {
        "number": made.number,
        "day": made.day,
        "made_at": made.made_at,
        "mails": made.mails,
        "unaccounted": sum(made.unaccounted.values()),
        "says": core.sentence(certifying.body(made)),
        "digest": made.digest,
    }
