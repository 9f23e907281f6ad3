"""Mail rules as they go over the wire. `core.mail_rules.wire` checks what the schema can't say, and names rule and condition."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from api.models import Label, Line, Priority, Ruling, Strict, Text
from api.replay_models import RuleReport
from inboxops.core.mail_rules import model as core
from inboxops.core.mail_rules.model import Match, Op
from inboxops.core.mail_rules.model import Rule as CoreRule
from inboxops.core.mail_rules.shown import shown
from inboxops.core.mail_rules.wire import (
    HEADER,
    MOST_BYTES,
    MOST_CONDITIONS,
    MOST_RULES,
    MOST_TAGS,
    MOST_VALUES,
    NAME,
    REASON_CHARACTERS,
    VALUE_CHARACTERS,
    read_rule,
    written,
)
from inboxops.core.replay_report import Report
from inboxops.stories.try_rule import Trial

Name = Annotated[str, StringConstraints(pattern=f"^{NAME.pattern}$")]
Value = Annotated[Text, StringConstraints(min_length=1, max_length=VALUE_CHARACTERS)]

EXAMPLE: JsonDict = {
    "match": "all",
    "conditions": [
        {"on": "sender", "op": "contains", "values": ["@parcels.example"]},
        {"on": "subject", "op": "matches", "values": ["delivered (today|yesterday)"]},
    ],
    "actions": {"tags": ["parcel"], "priority": "low", "never_respond": True},
    "enabled": False,
}


class Condition(Strict):
    """One field looked at in one way. contains, is: in any case, with or without accents. matches: an RE2 pattern, in any case."""

    on: core.Field
    op: Op
    values: list[Value] = Field([], max_length=MOST_VALUES, description="One of them is enough.")
    header: Annotated[str, StringConstraints(pattern=f"^({HEADER.pattern})?$")] = Field(
        "", description="Which one, where `on` is header."
    )
    bytes: int | None = Field(None, ge=0, le=MOST_BYTES, description="Of the raw mail, where `on` is size.")
    negate: bool = Field(False, description="Holds when none of the values is found.")


class Actions(Strict):
    """What is done with mail that the rule holds for: one at least."""

    set_aside: Annotated[Line, StringConstraints(max_length=REASON_CHARACTERS)] = Field(
        "", description="The reason. The mail becomes no ticket; it is kept, listed and can be released."
    )
    never_respond: bool = Field(False, description="No automatic answer.")
    tags: list[Annotated[Label, Field(min_length=1)]] = Field([], max_length=MOST_TAGS)
    priority: Priority | None = None
    queue: Label = ""
    customer_from_reply_to: bool = Field(False, description="Whoever is named in Reply-To is the customer.")
    never_spam: bool = Field(False, description="A verdict of spam does not count.")
    stop: bool = Field(False, description="Later rules are not asked.")


class RuleBody(Strict):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": EXAMPLE})

    conditions: list[Condition] = Field(min_length=1, max_length=MOST_CONDITIONS)
    actions: Actions
    match: Match = Match.ALL
    enabled: bool = Field(False, description="One that is off can be tried and decides nothing.")

    def rule(self, name: str) -> CoreRule:
        """Raises InvalidInput."""
        return read_rule({"name": name, **self.model_dump(exclude_unset=True, exclude_none=True)})


class Rule(RuleBody):
    name: Name


class RuleSet(BaseModel):
    """The rules in their order. Every change is a new version of the whole."""

    version: int = Field(description="0: there were never any.")
    rules: list[Rule]

    @classmethod
    def of(cls, rules: core.RuleSet) -> RuleSet:
        return cls.model_validate({"version": rules.version, "rules": list(map(written, rules.rules))})


class Version(RuleSet):
    """The rules as they stood, and who made them so."""

    change: str
    changed_by: str
    created_at: datetime


class Order(Strict):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"names": ["parcels", "newsletters"]}})

    names: list[Name] = Field(max_length=MOST_RULES, description="They come first; the others stay behind them.")


class Try(Strict):
    """A rule as it would be put, or the name alone of one that is there."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"name": "parcels", "rule": EXAMPLE, "days": 7}}
    )

    name: Name
    rule: RuleBody | None = None
    days: int = Field(7, ge=1, le=365)
    most: int = Field(2_000, ge=1, le=5_000, description="Mails that are read at most, the newest.")


Names = Annotated[list[Name], Field(max_length=MOST_RULES)]


class Change(Strict):
    """A change of the rules as they stand: these on, those off, some removed, and of what is left some first."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"off": ["parcels"], "days": 7}})

    on: Names = Field([])
    off: Names = Field([])
    removed: Names = Field([])
    first: Names = Field([])
    days: int = Field(7, ge=1, le=365)
    most: int = Field(2_000, ge=1, le=5_000, description="Mails that are read at most, the newest.")


class Previewed(RuleReport):
    """What stored mail would be with the rules changed so. Nothing was written."""

    since: datetime = Field(description="From when on mail was read.")

    @classmethod
    def of(cls, report: Report, since: datetime) -> Previewed:
        return cls.model_validate(asdict(report) | {"since": since})


class Example(BaseModel):
    """One mail that the rule holds for, with what became of it when it came."""

    inbound_id: int
    received_at: datetime
    inbox: str
    sender: str
    subject: str
    verdict: str
    state: str
    ticket_id: int | None
    ticket_number: int | None
    ruling: Ruling


class Tried(BaseModel):
    """What the rule would have done. Nothing was written."""

    rule: str
    read: int
    unreadable: int = Field(description="Parked or damaged mail, which no rule sees.")
    matched: int
    tickets: int = Field(
        description="Of those that match: on a ticket today. A rule that sets aside would have kept it off."
    )
    verdicts: dict[str, int]
    states: dict[str, int]
    examples: list[Example]
    since: datetime | None = Field(description="The oldest mail that was read; null when there was none.")
    complete: bool = Field(description="Whether all mail of the days was read, or `most` came first.")
    differences: RuleReport = Field(
        description="What would be otherwise on stored mail, as the report on a replay says it."
    )

    @classmethod
    def of(cls, trial: Trial) -> Tried:
        own = cls.model_fields.keys() - {"examples", "differences"}
        told: dict[str, Any] = {name: getattr(trial, name) for name in own} | {"differences": asdict(trial.differences)}
        examples = [
            {name: getattr(one, name) for name in Example.model_fields if name != "ruling"}
            | {"ruling": shown([one.ruling])[0]}
            for one in trial.examples
        ]
        return cls.model_validate(told | {"examples": examples})
