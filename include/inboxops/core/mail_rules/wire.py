"""A rule as JSON: read with every mistake named (which rule, which condition, what to do), and written without what is not said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from inboxops.core.mail_rules import patterns
from inboxops.core.mail_rules.fold import fold
from inboxops.core.mail_rules.model import Actions, Condition, Field, Match, Op, Priority, Rule
from inboxops.core.model import VerdictKind
from inboxops.errors import InvalidInput

MOST_RULES = 100
MOST_CONDITIONS = 20
MOST_VALUES = 100
MOST_TAGS = 10
MOST_BYTES = 1 << 40
VALUE_CHARACTERS, REASON_CHARACTERS, TAG_CHARACTERS = 500, 200, 40
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
HEADER = re.compile(r"[!-9;-~]{1,100}")  # RFC 5322, 3.6.8

_TEXT = frozenset({Op.CONTAINS, Op.IS, Op.MATCHES})
OPS: Mapping[Field, frozenset[Op]] = {
    Field.SENDER: _TEXT,
    Field.RECIPIENT: _TEXT,
    Field.SUBJECT: _TEXT,
    Field.HEADER: _TEXT | {Op.PRESENT},
    Field.BODY: _TEXT,
    Field.SIZE: frozenset({Op.AT_LEAST, Op.AT_MOST}),
    Field.VERDICT: frozenset({Op.IS}),
    Field.LIST: _TEXT | {Op.PRESENT},
    Field.ATTACHMENT: frozenset({Op.PRESENT}),
    Field.ATTACHMENT_NAME: _TEXT,
    Field.ATTACHMENT_TYPE: _TEXT,
}
"""How each field can be looked at."""

Kind = TypeVar("Kind", Field, Op, Match, Priority)
Value = TypeVar("Value")


def read_rules(given: object) -> tuple[Rule, ...]:
    """A set of rules in their order. Raises InvalidInput as `read_rule` does, for two of one name and for too many."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InvalidInput(
            "the rules are no list",
            fix="Write them as [{...}, {...}], as `inboxops rules list --tenant NAME --json` does",
        )
    return check_set(tuple(map(read_rule, given)))


def check_set(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """The rules, as far as they can stand together. Raises InvalidInput."""
    if len(rules) > MOST_RULES:
        raise InvalidInput(
            f"a tenant has at most {MOST_RULES} rules", fix="Remove one, or give one rule several values"
        )
    names = [rule.name for rule in rules]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidInput(f"two rules are named {twice!r}", fix="Give each a name of its own")
    steps = sum(map(patterns.steps, _patterns(rules)))
    if steps > patterns.MOST_STEPS_IN_ALL:
        raise InvalidInput(
            f"the patterns of all rules have {steps} steps together, at most {patterns.MOST_STEPS_IN_ALL}",
            fix="Use `contains` where it does, and shorter repetitions than {0,100}",
        )
    return rules


def read_rule(given: object) -> Rule:
    """A rule from a JSON object. Raises InvalidInput, which names rule and condition and says what to do."""
    if not isinstance(given, Mapping):
        raise InvalidInput("a rule is no JSON object", fix='Write {"name": ..., "conditions": [...], "actions": {...}}')
    name = given.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is no name of a rule", fix="Use lower-case letters, digits, dots and dashes, at most 63"
        )
    where = f"rule {name}"
    _known(given, Rule, where)
    conditions = _list(given.get("conditions"), f"{where}: conditions", most=MOST_CONDITIONS)
    if not conditions:
        raise InvalidInput(
            f"{where} has no condition", fix='For all mail write {"on": "size", "op": "at_least", "bytes": 0}'
        )
    return Rule(
        name,
        tuple(_condition(one, f"{where}, condition {number}") for number, one in enumerate(conditions, start=1)),
        _actions(given.get("actions"), f"{where}, actions"),
        _one_of(Match, given.get("match", Match.ALL), f"{where}: match"),
        _of(bool, given.get("enabled", False), f"{where}: enabled", "true or false"),
    )


def written(rule: Rule) -> dict[str, Any]:
    """A rule as `read_rule` takes it: without what is not said."""
    return {
        "name": rule.name,
        "enabled": rule.enabled,
        "match": str(rule.match),
        "conditions": [_said(one) for one in rule.conditions],
        "actions": _said(rule.actions),
    }


