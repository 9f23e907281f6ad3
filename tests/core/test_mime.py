"""Whatever the bytes, there is a message; what a mail holds is found; what is hostile is bounded."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inboxops.core import parts, structure
from inboxops.core.classify import classify
from inboxops.core.mime import parse
from inboxops.core.model import ParsedMessage
from tests.core.mails import INBOX, mail, raw

RECEIVED = datetime(2026, 3, 1, tzinfo=UTC)


def multipart(*inner: str, kind: str = "mixed") -> ParsedMessage:
    body = "".join(f"--b\n{part}\n" for part in inner) + "--b--\n"
    return mail(body, MIME_Version="1.0", Content_Type=f"multipart/{kind}; boundary=b")


def names(message: ParsedMessage) -> list[str]:
    return [one.file_name for one in message.attachments]


def test_the_ordinary_mail() -> None:
    message = parse(
        raw(
            "Hello\n", Reply_To="Desk <desk@cust.example>", Cc="bob@cust.example", Date="Sun, 1 Mar 2026 10:00:00 +0100"
        ),
        received_at=RECEIVED.replace(hour=12),
    )
    assert (message.sender.name, message.sender.address, message.subject) == ("Anna", "anna@cust.example", "hi")
    assert message.reply_to[0].address == "desk@cust.example"
    assert message.cc[0].address == "bob@cust.example"
    assert message.date == datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
    assert message.text == "Hello\n"
    assert message.message_id == "a1@cust.example"
    assert message.return_path is None
    assert message.defects == ()


def test_the_null_return_path_is_not_a_missing_one() -> None:
    assert mail(Return_Path="<>").return_path == ""
    assert mail(Return_Path="<Bounce@X.example>").return_path == "Bounce@x.example"


def test_text_and_html_stand_side_by_side_and_html_alone_becomes_text() -> None:
    both = multipart("Content-Type: text/plain\n\nplain", "Content-Type: text/html\n\n<p>rich</p>", kind="alternative")
    assert (both.text.strip(), both.html.strip()) == ("plain", "<p>rich</p>")
    alone = mail(
        "<html><style>p{}</style><p>Dear &amp; all</p><blockquote>old</blockquote></html>", Content_Type="text/html"
    )
    assert alone.text == "Dear & all\n\n> old"


PLAIN = "Content-Type: text/plain\n\n"
HTML = "Content-Type: text/html\n\n"
BOTH = f"Content-Type: multipart/alternative; boundary=c\n\n--c\n{PLAIN}my words\n--c\n{HTML}<p>my words\n--c--"
HTML_ONLY = f"Content-Type: multipart/alternative; boundary=c\n\n--c\n{HTML}<p>my words\n--c--"


@pytest.mark.parametrize(
    "inner",
    [
        (f"{PLAIN}my words", f"{HTML}<hr>Scanned &amp; clean"),
        (f"{HTML}<p>my words</p>", f"{PLAIN}-- \nScanned & clean"),
        (BOTH, f"{PLAIN}-- \nScanned & clean"),
        (BOTH, f"{HTML}<hr>Scanned &amp; clean"),
        (HTML_ONLY, f"{PLAIN}-- \nScanned & clean"),
    ],
    ids=["HTML behind text", "text behind HTML", "text behind both", "HTML behind both", "text behind HTML alone"],
)
def test_a_part_that_somebody_added_stands_in_both_bodies_and_hides_nothing(inner: tuple[str, ...]) -> None:
    message = multipart(*inner)
    for body, footer in ((message.text, "Scanned & clean"), (message.html, "Scanned &amp; clean")):
        assert body.count("my words") == 1
        assert body.count(footer) == 1
        assert body.index("my words") < body.index(footer)


def test_text_that_is_shown_as_html_is_no_markup() -> None:
    message = multipart(f"{PLAIN}if a <b & c\nthen", f"{HTML}<p>a footer of the scanner")
    assert message.html.startswith("<pre>if a &lt;b &amp; c\nthen</pre>")


def test_forms_of_the_same_words_that_stand_side_by_side_are_said_once() -> None:
    text = "Hello *Bob*,\n\nthe pump that I ordered\nhas not come yet."
    html = "<p>Hello <b>Bob</b>,</p><p>the pump that I ordered has not come yet.</p>"
    for kind in ("mixed", "related"):
        message = multipart(PLAIN + text, HTML + html, kind=kind)
        assert (message.text.strip(), message.html.strip()) == (text, html)


def test_a_short_answer_is_not_taken_for_a_part_of_other_words() -> None:
    message = multipart(f"{PLAIN}Ja", f"{HTML}<p>Jahresabschluss: the office is closed")
    assert "<pre>Ja</pre>" in message.html


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": 'text/plain; name="mail.txt"'},
        {"Content_Type": "text/plain", "Content_Disposition": "attachment"},
        {"Content_Type": "text/html", "Content_Disposition": 'attachment; filename="mail.html"'},
    ],
)
def test_a_text_that_is_all_of_a_mail_is_its_words_whatever_it_is_called(headers: dict[str, str]) -> None:
    message = mail("my words\n", **headers)
    assert (message.text.strip(), message.attachments) == ("my words", ())


def test_a_table_that_is_all_of_a_mail_is_a_file_too() -> None:
    message = mail("a,b\n", Content_Type="text/csv", Content_Disposition='attachment; filename="a.csv"')
    assert (message.text, names(message)) == ("a,b\n", ["a.csv"])


def test_ids_in_encoded_words_are_read() -> None:
    message = mail(
        Message_ID="=?utf-8?q?=3CAS8PR04MB8465?=\n =?utf-8?q?abc=40x=2EExample=3E?=",
        In_Reply_To="=?utf-8?q?=3Cio=2E12=2E34?=\n =?utf-8?q?=2Eabc=40desk=2Eexample=3E?=",
        References="<a@x.example> =?utf-8?q?=3Cb=40x=2Eexample=3E?=",
    )
    assert message.message_id == "AS8PR04MB8465abc@x.example"
    assert message.in_reply_to == ("io.12.34.abc@desk.example",)
    assert message.references == ("a@x.example", "b@x.example")


def test_files_keep_name_type_content_id_and_bytes() -> None:
    message = multipart(
        "Content-Type: text/html\n\n<img src=cid:logo@x>",
        "Content-Type: image/png; name=logo.png\nContent-ID: <logo@x>\nContent-Transfer-Encoding: base64\n\naGk=",
        "Content-Type: text/plain\nContent-Disposition: attachment; filename=notes.txt\n\nnote",
    )
    logo, notes = message.attachments
    assert (logo.file_name, logo.content_type, logo.content_id, logo.inline, logo.content) == (
        "logo.png",
        "image/png",
        "logo@x",
        True,
        b"hi",
    )
    assert (notes.file_name, notes.inline, notes.content) == ("notes.txt", False, b"note")
    assert "note" not in message.text


def test_an_attached_message_is_a_file_under_its_subject_and_leaks_nothing() -> None:
    message = multipart(
        "Content-Type: text/plain\n\nsee below",
        "Content-Type: message/rfc822\n\nFrom: x@y.example\nSubject: =?utf-8?Q?B=C3=A4r?=\n"
        "Auto-Submitted: auto-replied\nMessage-ID: <in@y>\n\ninner text",
    )
    assert names(message) == ["Bär.eml"]
    assert message.attachments[0].named_by_subject
    assert b"inner text" in message.attachments[0].content
    assert dict(message.headers).get("Auto-Submitted") is None
    assert message.text.strip() == "see below"
    assert "Message-ID: <in@y>" in message.returned[0]


def test_an_attached_message_that_can_not_be_written_again_is_kept_as_it_reads() -> None:
    message = multipart(
        "Content-Type: message/rfc822\n\nSubject: torn\nReceived: from a\n\tby b; Thu\n:22:22 +0900\n\ninner text"
    )
    assert names(message) == ["torn.eml"]
    assert b"torn" in message.attachments[0].content


def test_what_a_report_returns_is_no_file() -> None:
    report = multipart(
        "Content-Type: text/plain\n\nfailed",
        "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n"
        "broken line\nFinal-Recipient: rfc822; a@b.example\nAction: failed",
        "Content-Type: message/rfc822\n\nMessage-ID: <back@x>\n\nx",
        kind="report",
    )
    assert names(report) == []
    assert [dict(block) for block in report.delivery_status] == [
        {"reporting-mta": "dns; x"},
        {"final-recipient": "rfc822; a@b.example", "action": "failed"},
    ]


@pytest.mark.parametrize(
    ("encode", "encoding"),
    [
        (lambda text: base64.encodebytes(text.encode()).decode(), "base64"),
        (lambda text: text.replace("=", "=3D"), "quoted-printable"),
    ],
)
def test_an_encoded_message_part_is_read_too(encode: Callable[[str], str], encoding: str) -> None:
    inner = encode("From: x@y.example\nSubject: coded\nMessage-ID: <c@y>\n\nhello")
    message = multipart(f"Content-Type: message/rfc822\nContent-Transfer-Encoding: {encoding}\n\n{inner}")
    assert names(message) == ["coded.eml"]


def test_calendar_signatures_and_encryption_are_marked_and_kept() -> None:
    calendar = multipart(
        "Content-Type: text/plain\n\nx",
        "Content-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR",
        kind="alternative",
    )
    assert "calendar" in calendar.marks
    assert calendar.attachments[0].content_type == "text/calendar"
    marks = {
        "smime-signed": 'multipart/signed; protocol="application/pkcs7-signature"; boundary=b',
        "pgp-signed": 'multipart/signed; protocol="application/pgp-signature"; boundary=b',
        "pgp-encrypted": 'multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b',
        "smime-encrypted": "application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
    }
    for mark, content_type in marks.items():
        assert mark in mail("--b\n\nx\n--b--\n", Content_Type=content_type).marks
    assert "pgp-encrypted" in mail("-----BEGIN PGP MESSAGE-----\nx").marks


def test_parts_are_found_when_the_boundary_is_not() -> None:
    body = "--real\nContent-Type: text/plain\n\nhello\n--real\nContent-Type: image/png; name=x.png\n\nx\n--real--\n"
    for content_type in ("multipart/mixed", 'multipart/mixed; boundary="other"', ""):
        message = mail(body, Content_Type=content_type)
        assert (message.text.strip(), names(message)) == ("hello", ["x.png"]), content_type


def test_broken_header_lines_cost_none_of_the_others() -> None:
    message = parse(b'Received: x\nquite broken\nFrom : anna@cust.example\n="Subject: hi\nTo: b@c.example\n\ntext')
    assert (message.sender.address, message.subject, message.text) == ("anna@cust.example", "hi", "text")


def test_two_ids_are_told_and_the_first_counts() -> None:
    message = parse(b"Message-ID: <one@x>\nMessage-ID: <two@x>\nFrom: a@b.example\n\nx")
    assert message.message_id == "one@x"
    assert "more than one Message-ID" in message.defects


def test_only_the_trusted_servers_results_are_believed() -> None:
    bytes_ = raw(Authentication_Results="mx.shop.example; dmarc=pass")
    assert parse(bytes_).authentication == {}
    assert parse(bytes_, trusted_authserv_ids=frozenset({"mx.shop.example"})).authentication == {"dmarc": "pass"}


def test_a_reply_is_told_from_what_it_quotes_and_the_original_is_kept() -> None:
    message = mail("Yes please\n\nOn Mon, 2 Mar 2026 at 10:00, Support <support@shop.example> wrote:\n> Shall we?\n")
    assert message.text_new == "Yes please"
    assert "Shall we?" in message.text


HEAD = b"From: a@b.example\nSubject: s\nMIME-Version: 1.0\n"
OUTER = HEAD + b"Content-Type: multipart/mixed; boundary=a\n\n"
HOSTILE = {
    "30,000 levels": HEAD
    + b"".join(b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(30_000))
    + b"\nhi",
    "30,000 levels of one boundary": OUTER + b"--a\nContent-Type: MULTIPART/mixed; boundary=a\n\n" * 30_000,
    "30,000 messages in messages": HEAD + b"Content-Type: message/rfc822\n\n" * 30_000 + b"Subject: x\n\nhi",
    "30,000 parts": OUTER
    + b"--a\nContent-Type: application/x\nContent-Disposition: attachment; filename=x\n\nxx\n" * 30_000
    + b"--a--\n",
    "1,000,000 parts": OUTER + b"--a\n\nx\n" * 1_000_000,
    "a megabyte of one header": HEAD + b"X-A: " + b"a" * 1_000_000 + b"\n\nhi",
    "a megabyte of subject": b"Subject: " + b"a" * 1_000_000 + b"\n\nhi",
    "a megabyte of sender": b"From: " + b"<a@b.c>," * 130_000 + b"\n\nhi",
    "100,000 headers": b"".join(b"X-%d: y\n" % n for n in range(100_000)) + HEAD + b"\nhi",
    "endless encoded words": b"Subject: " + b"=?utf-8?Q?a?= " * 100_000 + b"\n\nhi",
    "endless broken words": b"From: " + b"=?utf-8?Q?" * 100_000 + b"\n\nhi",
    "endless question marks in words": b"Subject: " + b"=?utf-8?Q?a??b? " * 60_000 + b"\n\nhi",
    "endless question marks in a word": b"Subject: =?utf-8?Q?" + b"? =" * 100_000 + b"\n\nhi",
    "endless ids in words": b"References: " + b"=?utf-8?q?=3Ca=40b=3E?= " * 60_000 + b"\n\nhi",
    "texts and pages without end": OUTER
    + b"--a\n\n%s\n--a\nContent-Type: text/html\n\n%s\n"
    % ((b"a line of twenty letters and more that is nowhere else\n" * 500,) * 2)
    * 500,
    "endless references": b"References: " + b"<a@b.c> " * 200_000 + b"\n\nhi",
    "endless brackets": b"References: " + b"<" * 500_000 + b"\nMessage-ID: " + b"<" * 100_000 + b"\n\nhi",
    "endless parameters": b"Content-Type: text/plain; " + b'a="\\' * 200_000 + b"\n\nhi",
    "endless comments": b"Date: " + b"(" * 500_000 + b"\nFrom: " + b"(" * 100_000 + b"\n\nhi",
    "an id of 4 kB": b"Message-ID: <" + b"a" * 4_096 + b"@b>\n\nhi",
    "a boundary in no charset": HEAD + b"Content-Type: multipart/mixed; boundary*=undefined''abc; name*\n\n--abc\n\nhi",
    "NUL": HEAD + b"X: a\0b\n\n" + b"\0" * 100_000,
    "lone surrogates": HEAD + b"Content-Type: text/plain; charset=utf-7\n\n" + b"+2D0-" * 1_000,
    "unknown charset": HEAD + b"Content-Type: text/plain; charset=x-none\n\n" + bytes(range(256)) * 100,
    "no headers": b"just text",
    "nothing": b"",
    "a colon": b":",
    "broken base64": HEAD + b"Content-Transfer-Encoding: base64\n\n" + b"=A=B*" * 100_000,
    "endless tags": HEAD + b"Content-Type: text/html\n\n" + b"<style><!--<a " * 100_000,
    "endless uuencode": HEAD + b"\n" + b"begin 644 x\n" * 50_000,
    "endless quotes": HEAD + b"\n" + b"On 1 Mar x wrote:\n> x\n" * 30_000,
    "endless status blocks": HEAD
    + b"Content-Type: message/delivery-status\n\n"
    + b"Final-Recipient: rfc822;a@b.c\nAction: failed\n\n" * 10_000,
    "a long line": HEAD + b"\n" + b"could not be delivered " * 100_000,
}


@pytest.mark.timeout(60)  # each takes a fraction of a second; without its bound, many minutes
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_mail_is_read_within_bounds(name: str) -> None:
    message = parse(HOSTILE[name], received_at=RECEIVED)
    classify(message, INBOX)
    assert len(message.attachments) <= parts.MOST_FILES
    assert len(message.part_types) <= structure.MOST_PARTS
    assert len(message.text) <= parts.TEXT_BOUND
    assert message.message_id
    _is_clean(message)


def test_what_is_cut_or_flattened_is_told() -> None:
    assert f"more than {structure.MOST_DEPTH} parts within parts" in parse(HOSTILE["30,000 levels"]).defects
    assert "truncated" in parse(HOSTILE["30,000 parts"]).marks


def test_a_digest_of_many_messages_is_not_deep() -> None:
    body = b"".join(b"--a\nContent-Type: message/rfc822\n\nSubject: %d\n\nhi\n" % n for n in range(120))
    message = parse(OUTER + body + b"--a--\n")
    assert names(message) == [f"{number}.eml" for number in range(120)]


@given(st.binary(max_size=2_000))
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=300)
def test_any_bytes_are_a_message(data: bytes) -> None:
    _is_clean(parse(data, received_at=RECEIVED))


FRAGMENTS = st.sampled_from(
    [
        b"From: a@b.example\n",
        b"Subject: =?utf-8?Q?=C3",
        b"?=\n",
        b"Content-Type: multipart/mixed; boundary=x\n",
        b"Content-Type: message/rfc822\n",
        b"Content-Type: message/delivery-status\n",
        b"Content-Type: text/html; charset=utf-7\n",
        b"Content-Transfer-Encoding: base64\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"--x\n",
        b"--x--\n",
        b"begin 644 a\n",
        b"end\n",
        b"Final-Recipient: rfc822; a@b.example\n",
        b"Action: failed\n",
        b"<!--",
        b"<style>",
        b"\0",
        b"\xff\xfe",
        b"\x1b$B",
        b"Content-Disposition: attachment; filename*0*=utf-8''%",
        b"Content-Type: application/ms-tnef\n",
        b"\x78\x9f\x3e\x22",
        b"Message-ID: <",
        b">\n",
        b"References: ,,<a@b> <",
        b"Date: ",
        b"Return-Path: <>\n",
        b"550 5.1.1 user unknown\n",
        b" ",
        b"\t",
        b":",
        b";",
        b'"',
    ]
)


@given(st.lists(st.one_of(FRAGMENTS, st.binary(max_size=20)), max_size=60))
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=500)
def test_any_pieces_of_mail_are_a_message_with_a_verdict(pieces: list[bytes]) -> None:
    message = parse(b"".join(pieces), received_at=RECEIVED)
    _is_clean(message)
    assert classify(message, INBOX).evidence


def _is_clean(message: ParsedMessage) -> None:
    """What goes to PostgreSQL holds neither NUL nor lone surrogates."""
    values = [
        message.message_id,
        message.subject,
        message.text,
        message.text_new,
        message.html,
        message.sender.name,
        message.sender.address,
    ]
    values += [value for pair in message.headers for value in pair] + [one.file_name for one in message.attachments]
    values += [
        *message.in_reply_to,
        *message.references,
        *message.returned,
        *message.defects,
        *message.content_type_parameters.values(),
    ]
    values += [value for block in message.delivery_status for pair in block.items() for value in pair]
    for value in values:
        assert "\0" not in value
        value.encode("utf-8")
