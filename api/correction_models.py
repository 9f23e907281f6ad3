"""What goes over the wire of corrections."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from api.models import Address, Line, Number, Person, Strict


class CustomerBody(Strict):
    name: Line = ""
    address: Address


class CorrectionBody(Strict):
    """What is wrong. move: `message_id`, `to_ticket_id`. split, spam: `message_id`. merge: `ticket_id`, `to_ticket_id`.
    not_spam: `inbound_id`. bounce: `reply_id`, and `message_id` or `inbound_id`. customer: `ticket_id`, `customer`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"kind": "move", "message_id": 481, "to_ticket_id": 12}}
    )

    kind: Literal["move", "split", "merge", "spam", "not_spam", "bounce", "customer"]
    message_id: Number | None = None
    inbound_id: Number | None = Field(None, description="Mail that was set aside.")
    ticket_id: Number | None = None
    to_ticket_id: Number | None = None
    reply_id: Number | None = Field(None, description="The message of ours that did not arrive.")
    onward: bool = Field(False, description="With the message, all that came after it in its ticket.")
    customer: CustomerBody | None = None


class Correction(BaseModel):
    id: int
    kind: str
    made_by: str
    made_at: datetime
    undone_by: str | None
    undone_at: datetime | None
    message_id: int | None
    inbound_id: int | None
    reply_id: int | None
    customer: Person | None
    ticket_id: int | None
    ticket_number: int | None
    to_ticket_id: int | None
    to_ticket_number: int | None
    woken: bool | None = Field(
        None, description="Whether let-out mail is being filed now; false: as soon as Airflow is back."
    )
