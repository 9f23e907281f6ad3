"""What is compared, without a world around it, and the certificate's one form of bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from inboxops.core import accounting, certificate
from inboxops.core.accounting import MOST_WAITING, Finding, Kind, Numbers, Row, SentRow, Unfiled, Unsent
from inboxops.core.certificate import MOST_NAMED, Account, Certificate, Span
from inboxops.core.ids import make_message_id
from inboxops.core.model import Copy, Listed
from inboxops.core.rules.own_loop import loop_mark
from inboxops.core.signing import SigningKey

KEY = SigningKey(b"the installation's key")
NOW = datetime(2026, 11, 28, 4, 17, 9, 123456, tzinfo=UTC)
ROW = Row(
    id=7, tenant_id=1, inbox_id=2, key="INBOX/1/7", state="persisted", created_at=NOW, size_bytes=100, message_id=70,
    storage_key="1/raw/2/20261128-ab.zst", offset=10, length=50, detached_bytes=[5000], detached_offsets=None,
    messages=1, refers=True,
)  # fmt: skip
ACCOUNT = Account(
    tenant="acme", made_at=NOW, spans=[Span(2, "Zoë's", NOW - timedelta(days=1), NOW, listed=5)], findings=[], mails=5, erased=1,
    refused=0, objects=4, packs=1, sent=2, unsent={}, last_number=9, erased_numbers=1,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, None),
        ({"messages": 2}, Kind.MAIL_DOUBLED),
        ({"messages": 0, "refers": True}, None),
        ({"messages": 0, "refers": False}, Kind.MAIL_NOWHERE),
        ({"state": "listed", "messages": 0, "refers": False}, None),
        ({"state": "duplicate", "messages": 0, "refers": True}, None),
        ({"state": "listed"}, Kind.MAIL_DOUBLED),
        ({"state": "erased", "messages": 0, "refers": False}, None),
        ({"state": "classified", "messages": 0, "refers": False}, None),
    ],
)
def test_a_mail_is_a_message_exactly_when_it_says_so(change: dict[str, object], kind: Kind | None) -> None:
    found = accounting.place(replace(ROW, **change))  # type: ignore[arg-type]
    assert (found and found.kind) == kind


def test_what_a_row_is_made_of() -> None:
    assert list(accounting.beside(ROW)) == [("1/70/raw-00", 5000)]
    assert list(accounting.beside(replace(ROW, storage_key=None))) == []
    assert list(accounting.beside(replace(ROW, detached_bytes=None))) == []
    assert (list(accounting.within(ROW)), accounting.pack_end(ROW)) == ([], 60)
    packed = replace(ROW, detached_bytes=[5000, 40], detached_offsets=[None, 100])
    assert list(accounting.beside(packed)) == [("1/70/raw-00", 5000)]
    assert (list(accounting.within(packed)), accounting.pack_end(packed)) == (["1/70/raw-01"], 140)


@pytest.mark.parametrize(
    ("wanted", "size", "at_least", "kind"),
    [
        (60, 60, True, None),
        (60, 90, True, None),
        (60, 59, True, Kind.OBJECT_LENGTH),
        (60, 61, False, Kind.OBJECT_LENGTH),
        (60, None, False, Kind.OBJECT_MISSING),
    ],
)
def test_lengths(wanted: int, size: int | None, at_least: bool, kind: Kind | None) -> None:
    found = accounting.sized("k", wanted, size, inbox_id=1, at_least=at_least)
    assert (found and found.kind) == kind


def test_a_pack_whose_mails_are_whole_was_altered_unless_something_was_erased() -> None:
    rows = [replace(ROW, offset=0, length=20), replace(ROW, offset=50, length=20)]
    full, erased = bytes(range(1, 71)), bytes(range(1, 21)) + bytes(30) + bytes(range(1, 21))
    assert accounting.altered("k", full, rows) == Finding(
        Kind.OBJECT_ALTERED, "k", 2, "not what was put there, and nothing was erased"
    )
    assert accounting.altered("k", erased, rows) is None
    file = [replace(rows[0], detached_bytes=[30], detached_offsets=[20]), rows[1]]
    assert accounting.altered("k", erased, file), "zeros within a file are its own"
    assert accounting.altered("k", erased[20:], []) is None, "of mail that is all erased nothing is left to tell"


def test_what_is_listed_and_known_nowhere() -> None:
    assert accounting.missing([Listed("a"), Listed("b")], {"b"}) == [Listed("a")]
    assert [one.key for one in accounting.doubled(["a", "b", "a"], 2)] == ["a"]


def test_a_copy_is_known_by_our_id_the_providers_or_our_mark() -> None:
    rows = [SentRow(n, f"{n}@acme", "wire@google" if n == 2 else "", NOW) for n in range(1, 5)]
    copies = [Copy("1@acme"), Copy("wire@google"), Copy("other@google", loop_mark("3@acme")), Copy("")]
    assert [row.id for row in accounting.not_in_sent(rows, copies)] == [4]


def test_only_copies_with_an_id_that_we_signed_are_ours() -> None:
    signed = {
        n: make_message_id(ticket_id=1, message_id=n, domain="acme.example", signing_key=KEY) for n in range(1, 6)
    }
    copies = [
        *(Copy(one) for one in signed.values()),
        Copy("a.person@acme.example"),
        Copy(signed[1].replace("io.1", "io.2")),
    ]
    ours = accounting.ours(copies, KEY)
    assert ours == signed
    statuses = {1: "sent", 2: "unknown", 3: "sending"}
    found = list(accounting.unrecorded(ours, statuses, erased={4}, inbox_id=2))
    assert [(one.kind, one.key) for one in found] == [
        (Kind.SENT_UNRECORDED, signed[2]),
        (Kind.ONLY_IN_SENT, signed[5]),
    ]


def test_numbers_are_given_once_and_none_is_missing_but_the_erased() -> None:
    assert list(accounting.numbers(Numbers(9, [(2, 3)], [], {2, 3}))) == []
    found = list(accounting.numbers(Numbers(9_000, [(2, 4), (100, 8_000)], [7], {3})))
    assert [one.key for one in found] == ["#7", "#2", "#4", "#100-#8000"]


def test_the_bytes_are_always_the_same_ones() -> None:
    made = certificate.make(ACCOUNT, 1, "", KEY)
    assert made == certificate.make(ACCOUNT, 1, "", KEY)
    assert made.body == certificate.canonical(json.loads(made.body))
    assert made.body.startswith('{"day":"2026-11-28","erased":1,')
    assert "Zoë's" in made.body
    assert " mails" in certificate.sentence(json.loads(made.body))
    assert made.signature != certificate.make(ACCOUNT, 1, "", SigningKey(b"another")).signature


def test_what_it_says_in_one_line() -> None:
    def said(*findings: Finding, skipped: str = "") -> str:
        spans = [replace(ACCOUNT.spans[0], skipped=skipped)]
        made = certificate.make(replace(ACCOUNT, findings=findings, spans=spans), 1, "", KEY)
        return certificate.sentence(json.loads(made.body))

    span = "5 mails since 2026-11-27 04:17 until 2026-11-28 04:17 UTC"
    assert said() == f"{span}, each accounted for"
    assert said(skipped="paused") == f"{span}, accounted for as far as it was asked; not asked: Zoë's"
    assert said(Finding(Kind.MAIL_MISSING, "a", 2, repaired=True)) == f"{span}, each accounted for; 1 put right"
    assert (
        said(Finding(Kind.NUMBER_MISSING, "#1"), skipped="paused")
        == f"{span}, 1 things not accounted for; not asked: Zoë's"
    )


def test_what_was_refused_and_what_has_not_left_is_counted_in_that_line_and_earlier_forms_are_read() -> None:
    made = certificate.make(replace(ACCOUNT, refused=2, unsent={"failed": 1, "pending": 2}), 1, "", KEY)
    body = json.loads(made.body)
    assert certificate.sentence(body).endswith("each accounted for; 2 refused and never stored; 3 of ours not sent")
    of_before = {name: value for name, value in body.items() if name not in ("refused", "unsent")}
    assert certificate.sentence(of_before).endswith("each accounted for")


def test_mail_that_waits_is_named_up_to_a_bound() -> None:
    rows = [Unfiled(n, 2, f"k{n}", "stored", NOW, waiting=MOST_WAITING + 7) for n in range(MOST_WAITING)]
    rows.append(Unfiled(900, 3, "other", "classified", NOW, waiting=1))
    found = list(accounting.unfiled(rows))
    assert [one.key for one in found[-3:]] == ["k99", "other", "7 more"]
    assert found[-2].detail == "row 900 is classified since 2026-11-28 04:17Z"


def test_a_message_that_has_not_left_is_named_within_its_time_unless_a_copy_proves_otherwise() -> None:
    rows = [Unsent(n, 2, f"{n}@acme", "failed", NOW - timedelta(days=n), automatic=False) for n in range(5)]
    rows += [
        replace(rows[1], message_id=f"{state}@auto", status=state, automatic=True) for state in ("failed", "unknown")
    ]
    found = list(accounting.unsent(rows, NOW - timedelta(days=3), NOW, {"2@acme"}))
    assert [one.key for one in found] == ["1@acme", "3@acme", "unknown@auto"]


def test_every_kind_says_what_to_do_and_what_is_open_comes_first() -> None:
    findings = [Finding(kind, "k", 2, repaired=kind is Kind.MAIL_MISSING) for kind in Kind]
    body = json.loads(certificate.make(replace(ACCOUNT, findings=findings), 1, "", KEY).body)
    assert body["findings"][-1]["kind"] == "mail_missing"
    assert all(bool(one["to_do"]) is not one["repaired"] for one in body["findings"])
    assert body["unaccounted"] == len(Kind) - 1


def test_many_findings_are_counted_and_verify() -> None:
    findings = [Finding(Kind.MAIL_MISSING, str(n), 2, repaired=n % 2 == 0) for n in range(2 * MOST_NAMED)]
    made = certificate.make(replace(ACCOUNT, findings=findings), 1, "", KEY)
    body = json.loads(made.body)
    assert (len(body["findings"]), body["findings_more"], body["unaccounted"]) == (MOST_NAMED, MOST_NAMED, MOST_NAMED)
    assert certificate.problems([made], KEY) == []


def chain(length: int) -> list[Certificate]:
    made: list[Certificate] = []
    for number in range(1, length + 1):
        made.append(certificate.make(ACCOUNT, number, made[-1].digest if made else "", KEY))
    return made


def test_a_chain_holds_and_breaks_where_one_is_taken_out_put_in_or_changed() -> None:
    whole = chain(4)
    assert certificate.problems(whole, KEY) == []
    assert certificate.problems(whole[1:], KEY)
    assert certificate.problems([whole[0], *whole[2:]], KEY)
    forged = certificate.make(replace(ACCOUNT, mails=6), 2, whole[0].digest, KEY)
    assert certificate.problems([whole[0], forged, *whole[2:]], KEY) == [
        "certificate 3 does not follow the one before it"
    ]
    assert certificate.problems([whole[0], replace(whole[1], signature=forged.signature), *whole[2:]], KEY) == [
        "certificate 2 was changed, or signed with another key"
    ]
