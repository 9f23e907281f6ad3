"""What goes over the wire of replays."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.models import Number, Strict
from inboxops.core.replay import Group

MOST_DAYS = 3_650
Moment = Annotated[AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(9000, 1, 1, tzinfo=UTC))]


class ReplayBody(Strict):
    """Which stored mail is read again; what is named holds together. One of `days`, `since`, `ticket_id`, `inbound_id` at least."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"inbox_id": 3, "days": 7}})

    inbox_id: Number | None = None
    ticket_id: Number | None = None
    inbound_id: Number | None = Field(None, description="One mail, by its number as it came in.")
    days: int | None = Field(None, ge=1, le=MOST_DAYS, description="Mail of so many last days.")
    since: Moment | None = Field(None, description="Mail received from then on; with an offset from UTC.")
    until: Moment | None = Field(None, description="Mail received before that.")


class ApplyBody(Strict):
    groups: list[Group] = Field([], max_length=len(Group), description="What is renewed; all of it when none is named.")


class ReplayExample(BaseModel):
    inbound_id: int
    received_at: datetime
    inbox_id: int
    message_id: str
    ticket_number: int | None
    was: str
    now: str


class ReplayReport(BaseModel):
    """Counts of mails. verdicts: "was -> now". left_out: why a difference, or a mail, is none of the replay's business."""

    read: int
    differing: int
    groups: dict[str, int]
    verdicts: dict[str, int]
    left_out: dict[str, int]


class RuleReport(ReplayReport):
    """What a rule would make of stored mail, beside what differs without it."""

    examples: dict[str, list[ReplayExample]]


class ReplayDone(BaseModel):
    """Mails of one group. yielded: not taken back, because something was changed or answered since."""

    changed: int
    undone: int
    yielded: int


class Replay(BaseModel):
    id: int
    state: Literal["asked", "previewed", "applying", "applied", "undoing", "undone"]
    inbox_id: int | None
    inbox: str | None
    ticket_id: int | None
    ticket_number: int | None
    inbound_id: int | None
    since: datetime | None
    until: datetime | None
    asked_by: str
    asked_at: datetime
    changed_at: datetime
    groups: list[Group] = Field(description="That are applied.")
    report: ReplayReport | None
    problem: str = Field(description="Why the last try ended; the next goes on from there.")


class ReplayWhole(Replay):
    examples: dict[str, list[ReplayExample]]
    done: dict[str, ReplayDone]

    @classmethod
    def of(cls, row: dict[str, Any]) -> ReplayWhole:
        return cls.model_validate(row | {"examples": row["examples"] or {}})
