"""Where returned messages hide, and bounces of carriers and services; answers to invitations; files without names."""

from __future__ import annotations

import pytest

from inboxops.core.classify import classify
from inboxops.core.mime import parse
from inboxops.core.model import ParsedMessage, VerdictKind
from tests.core.mails import INBOX

HEAD = (
    "Received: from a.example by b.example; Mon, 2 Nov 2026 09:13:00 +0000\nMessage-ID: <ours.7@desk.example>\n"
    "From: Desk <help@desk.example>\nTo: lost@there.example\nSubject: Re: your order\n"
)
REPORT = "From: MAILER-DAEMON@mx.example\nTo: help@desk.example\nSubject: Undelivered Mail\nReturn-Path: <>\n"


def made(headers: str, *parts: str, kind: str = "mixed") -> ParsedMessage:
    body = "".join(f"--b\n{part}\n" for part in parts) + "--b--\n"
    return parse(f"{headers}MIME-Version: 1.0\nContent-Type: multipart/{kind}; boundary=b\n\n{body}".encode())


PLACES = {
    "no blank line": f"Content-Type: message/rfc822\n{HEAD}\nHello",
    "no header of the part": f"{HEAD}\nHello",
    "headers only, no blank line": f"Content-Type: text/rfc822-headers\n{HEAD}",
    "a text file": f"Content-Type: text/plain; name=details.txt\nContent-Disposition: attachment; filename=details.txt\n\n{HEAD}",
    "a file named as a mail": f'Content-Type: application/octet-stream; name="original.eml"\n\n{HEAD}\nHello',
    "an unknown multipart": f"Content-Type: multipart/x-returned; boundary=i\n\n--i\nContent-Type: message/rfc822\n\n{HEAD}\nHello\n--i--",
}


@pytest.mark.parametrize("part", PLACES.values(), ids=PLACES)
def test_the_id_of_what_came_back_is_found_wherever_it_stands(part: str) -> None:
    message = made(REPORT, "Content-Type: text/plain\n\nUser unknown: <lost@there.example>", part)
    verdict = classify(message, INBOX)
    assert verdict.kind is VerdictKind.BOUNCE
    assert verdict.bounce is not None
    assert verdict.bounce.original_ids[0] == "ours.7@desk.example"
    assert verdict.bounce.recipients == ("lost@there.example",)


def test_a_service_without_an_address_that_writes_the_fields_into_its_text() -> None:
    text = "We tried.\n\nReporting-MTA: dns; out.example\n\nFinal-Recipient: rfc822; lost@there.example\nAction: failed\nStatus: 5.1.1\n"
    message = parse(f"From: webmail.example\nTo: help@desk.example\nSubject: Undelivered Mail\n\n{text}".encode())
    verdict = classify(message, INBOX)
    assert (verdict.kind, verdict.rule) == (VerdictKind.BOUNCE, "bounce.status_in_text")
    assert verdict.bounce is not None
    assert verdict.bounce.recipients == ("lost@there.example",)


def test_a_person_who_pastes_such_fields_stays_one() -> None:
    text = "Hi, I got this:\n\nFinal-Recipient: rfc822; lost@there.example\nAction: failed\nStatus: 5.1.1\n\nWhat now?"
    for subject in ("Re: Undelivered Mail", "my mail to you", "Fwd: Undelivered Mail"):
        message = parse(f"From: Ann <ann@home.example>\nTo: help@desk.example\nSubject: {subject}\n\n{text}".encode())
        assert classify(message, INBOX).kind is VerdictKind.HUMAN, subject


def test_a_carrier_that_writes_as_no_reply() -> None:
    headers = "From: no-reply@carrier.example\nTo: help@desk.example\nSubject: Message status\n"
    message = made(
        headers, "Content-Type: text/plain\n\nCould not be delivered to: <lost@there.example>", PLACES["no blank line"]
    )
    verdict = classify(message, INBOX)
    assert (verdict.kind, verdict.rule) in {
        (VerdictKind.BOUNCE, "bounce.by_machine"),
        (VerdictKind.BOUNCE, "bounce.signs"),
        (VerdictKind.BOUNCE, "bounce.without_server"),
    }


def test_a_machine_that_sends_somebody_elses_mail_along_is_no_bounce() -> None:
    headers = "From: no-reply@archive.example\nTo: help@desk.example\nSubject: Your export\n"
    other = HEAD.replace("help@desk.example", "someone@else.example")
    message = made(
        headers, "Content-Type: text/plain\n\nHere it is.", f"Content-Type: message/rfc822\n\n{other}\nHello"
    )
    assert classify(message, INBOX).kind is VerdictKind.AUTO_GENERATED


@pytest.mark.parametrize("method", ["REPLY", "COUNTER"])
@pytest.mark.parametrize("declared", [True, False])
def test_an_answer_to_an_invitation_is_a_calendars(method: str, declared: bool) -> None:
    kind = f"text/calendar; method={method}" if declared else "text/calendar"
    calendar = f"BEGIN:VCALENDAR\nMETHOD:{method}\nBEGIN:VEVENT\nUID:1\nEND:VEVENT\nEND:VCALENDAR\n"
    raw = f"From: Ben <ben@cal.example>\nSubject: Accepted: Demo\nContent-Type: {kind}\n\n{calendar}"
    assert classify(parse(raw.encode()), INBOX).kind is VerdictKind.AUTO_REPLY


def test_an_invitation_is_a_persons() -> None:
    calendar = "BEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VEVENT\nUID:1\nEND:VEVENT\nEND:VCALENDAR\n"
    raw = f"From: Ben <ben@cal.example>\nSubject: Demo\nContent-Type: text/calendar; method=REQUEST\n\n{calendar}"
    assert classify(parse(raw.encode()), INBOX).kind is VerdictKind.HUMAN


NAMES = {
    'Content-Type: image/jpeg\nContent-Disposition: inline; filename="=?utf-8?b??="\nContent-ID: <i@x>': ["image.jpg"],
    "Content-Type: application/octet-stream\nContent-Disposition: attachment": ["attachment.bin"],
    "Content-Type: application/pdf": ["attachment.pdf"],
    "Content-Type: application/vnd.openxmlformats-officedocument.wordprocessingml.document": ["attachment.docx"],
    "Content-Type: application/vnd.oasis.opendocument.spreadsheet": ["attachment.ods"],
    "Content-Type: audio/x-m4a\nContent-Disposition: attachment": ["audio.m4a"],
    "Content-Type: audio/wav\nContent-Disposition: attachment": ["audio.wav"],
    "Content-Type: text/calendar; method=REQUEST\nContent-Disposition: attachment": ["invite.ics"],
    "Content-Type: image/png\nContent-ID: <i@x>": [""],
    "Content-Type: application/pgp-signature": [""],
    'Content-Type: application/zip; x-mode=0600;\nname="report_7.zip"\nContent-Disposition: attachment; filename="report_7.zip"': [
        "report_7.zip"
    ],
}


@pytest.mark.parametrize("headers", NAMES)
def test_a_file_without_a_name_gets_one_that_says_what_it_is(headers: str) -> None:
    message = made("From: p@x.example\n", "Content-Type: text/plain\n\nsee file", f"{headers}\n\nAAAA")
    assert [file.file_name for file in message.attachments] == NAMES[headers]
