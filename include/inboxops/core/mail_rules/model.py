"""What a mail rule is. Plain values, which `wire` makes from JSON and checks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Field(StrEnum):
    """What a condition looks at.

    sender: addresses and names in From and Sender. recipient: those in To and Cc, and whom Delivered-To, X-Original-To and
    Envelope-To name. header: any header by its name. body: the text, without what it quotes. size: of the raw mail. list: what the
    headers of a mailing list say (RFC 2919, RFC 2369). verdict: what our own rules, and those of the tenant so far, take it for.
    """

    SENDER = "sender"
    RECIPIENT = "recipient"
    SUBJECT = "subject"
    HEADER = "header"
    BODY = "body"
    SIZE = "size"
    VERDICT = "verdict"
    LIST = "list"
    ATTACHMENT = "attachment"
    ATTACHMENT_NAME = "attachment_name"
    ATTACHMENT_TYPE = "attachment_type"


class Op(StrEnum):
    """How it looks. contains, is: folded (`fold`), so in any case, with or without accents. matches: a pattern (`patterns`)."""

    CONTAINS = "contains"
    IS = "is"
    MATCHES = "matches"
    PRESENT = "present"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"


class Match(StrEnum):
    ALL = "all"
    ANY = "any"


class Priority(StrEnum):
    """From the least urgent to the most."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"

    @property
    def rank(self) -> int:
        return list(Priority).index(self)


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds when the field has one of the values, or when it has none of them and `negate` is set.

    header: its name, of Field.HEADER alone. bytes: of Field.SIZE alone.
    """

    on: Field
    op: Op
    values: tuple[str, ...] = ()
    header: str = ""
    bytes: int = 0
    negate: bool = False

    def __str__(self) -> str:
        """As a person says it: `subject contains "invoice" or "bill"`."""
        on = f"header {self.header}" if self.on is Field.HEADER else str(self.on).replace("_", " ")
        told = " or ".join(f'"{value}"' for value in self.values)
        what = f"{self.bytes} bytes" if self.on is Field.SIZE else told
        said = " ".join(filter(None, (on, str(self.op).replace("_", " "), what)))
        return f"not: {said}" if self.negate else said


@dataclass(frozen=True, slots=True)
class Actions:
    """What is done with a mail. set_aside: the reason, shown where set-aside mail is. stop: later rules are not asked.

    tags are added; of priority and queue the first rule that names one decides.
    """

    set_aside: str = ""
    never_respond: bool = False
    tags: tuple[str, ...] = ()
    priority: Priority | None = None
    queue: str = ""
    customer_from_reply_to: bool = False
    never_spam: bool = False
    stop: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """`name` is its key within the tenant. One that is not enabled is tried (`inboxops rules try`) and decides nothing."""

    name: str
    conditions: tuple[Condition, ...]
    actions: Actions
    match: Match = Match.ALL
    enabled: bool = False


@dataclass(frozen=True, slots=True)
class RuleSet:
    """A tenant's rules in their order. version: counts every change from 1 on; 0 where there were never any."""

    version: int = 0
    rules: tuple[Rule, ...] = ()

    @property
    def enabled(self) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.enabled)


NO_RULES = RuleSet()