def _condition(given: object, where: str) -> Condition:
    if not isinstance(given, Mapping):
        raise InvalidInput(
            f"{where} is no JSON object", fix='Write {"on": "subject", "op": "contains", "values": ["x"]}'
        )
    _known(given, Condition, where)
    on = _one_of(Field, given.get("on"), f"{where}: on")
    where = f"{where} ({on})"
    op = _one_of(Op, given.get("op"), f"{where}: op")
    if op not in OPS[on]:
        raise InvalidInput(f"{where}: {on} can't be asked with {op}", fix=f"Use {_either(sorted(OPS[on]))}")
    values = _texts(given.get("values", ()), f"{where}: values", most=MOST_VALUES, characters=VALUE_CHARACTERS)
    if bool(values) != (op in _TEXT):
        wanted = "one value at least" if op in _TEXT else "no values"
        raise InvalidInput(f"{where}: {op} takes {wanted}", fix=f"Give values to {_either(sorted(_TEXT))} alone")
    if op in (Op.CONTAINS, Op.IS) and not all(map(fold, values)):
        raise InvalidInput(
            f"{where}: a value is empty", fix="Write what is looked for; for a header that is there use present"
        )
    if on is Field.VERDICT:
        for value in values:
            if value not in set(VerdictKind):
                raise InvalidInput(f"{where}: {value!r} is no verdict", fix=f"Use {_either(VerdictKind)}")
    if op is Op.MATCHES:
        for value in values:
            _check_pattern(value, where)
    header = _of(str, given.get("header", ""), f"{where}: header", "a text")
    if (on is Field.HEADER) != bool(HEADER.fullmatch(header)) or (header and on is not Field.HEADER):
        raise InvalidInput(
            f"{where}: {header!r} is no header's name here", fix='Name one with on "header" alone: "X-Mailer"'
        )
    size = _of(int, given.get("bytes", 0), f"{where}: bytes", "a number")
    if not 0 <= size <= MOST_BYTES or (size and on is not Field.SIZE) or (on is Field.SIZE and "bytes" not in given):
        raise InvalidInput(
            f"{where}: bytes goes with size alone", fix='Write {"on": "size", "op": "at_least", "bytes": 1000000}'
        )
    negate = _of(bool, given.get("negate", False), f"{where}: negate", "true or false")
    return Condition(on, op, values, header, size, negate)


def _check_pattern(pattern: str, where: str) -> None:
    try:
        patterns.steps(pattern)
    except patterns.BadPattern as exc:
        raise InvalidInput(
            f"{where}: the pattern {pattern!r} can't be used: {exc}",
            fix="Patterns are RE2's: no look-around, no back-references, repetitions up to {0,100}; contains needs none",
        ) from exc


def _actions(given: object, where: str) -> Actions:
    if not isinstance(given, Mapping):
        raise InvalidInput(f"{where} are no JSON object", fix='Write {"set_aside": "reason"} or {"tags": ["parcel"]}')
    _known(given, Actions, where)
    flags = ("never_respond", "customer_from_reply_to", "never_spam", "stop")
    switched = {flag: _of(bool, given.get(flag, False), f"{where}: {flag}", "true or false") for flag in flags}
    priority = given.get("priority")
    actions = Actions(
        set_aside=_text(given.get("set_aside", ""), f"{where}: set_aside", REASON_CHARACTERS),
        tags=tuple(
            dict.fromkeys(_texts(given.get("tags", ()), f"{where}: tags", most=MOST_TAGS, characters=TAG_CHARACTERS))
        ),
        priority=None if priority is None else _one_of(Priority, priority, f"{where}: priority"),
        queue=_text(given.get("queue", ""), f"{where}: queue", TAG_CHARACTERS),
        **switched,
    )
    if actions == Actions():
        raise InvalidInput(
            f"{where}: there is none", fix=f"Say at least one of {_either(one.name for one in fields(Actions))}"
        )
    return actions


def _known(given: Mapping[str, object], kind: type, where: str) -> None:
    known = [one.name for one in fields(kind)]
    if unknown := next((key for key in given if key not in known), None):
        raise InvalidInput(f"{where}: {unknown!r} means nothing", fix=f"What can stand there: {', '.join(known)}")


def _one_of(kind: type[Kind], given: object, where: str) -> Kind:
    found = next((one for one in kind if one == given), None)
    if found is None:
        raise InvalidInput(f"{where} is {given!r}", fix=f"Use {_either(kind)}")
    return found


def _of(kind: type[Value], given: object, where: str, wanted: str) -> Value:
    if not isinstance(given, kind) or (kind is int and isinstance(given, bool)):
        raise InvalidInput(f"{where} is {given!r}", fix=f"Give {wanted}")
    return given


def _list(given: object, where: str, *, most: int) -> Sequence[object]:
    if not isinstance(given, list | tuple) or len(given) > most:
        raise InvalidInput(f"{where}: this is no list of at most {most}", fix="Write [...]")
    return given


def _texts(given: object, where: str, *, most: int, characters: int) -> tuple[str, ...]:
    found = tuple(_text(one, where, characters) for one in _list(given, where, most=most))
    if not all(found):
        raise InvalidInput(f"{where}: one is empty", fix="Leave it out")
    return found


def _text(given: object, where: str, characters: int) -> str:
    """One line that PostgreSQL and a terminal take as it is."""
    text = _of(str, given, where, "a text")
    if len(text) > characters or any(one < " " or one == "\x7f" or "\ud800" <= one <= "\udfff" for one in text):
        raise InvalidInput(f"{where}: {text[:40]!r} does not fit", fix=f"One line of at most {characters} characters")
    return text.strip() if characters != VALUE_CHARACTERS else text


def _patterns(rules: Iterable[Rule]) -> Iterable[str]:
    return (v for rule in rules for one in rule.conditions if one.op is Op.MATCHES for v in one.values)


def _said(one: Condition | Actions) -> dict[str, Any]:
    is_size = isinstance(one, Condition) and one.on is Field.SIZE
    told = {each.name: getattr(one, each.name) for each in fields(one)}
    return {name: _plain(value) for name, value in told.items() if value or (is_size and name == "bytes")}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _either(names: Iterable[object]) -> str:
    return ", ".join(map(str, names))
