"""A canary is known by a token that we signed for its inbox, by nothing else, and not for ever."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from inboxops.core import canary
from inboxops.core.canary import Canary
from inboxops.core.classify import classify
from inboxops.core.mime import parse
from inboxops.core.model import Address, InboxContext, VerdictKind
from inboxops.core.rules.own_loop import CANARY_HEADER, LOOP_HEADER
from inboxops.core.signing import SigningKey

KEY = SigningKey(b"a signing key of thirty-two bytes")
MADE = datetime(2026, 11, 2, 10, tzinfo=UTC)
CONTEXT = InboxContext(
    tenant_id=1, inbox_id=7, email_address="support@acme.example", signing_key=KEY, received_at=MADE + timedelta(minutes=1)
)  # fmt: skip
CANARY = Canary(id=12, tenant_id=1, inbox_id=7, sender_id=8, made_at=MADE)
RAW = canary.mail(CANARY, sender=Address("", "office@acme.example"), to="support@acme.example", signing_key=KEY)


def without(raw: bytes, *names: str) -> bytes:
    lines = raw.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.startswith(tuple(f"{n}:".encode() for n in names)))


def number(raw: bytes, context: InboxContext = CONTEXT) -> int | None:
    return canary.of_verdict(classify(parse(raw), context))


def test_it_is_known_and_tells_which_it_is() -> None:
    verdict = classify(parse(RAW), CONTEXT)
    assert (verdict.kind, verdict.rule) == (VerdictKind.OWN_LOOP, "own_loop.canary")
    assert canary.of_verdict(verdict) == 12
    assert b"\r\nAuto-Submitted: auto-generated\r\n" in RAW


def test_nothing_on_the_way_hides_it() -> None:
    bare = without(RAW, CANARY_HEADER, LOOP_HEADER)
    assert number(bare) == 12, "a gateway dropped our headers"
    assert number(bare.replace(b"Subject: ", b"Subject: [EXTERNAL] ")) == 12, "and another wrote into the subject"
    assert number(without(bare, "Subject")) == 12
    assert number(RAW, replace(CONTEXT, in_spam_folder=True)) == 12


@pytest.mark.parametrize(
    ("context", "why"),
    [
        (replace(CONTEXT, inbox_id=8), "another inbox"),
        (replace(CONTEXT, received_at=MADE + canary.VALID_FOR + timedelta(seconds=1)), "too late"),
        (replace(CONTEXT, received_at=None), "nobody knows when it came"),
        (replace(CONTEXT, signing_key=SigningKey(b"another key")), "another installation"),
        (replace(CONTEXT, signing_key=SigningKey()), "no key"),
    ],
)
def test_a_token_of_others_is_nothing(context: InboxContext, why: str) -> None:
    assert number(RAW, context) is None, why


def test_a_forged_token_is_ordinary_mail() -> None:
    token = canary.token(CANARY, KEY)
    for forged in (token.replace("c12-", "c13-"), token[:-1] + ("a" if token[-1] != "a" else "b"), token[:-5]):
        raw = without(RAW, LOOP_HEADER).replace(token.encode(), forged.encode())
        raw = raw.replace(b"office@acme.example", b"mallory@evil.example")
        verdict = classify(parse(raw), CONTEXT)
        assert verdict.kind in (VerdictKind.HUMAN, VerdictKind.AUTO_GENERATED), "it opens a ticket"


def test_a_person_who_answers_or_forwards_one_is_no_canary() -> None:
    token = canary.token(CANARY, KEY)
    for subject, text in (
        (f"Re: InboxOps canary {token}", "What is this?"),
        (f"Fwd: InboxOps canary {token}", f"InboxOps canary {token}"),
        ("What is this?", f"I got this:\n\nInboxOps canary {token}"),
        ("What is this?", f"> InboxOps canary {token}"),
    ):
        raw = f"From: ann@acme.example\r\nSubject: {subject}\r\nMessage-ID: <a@b.example>\r\n\r\n{text}\r\n"
        assert classify(parse(raw.encode()), CONTEXT).kind is VerdictKind.HUMAN


def test_one_that_comes_after_its_time_is_still_no_persons_mail() -> None:
    late = replace(CONTEXT, received_at=MADE + timedelta(days=30), own_addresses=frozenset({"office@acme.example"}))
    assert classify(parse(RAW), late).rule == "own_loop"


@pytest.mark.parametrize(
    ("state", "error", "means", "helps"),
    [
        ("not_sent", "550 no", "it did not leave: 550 no", "`inboxops inbox test office`"),
        (
            "in_doubt",
            "lost",
            "it may have left: nobody knows, so it is never called late: lost",
            "`inboxops canary send support`",
        ),
        ("late", None, "it is not back", "spam folder"),
        ("back", "lost", "it came back in time", ""),
    ],
)
def test_each_state_says_what_it_means_and_what_helps(state: str, error: str | None, means: str, helps: str) -> None:
    row = {
        "state": state,
        "error": error,
        "inbox": "support",
        "sender": "office",
        "removed": None,
        "removal_error": None,
    }
    assert canary.means(row) == means
    assert helps in canary.helps(row)
    assert bool(helps) == bool(canary.helps(row))


@pytest.mark.parametrize(
    ("removed", "why", "said"),
    [
        (None, None, "it came back late"),
        (None, "no right", "it came back late; still in the mailbox: no right"),
        ("trashed", None, "it came back late; then it was put into the trash"),
        ("gone", None, "it came back late; then it was not there any more"),
    ],
)
def test_it_says_what_became_of_the_mail_in_the_mailbox(removed: str | None, why: str | None, said: str) -> None:
    assert canary.means({"state": "back_late", "error": None, "removed": removed, "removal_error": why}) == said
