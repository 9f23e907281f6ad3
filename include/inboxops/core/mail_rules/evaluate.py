"""A mail in front of our own rules, then of its tenant's: what it is, who it is from, and what the tenant wants done with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from inboxops.core.case import Case
from inboxops.core.classify import judge
from inboxops.core.customer import LIST_HEADERS, customer, from_reply_to
from inboxops.core.headers import addresses
from inboxops.core.mail_rules import patterns
from inboxops.core.mail_rules.fold import fold
from inboxops.core.mail_rules.model import Condition, Field, Match, Op, Priority, Rule
from inboxops.core.model import Customer, Evidence, Ruling, Verdict, VerdictKind
from inboxops.core.rules import evidence

_RECIPIENT_HEADERS = ("Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To")

_folded = lru_cache(maxsize=4_096)(fold)  # values of conditions


@dataclass(frozen=True, slots=True)
class Judged:
    """rulings: of the tenant's rules that hold, in their order."""

    verdict: Verdict
    customer: Customer
    rulings: tuple[Ruling, ...] = ()


def judged(case: Case, *, size_bytes: int) -> Judged:
    """Pure. size_bytes: of the raw mail."""
    verdict, who = judge(case), customer(case)
    rules = case.context.mail_rules
    if not rules.enabled:
        return Judged(verdict, who)
    mail = _Mail(case, verdict, size_bytes)
    rulings: list[Ruling] = []
    chosen = False
    for rule in rules.enabled:
        why = _held(rule, mail)
        if why is None:
            continue
        rulings.append(Ruling(rule.name, rules.version, why, rule.actions))
        if rule.actions.never_spam and mail.verdict.kind is VerdictKind.SPAM:
            mail.verdict = judge(case, trusted=True)
        if rule.actions.customer_from_reply_to and not chosen:
            named = from_reply_to(case, f"mail_rule.{rule.name}", why)
            who, chosen = named or who, named is not None
        if rule.actions.stop:
            break
    return Judged(mail.verdict, who, tuple(rulings))


@dataclass(frozen=True, slots=True)
class Orders:
    """What all rulings on a mail come to. set_aside: the reason with the rule that gave it, "" for none."""

    set_aside: str = ""
    never_respond: bool = False
    tags: tuple[str, ...] = ()
    priority: Priority | None = None
    queue: str = ""


def orders(rulings: Sequence[Ruling]) -> Orders:
    if not rulings:
        return Orders()
    actions = [ruling.actions for ruling in rulings]
    asides = (f"mail rule {one.rule}: {one.actions.set_aside}" for one in rulings if one.actions.set_aside)
    return Orders(
        set_aside=next(asides, ""),
        never_respond=any(one.never_respond for one in actions),
        tags=tuple(dict.fromkeys(tag for one in actions for tag in one.tags)),
        priority=next((one.priority for one in actions if one.priority), None),
        queue=next((one.queue for one in actions if one.queue), ""),
    )


class _Mail:
    """What conditions look at, worked out when one asks. `verdict` changes when a rule says that a mail is never spam."""

    def __init__(self, case: Case, verdict: Verdict, size_bytes: int) -> None:
        self.case, self.verdict, self.size_bytes = case, verdict, size_bytes
        self._folded: dict[str, str] = {}

    def folded(self, text: str) -> str:
        if text not in self._folded:
            self._folded[text] = fold(text)
        return self._folded[text]

    def texts(self, condition: Condition) -> Iterable[str]:
        """The values of a field, cut to what is looked at in all."""
        room = patterns.MOST_CHARACTERS
        for text in self._all(condition):
            if room <= 0:
                return
            yield text[:room]
            room -= max(len(text), 1)

    def _all(self, condition: Condition) -> Iterable[str]:
        message = self.case.message
        match condition.on:
            case Field.SENDER:
                return self._senders
            case Field.RECIPIENT:
                return self._recipients
            case Field.SUBJECT:
                return (message.subject,)
            case Field.HEADER:
                return self.case.all_headers(condition.header)
            case Field.BODY:
                return (message.text_new,)
            case Field.LIST:
                return self._lists
            case Field.VERDICT:
                return (self.verdict.kind.value,)
            case Field.ATTACHMENT:
                return [one.file_name for one in message.attachments if not one.inline]
            case Field.ATTACHMENT_NAME:
                return [one.file_name for one in message.attachments]
            case Field.ATTACHMENT_TYPE:
                return [one.content_type for one in message.attachments]
            case Field.SIZE:
                return (str(self.size_bytes),)

    @cached_property
    def _senders(self) -> list[str]:
        people = (self.case.message.sender, *addresses(self.case.header("Sender") or ""))
        return _each(text for one in people for text in (one.address, one.name))

    @cached_property
    def _recipients(self) -> list[str]:
        message = self.case.message
        written = (value for name in _RECIPIENT_HEADERS for value in self.case.all_headers(name))
        people = (*message.to, *message.cc, *(one for value in written for one in addresses(value)))
        return _each(text for one in people for text in (one.address, one.name))

    @cached_property
    def _lists(self) -> list[str]:
        """As the headers say it, and a list's id alone (RFC 2919: in angle brackets)."""
        written = [value for name in LIST_HEADERS for value in self.case.all_headers(name)]
        return _each(
            text
            for value in written
            for text in (value.rpartition("<")[2].partition(">")[0] if "<" in value else "", value)
        )


def _each(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, texts)))


def _held(rule: Rule, mail: _Mail) -> tuple[Evidence, ...] | None:
    """What made the rule hold, None when it does not."""
    told: list[Evidence] = []
    for condition in rule.conditions:
        value = _value(condition, mail)
        if value is None:
            if rule.match is Match.ALL:
                return None
            continue
        told.append(evidence(str(condition)[:200], value))
        if rule.match is Match.ANY:
            break
    return tuple(told) or None


def _value(condition: Condition, mail: _Mail) -> str | None:
    """The exact value that makes a condition hold, None when it does not."""
    texts = list(mail.texts(condition))
    found = next((text for text in texts if _has(condition, text, mail)), None)
    if not condition.negate:
        return found
    return " | ".join(texts) or "(none)" if found is None else None


def _has(condition: Condition, text: str, mail: _Mail) -> bool:
    match condition.op:
        case Op.CONTAINS:
            return any(_folded(value) in mail.folded(text) for value in condition.values)
        case Op.IS:
            return any(_folded(value) == mail.folded(text) for value in condition.values)
        case Op.MATCHES:
            return any(patterns.found(value, text) is not None for value in condition.values)
        case Op.PRESENT:
            return True
        case Op.AT_LEAST:
            return mail.size_bytes >= condition.bytes
        case Op.AT_MOST:
            return mail.size_bytes <= condition.bytes
