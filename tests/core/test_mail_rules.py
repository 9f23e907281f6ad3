"""A tenant's mail rules: what a condition finds, what a rule does, and what each mistake is answered with."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inboxops.core.case import Case
from inboxops.core.mail_rules import edit, patterns
from inboxops.core.mail_rules.evaluate import Judged, judged, orders
from inboxops.core.mail_rules.fold import fold
from inboxops.core.mail_rules.model import Priority, Rule, RuleSet
from inboxops.core.mail_rules.wire import OPS, read_rule, read_rules, written
from inboxops.core.model import ParsedMessage
from inboxops.errors import InvalidInput, NotFound
from tests.core.mails import INBOX, block, mail, report

WITH_PDF = """--b
Content-Type: text/plain

see the file
--b
Content-Type: application/pdf
Content-Disposition: attachment; filename="Rechnung März.pdf"

%PDF
--b--
"""


def rule(*conditions: dict[str, object], name: str = "r", **more: object) -> Rule:
    return read_rule({"name": name, "enabled": True, "conditions": conditions, "actions": {"tags": [name]}, **more})


def on(message: ParsedMessage, *rules: Rule, size: int = 1_000, **context: object) -> Judged:
    here = replace(INBOX, mail_rules=RuleSet(3, rules), **context)
    return judged(Case(message, here), size_bytes=size)


def holds(message: ParsedMessage, condition: dict[str, object], **more: int) -> bool:
    return bool(on(message, rule(condition), **more).rulings)


MESSAGE = mail(
    WITH_PDF,
    From='"Müller, Jörg" <Joerg@Kunde.example>',
    Sender="office@kunde.example",
    To="support@shop.example, Billing <billing@shop.example>",
    Delivered_To="alias@shop.example",
    Subject="=?utf-8?q?STRA=C3=9FE_und_R=C3=A9sum=C3=A9?=",
    MIME_Version="1.0",
    Content_Type='multipart/mixed; boundary="b"',
    List_Id="The developers <dev.lists.example>",
    X_Mailer="Thing 1.0",
)


@pytest.mark.parametrize(
    "condition",
    [
        {"on": "sender", "op": "is", "values": ["JOERG@kunde.example"]},
        {"on": "sender", "op": "contains", "values": ["muller, jorg"]},
        {"on": "sender", "op": "is", "values": ["nobody@x.example", "office@kunde.example"]},
        {"on": "recipient", "op": "is", "values": ["billing@shop.example"]},
        {"on": "recipient", "op": "contains", "values": ["alias@"]},
        {"on": "subject", "op": "contains", "values": ["strasse und RESUME"]},
        {"on": "subject", "op": "matches", "values": [r"^straße\s+und"]},
        {"on": "body", "op": "contains", "values": ["See the file"]},
        {"on": "header", "header": "x-mailer", "op": "contains", "values": ["thing"]},
        {"on": "header", "header": "X-Mailer", "op": "present"},
        {"on": "header", "header": "X-Nothing", "op": "present", "negate": True},
        {"on": "size", "op": "at_least", "bytes": 1_000},
        {"on": "size", "op": "at_most", "bytes": 1_000},
        {"on": "verdict", "op": "is", "values": ["bulk", "spam"]},
        {"on": "list", "op": "is", "values": ["dev.lists.example"]},
        {"on": "list", "op": "present"},
        {"on": "attachment", "op": "present"},
        {"on": "attachment_name", "op": "contains", "values": ["rechnung marz"]},
        {"on": "attachment_type", "op": "is", "values": ["application/pdf"]},
    ],
    ids=lambda condition: f"{condition['on']}-{condition['op']}",
)
def test_a_condition_holds_and_its_opposite_does_not(condition: dict[str, object]) -> None:
    assert holds(MESSAGE, condition)
    assert not holds(MESSAGE, condition | {"negate": not condition.get("negate", False)})


def test_a_file_within_the_text_is_no_attachment() -> None:
    inline = WITH_PDF.replace("attachment;", "inline;").replace("application/pdf", "image/png\nContent-ID: <logo>")
    logo = mail(inline, MIME_Version="1.0", Content_Type='multipart/related; boundary="b"')
    assert [one.inline for one in logo.attachments] == [True]
    assert not holds(logo, {"on": "attachment", "op": "present"})
    assert holds(logo, {"on": "attachment_type", "op": "contains", "values": ["image/"]})


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(max_size=60), st.sampled_from([str.upper, str.lower, str.title]))
def test_letters_of_the_basic_scripts_are_found_in_any_case(text: str, change: object) -> None:
    plain = "".join(one for one in text if one.isascii())
    assert fold(change(plain)) == fold(plain)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Straße", "STRASSE"),
        ("ＡＢＣ", "abc"),
        ("ﬁnance", "Finance"),
        ("Re\u00adch\u200bnung", "rechnung"),
        ("İSTANBUL", "istanbul"),
        ("ŁÓDŹ", "lodz"),
        ("Ёлка", "елка"),
        ("ﾊﾟｽﾜｰﾄﾞ", "パスワード"),
        ("café", "cafe\u0301"),
        ("two\n words", "two words"),
    ],
)
def test_what_people_take_for_the_same_is(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("ハ", "パ"), ("कि", "कु"), ("0", "O"), ("ab", "a b")])
def test_what_people_tell_apart_stays_apart(one: str, other: str) -> None:
    assert fold(one) != fold(other)


def test_rules_are_asked_in_their_order_until_one_says_stop() -> None:
    every = {"on": "size", "op": "at_least", "bytes": 0}
    first = rule(every, name="first", actions={"tags": ["a"], "priority": "low"})
    off = rule(every, name="off", enabled=False)
    second = rule(every, name="second", actions={"tags": ["b", "a"], "priority": "urgent", "queue": "q", "stop": True})
    third = rule(every, name="third", actions={"set_aside": "never reached"})
    found = on(mail(), first, off, second, third)
    assert [(one.rule, one.version) for one in found.rulings] == [("first", 3), ("second", 3)]
    said = orders(found.rulings)
    assert (said.tags, said.priority, said.queue, said.set_aside) == (("a", "b"), Priority.LOW, "q", "")


def test_all_conditions_have_to_hold_or_any_of_them() -> None:
    yes = {"on": "subject", "op": "is", "values": ["hi"]}
    no = {"on": "subject", "op": "is", "values": ["ho"]}
    assert not on(mail(), rule(yes, no)).rulings
    [ruling] = on(mail(), rule(no, yes, match="any")).rulings
    assert [(one.where, one.value) for one in ruling.evidence] == [('subject is "hi"', "hi")]


def test_mail_that_is_never_spam_is_what_it_is_else_and_later_rules_see_that() -> None:
    message = mail(X_Spam_Flag="YES", List_Id="<shop.lists.example>")
    trust = rule({"on": "verdict", "op": "is", "values": ["spam"]}, name="trust", actions={"never_spam": True})
    bulk = rule({"on": "verdict", "op": "is", "values": ["bulk"]}, name="bulk")
    found = on(message, bulk, trust, bulk)
    assert on(message).verdict.kind == "spam"
    assert found.verdict.kind == "bulk"
    assert [one.rule for one in found.rulings] == ["trust", "bulk"]
    assert on(mail(), trust, in_spam_folder=True).verdict.kind == "human"


def test_a_bounce_stays_one_however_much_it_is_trusted() -> None:
    bounced = report(block("x@y.example", "failed", "5.1.1"))
    trust = rule({"on": "size", "op": "at_least", "bytes": 0}, actions={"never_spam": True})
    assert on(bounced, trust, in_spam_folder=True).verdict.kind == "bounce"


def test_the_customer_is_whom_reply_to_names_when_a_rule_says_so() -> None:
    message = mail(Reply_To="Paula <paula@elsewhere.example>")
    portal = rule(
        {"on": "sender", "op": "contains", "values": ["anna@"]}, name="portal", actions={"customer_from_reply_to": True}
    )
    who = on(message, portal).customer
    assert (who.address.address, who.rule, who.claimed) == ("paula@elsewhere.example", "mail_rule.portal", False)
    assert [one.value for one in who.evidence] == ["anna@cust.example", "paula@elsewhere.example"]
    assert on(message).customer.address.address == "anna@cust.example"
    ours = mail(Reply_To="support@shop.example")
    assert on(ours, portal).customer.address.address == "anna@cust.example"


GOOD = {"name": "r", "conditions": [{"on": "subject", "op": "contains", "values": ["x"]}], "actions": {"tags": ["t"]}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "No Ads"}, "'No Ads' is no name of a rule. Use lower-case"),
        ({"conditions": []}, "rule r has no condition. For all mail write"),
        ({"conditions": "x"}, "rule r: conditions: this is no list"),
        ({"conditions": [{"on": "colour"}]}, "rule r, condition 1: on is 'colour'. Use sender, recipient"),
        ({"conditions": [{"on": "size", "op": "contains"}]}, "condition 1 (size): size can't be asked with contains. Use at_least"),
        ({"conditions": [{"on": "subject", "op": "is", "values": []}]}, "condition 1 (subject): is takes one value at least"),
        ({"conditions": [{"on": "subject", "op": "is", "values": ["\u00ad"]}]}, "a value is empty"),
        ({"conditions": [{"on": "subject", "op": "is", "values": ["a\x00"]}]}, "does not fit"),
        ({"conditions": [{"on": "subject", "op": "is", "values": ["\ud800"]}]}, "does not fit"),
        ({"conditions": [{"on": "subject", "op": "matches", "values": ["(a"]}]}, "the pattern '(a' can't be used: missing )"),
        ({"conditions": [{"on": "subject", "op": "matches", "values": [r"(a)\1"]}]}, "Patterns are RE2's: no look-around"),
        ({"conditions": [{"on": "subject", "op": "matches", "values": [r"\pL{500}"]}]}, "too large"),
        ({"conditions": [{"on": "verdict", "op": "is", "values": ["junk"]}]}, "'junk' is no verdict. Use own_loop"),
        ({"conditions": [{"on": "header", "op": "present"}]}, "'' is no header's name here"),
        ({"conditions": [{"on": "size", "op": "at_most"}]}, "bytes goes with size alone"),
        ({"conditions": [{"on": "size", "op": "at_most", "bytes": True}]}, "bytes is True. Give a number"),
        ({"conditions": [{"on": "subject", "op": "is", "values": ["x"], "not": True}]}, "'not' means nothing. What can"),
        ({"actions": {}}, "rule r, actions: there is none. Say at least one of set_aside"),
        ({"actions": {"forward": "x"}}, "'forward' means nothing"),
        ({"actions": {"priority": "hot"}}, "priority is 'hot'. Use low, normal, high, urgent"),
        ({"enabled": "yes"}, "rule r: enabled is 'yes'. Give true or false"),
    ],
)  # fmt: skip
def test_every_mistake_names_the_rule_the_condition_and_what_to_do(change: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_rule(GOOD | change)
    assert said in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
SOMETHING = st.sampled_from(sorted({*OPS, *(op for ops in OPS.values() for op in ops)})) | JSON


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.just("r") | JSON,
            "match": JSON,
            "enabled": JSON,
            "conditions": JSON
            | st.lists(
                st.fixed_dictionaries(
                    {}, optional=dict.fromkeys(("on", "op", "values", "header", "bytes", "negate"), SOMETHING)
                ),
                max_size=2,
            ),
            "actions": JSON
            | st.dictionaries(st.sampled_from(["set_aside", "tags", "queue", "stop", "priority"]), JSON),
        },
    )
    | JSON
)
def test_whatever_is_given_is_a_rule_or_a_mistake_that_is_named(given_: object) -> None:
    try:
        read = read_rule(given_)
    except InvalidInput as exc:
        assert exc.fix
    else:
        assert read_rule(written(read)) == read


TEXT_CONDITION = st.builds(
    lambda on, op, values, negate: {"on": on, "op": op, "values": values, "negate": negate},
    st.sampled_from(["sender", "recipient", "subject", "body", "attachment_name"]),
    st.sampled_from(["contains", "is"]),
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1).filter(fold), min_size=1, max_size=3),
    st.booleans(),
)  # fmt: skip


@given(st.lists(TEXT_CONDITION, min_size=1, max_size=3), st.sampled_from(["all", "any"]))
def test_a_rule_that_was_written_is_the_one_that_is_read_and_decides_alike(
    conditions: list[dict[str, object]], match: str
) -> None:
    made = rule(*conditions, match=match)
    [again] = read_rules([written(made)])
    assert again == made
    assert on(MESSAGE, again) == on(MESSAGE, made)


def test_a_set_is_changed_one_version_after_the_other() -> None:
    one, two = rule(GOOD["conditions"][0], name="one"), rule(GOOD["conditions"][0], name="two")  # type: ignore[index]
    rules = edit.put(edit.put(RuleSet(), one), two)
    assert (rules.version, [r.name for r in rules.rules]) == (2, ["one", "two"])
    assert edit.put(rules, one) is rules
    swapped = edit.order(rules, ["two"])
    assert (swapped.version, [r.name for r in swapped.rules]) == (3, ["two", "one"])
    assert [r.enabled for r in edit.switch(swapped, "one", enabled=False).rules] == [True, False]
    assert edit.remove(swapped, "two").rules == (one,)
    with pytest.raises(NotFound, match=r"there is no rule 'three'\. Known rules: two, one"):
        edit.remove(swapped, "three")
    with pytest.raises(InvalidInput, match="twice"):
        edit.order(rules, ["one", "one"])


def test_the_patterns_of_a_tenant_are_bounded_together() -> None:
    large = {"on": "subject", "op": "matches", "values": [f".{{0,100}}{n}.{{0,100}}" for n in range(20)]}
    with pytest.raises(InvalidInput, match="the patterns of all rules have"):
        edit.put(RuleSet(), rule(large))


@pytest.mark.parametrize(
    "pattern", [r"(a+)+$", r"(x+x+)+y", r"(a|a|b|ab)*c", r"[\w]{240}z", r".{0,100}a.{0,60}z$", r"(.{1,30}){1,5}z"]
)
@pytest.mark.parametrize("text", ["a" * 50_000, "ab漢é" * 12_500], ids=["one-letter", "mixed"])
def test_no_pattern_takes_long_on_any_text(pattern: str, text: str) -> None:
    patterns.steps(pattern)
    began = time.process_time()
    patterns.found(pattern, text)
    assert time.process_time() - began < 0.5  # 0.1 s was the worst measured
