"""Every rule with a mail that it decides, the order of the rules, and the traps in which a sign alone would decide wrong."""

from __future__ import annotations

import pytest

from inboxops.core.classify import RULES, RULESET
from inboxops.core.model import VerdictKind
from inboxops.core.rules.own_loop import LOOP_HEADER
from inboxops.core.signing import SigningKey
from tests.core.mails import OWN, REPORT, block, mail, report, verdict

CASES = {
    "own_loop": mail(From="support@shop.example", **{LOOP_HEADER.replace("-", "_"): "1"}),
    "complaint.feedback_report": mail(
        "--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n--b--\n",
        Content_Type="multipart/report; report-type=feedback-report; boundary=b",
    ),
    "complaint.junk_mail_report": mail(
        "--b\nContent-Type: message/rfc822\n\nX-HmXmrOriginalRecipient: x@outlook.example\nSubject: x\n\nx\n--b--\n",
        From="staff@hotmail.com",
        Subject="complaint about message from 192.0.2.1",
        Content_Type="multipart/mixed; boundary=b",
    ),
    "complaint.unsubscribe": mail(
        "The program sent this email to unsubscribe from the message.",
        Subject="unsubscribe",
        Auto_Submitted="auto-replied",
    ),
    "bounce.certified_mail": mail(From="posta-certificata@pec.example", X_Ricevuta="errore-consegna"),
    "receipt.certified_mail": mail(From="posta-certificata@pec.example", X_Ricevuta="avvenuta-consegna"),
    "bounce.rejected_disposition": mail(
        "--b\n\nQuota exceeded\n--b\nContent-Type: message/disposition-notification\n\n"
        "Final-Recipient: rfc822; x@y.example\nDisposition: automatic-action/MDN-sent-automatically; deleted\n--b--\n",
        Subject="Automatically rejected mail",
        Content_Type="multipart/report; report-type=disposition-notification; boundary=b",
    ),
    "receipt.disposition_notification": mail(
        "--b\nContent-Type: message/disposition-notification\n\nDisposition: manual-action/MDN-sent-manually; displayed\n--b--\n",
        Content_Type="multipart/report; report-type=disposition-notification; boundary=b",
    ),
    "bounce.delivery_status": report(block("x@y.example", "failed", "5.1.1")),
    "delay.delivery_status": report(block("x@y.example", "delayed", "4.4.1")),
    "receipt.delivery_status": report(block("x@y.example", "delivered", "2.0.0")),
    "bounce.report_without_status": mail(
        "--b\n\nIt was not delivered to:\nx@y.example\n--b--\n", From="mailer-daemon@mx.example", **REPORT
    ),
    "bounce.signs": mail(
        "<x@y.example>:\nSorry, no such user. (#5.1.1)", From="MAILER-DAEMON@mx.example", Subject="failure notice"
    ),
    "bounce.without_server": mail(
        "--b\n\nThe message could not be delivered.\n"
        "--b\nContent-Type: message/rfc822\n\nFrom: support@shop.example\nMessage-ID: <x@y>\n\nx\n--b--\n",
        From="gateway@mx.example",
        Subject="Mail could not be delivered",
        Content_Type="multipart/mixed; boundary=b",
    ),
    "bounce.own_id_returned": mail(
        f"--b\n\nSee below.\n--b\nContent-Type: message/rfc822\n\nMessage-ID: <{OWN}>\n\nx\n--b--\n",
        From="gateway@mx.example",
        Subject="Delivery problem",
        Content_Type="multipart/mixed; boundary=b",
    ),
    "provider_notification": mail(
        '{"eventType": "Complaint", "mail": {"messageId": "x"}, "complaint": {"complainedRecipients": []}}'
    ),
    "spam.scanner": mail(X_Spam_Flag="YES"),
    "auto_reply.auto_submitted": mail(Auto_Submitted="auto-replied"),
    "auto_reply.exchange_rule": mail(
        X_MS_Exchange_Inbox_Rules_Loop="anna@cust.example",
        X_Auto_Response_Suppress="All",
        Auto_Submitted="auto-generated",
    ),
    "auto_reply.header": mail(X_Autoreply="yes"),
    "auto_reply.subject": mail(Subject="Out of office: hi", Return_Path="<>"),
    "auto_generated.auto_submitted": mail(Auto_Submitted="auto-generated"),
    "auto_generated.machine": mail(From="no-reply@shop.example"),
    "bulk.list": mail(List_Id="<birds.example>"),
    "bounce.status_in_text": mail(
        "Failed.\n\nFinal-Recipient: rfc822; x@y.example\nAction: failed\nStatus: 5.1.1\n",
        From="webmail.example",
        Subject="Undelivered Mail",
    ),
    "bounce.by_machine": mail(
        "--b\nContent-Type: text/plain\n\nmailbox is full\n--b\nContent-Type: message/rfc822\n\n"
        "From: support@acme.example\nTo: x@y.example\nMessage-ID: <o@acme.example>\nSubject: hi\n\nhi\n--b--\n",
        From="no-reply@carrier.example",
        To="support@acme.example",
        Subject="Your message",
        MIME_Version="1.0",
        Content_Type="multipart/mixed; boundary=b",
    ),
    "auto_reply.calendar": mail("BEGIN:VCALENDAR\nMETHOD:REPLY\n", Content_Type="text/calendar; method=REPLY"),
    "human": mail(),
}


@pytest.mark.parametrize("rule", CASES)
def test_every_rule_has_a_mail_that_it_decides(rule: str) -> None:
    found = verdict(CASES[rule])
    assert (found.rule, found.ruleset) == (rule, RULESET)
    assert found.evidence
    if "." in rule:
        assert found.kind.value == rule.partition(".")[0]


def test_no_rule_is_without_such_a_mail() -> None:
    assert {name for name, _ in RULES} - set(CASES) == {
        "spam.provider",
        "own_loop.canary",
    }  # its mail is in test_canary
    assert verdict(mail(), in_spam_folder=True).rule == "spam.provider"


# Auto-Submitted and its kin


@pytest.mark.parametrize("value", ["no", "No", "no; x", "NO (a person)", "(typed) no", ""])
def test_auto_submitted_no_is_a_person(value: str) -> None:
    assert verdict(mail(Auto_Submitted=value)).kind is VerdictKind.HUMAN


@pytest.mark.parametrize(
    "value", ["auto-replied", "Auto-Replied", "auto-replied (vacation)", "(x) auto-replied; owner-email=a", "vacation"]
)
def test_auto_submitted_auto_replied_is_an_auto_reply(value: str) -> None:
    assert verdict(mail(Auto_Submitted=value)).kind is VerdictKind.AUTO_REPLY


@pytest.mark.parametrize("value", ["auto-generated", "auto-notified", "AUTO-GENERATED", "x-else"])
def test_any_other_word_is_a_program(value: str) -> None:
    assert verdict(mail(Auto_Submitted=value)).kind is VerdictKind.AUTO_GENERATED


def test_suppression_of_responses_stands_on_human_mail_too() -> None:
    assert verdict(mail(X_Auto_Response_Suppress="All")).kind is VerdictKind.HUMAN


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Precedence", "auto_reply"),
        ("X-Precedence", "auto-reply"),
        ("X-Autogenerated", "Reply"),
        ("X-Apple-Action", "VACATION/x"),
        ("X-Autoresponder", "1"),
    ],
)
def test_headers_of_auto_responders(name: str, value: str) -> None:
    assert verdict(mail(**{name.replace("-", "_"): value})).kind is VerdictKind.AUTO_REPLY


@pytest.mark.parametrize(
    "subject",
    [
        "Out of Office: hi", "Automatic reply: hi", "Abwesenheitsnotiz: hi", "Réponse automatique : hi", "Respuesta automática: hi",
        "Risposta automatica: hi", "Resposta automática: hi", "Automatisch antwoord: hi", "Автоматический ответ: hi",
        "Odpowiedź automatyczna: hi", "Autosvar: hi", "自動返信: hi", "自动回复: hi", "Automaattinen vastaus: hi",
        "Automatische Rückantwort: hi", "Accusé de réception automatique",
    ],
)  # fmt: skip
def test_out_of_office_subjects_in_many_languages_with_a_null_return_path(subject: str) -> None:
    assert verdict(mail(Subject=subject, Return_Path="<>")).rule == "auto_reply.subject"
    assert verdict(mail(Subject=subject, In_Reply_To=f"<{OWN}>")).rule == "auto_reply.subject"
    assert verdict(mail(Subject=subject)).kind is VerdictKind.HUMAN


def test_exchanges_automatic_reply_says_auto_generated() -> None:
    message = mail(Subject="Automatic reply: hi", Auto_Submitted="auto-generated", X_Auto_Response_Suppress="All")
    assert verdict(message).kind is VerdictKind.AUTO_REPLY


def test_old_exchange_and_vacation_programs_are_known_by_their_subject_and_one_header() -> None:
    exchange = {"X_Auto_Response_Suppress": "All", "In_Reply_To": "<x@y>"}
    assert verdict(mail(Subject="Out of Office: hi", **exchange)).kind is VerdictKind.AUTO_REPLY
    assert verdict(mail(Subject="I am out of office next week", **exchange)).kind is VerdictKind.HUMAN
    assert verdict(mail(Subject="Out of office", Precedence="bulk")).kind is VerdictKind.AUTO_REPLY
    assert verdict(mail(Subject="Out of office", Precedence="bulk", List_Id="<x.y>")).kind is VerdictKind.BULK


@pytest.mark.parametrize(
    ("subject", "text", "headers"),
    [
        (
            "AUTO: Jan Huber is out of the office (returning 12.05.2026)",
            "Back soon",
            {"Auto_Submitted": "auto-generated"},
        ),
        ("AUTO: Jan Huber ist außer Haus (Rückkehr am 12.05.2026)", "Bis bald", {"Auto_Submitted": "auto-generated"}),
        (
            "AUTO : Jan Huber est absent du bureau (retour 12/05/2026)",
            "A bientôt",
            {"Auto_Submitted": "auto-generated"},
        ),
        (
            "Jan Huber is out of the office.",
            'x\n\nNote: This is an automated response to your message  "hi" sent on 1.5.',
            {},
        ),
        ("自动回复:Re: hi", "您好", {"In_Reply_To": "<x@y.example>"}),
    ],
)
def test_programs_that_answer_with_little_in_their_headers(subject: str, text: str, headers: dict[str, str]) -> None:
    assert verdict(mail(text, Subject=subject, **headers)).rule == "auto_reply.subject"
    assert verdict(mail(text, Subject=f"Re: {subject}", In_Reply_To="<x@y.example>")).kind is VerdictKind.HUMAN


@pytest.mark.parametrize(
    ("kind", "verdict_kind"),
    [
        ("accettazione", VerdictKind.RECEIPT),
        ("presa-in-carico", VerdictKind.RECEIPT),
        ("avvenuta-consegna", VerdictKind.RECEIPT),
        ("preavviso-errore-consegna", VerdictKind.DELAY),
        ("errore-consegna", VerdictKind.BOUNCE),
        ("non-accettazione", VerdictKind.BOUNCE),
    ],
)
def test_the_receipts_of_italian_certified_mail_are_about_ours(kind: str, verdict_kind: VerdictKind) -> None:
    text = """nel messaggio proveniente da "support@shop.example"\ned indirizzato all'utente "x@y.example"\n5.1.1 - non valido"""
    headers = {"From": "posta-certificata@pec.example", "X_Riferimento_Message_ID": f"<{OWN}>", "X_Ricevuta": kind}
    found = verdict(mail(text, **headers))
    assert found.kind is verdict_kind
    assert found.bounce is not None
    assert found.bounce.original_ids == (OWN,)
    if verdict_kind is not VerdictKind.RECEIPT:
        assert found.bounce.recipients == ("x@y.example",)
    envelope = {
        **headers,
        "X_Ricevuta": "",
        "X_Trasporto": "posta-certificata",
        "Subject": "POSTA CERTIFICATA: reclamo",
    }
    assert verdict(mail("Buongiorno", **envelope)).kind is VerdictKind.HUMAN


def test_a_null_return_path_alone_is_a_program_and_no_bounce() -> None:
    assert verdict(mail(Return_Path="<>")).kind is VerdictKind.AUTO_GENERATED


def test_an_absent_persons_program_that_speaks_of_mail_that_failed_is_no_bounce() -> None:
    text = "I am away. This mailbox is not available and mail is not delivered to anyone else."
    assert verdict(mail(text, Subject="Out of office", Return_Path="<>")).kind is VerdictKind.AUTO_REPLY
    answer = mail(text, Subject="Automatic reply: Undeliverable: x", Return_Path="<>", Auto_Submitted="auto-replied")
    assert verdict(answer).kind is VerdictKind.AUTO_REPLY


# People, whatever they write about


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("Fwd: Undelivered Mail Returned to Sender", "This is the mail system.\n<x@shop.example>: 550 5.1.1 unknown"),
        ("Re: Mail delivery failed", "Your server says 550 5.1.1, user unknown:\n<x@shop.example>: unknown"),
        (
            "Mail delivery failed",
            "Hello,\n\nthis came back:\n\nDelivery to the following recipient failed:\n\n  x@shop.example\n\nAnna",
        ),
        ("Delivery failed", "My parcel could not be delivered. Error code 550. Write to anna@other.example"),
        ("Returned mail-order shoes", "I returned them; undeliverable, the label said. Order 554 12"),
        ("Zustellung fehlgeschlagen", "Das Paket konnte nicht zugestellt werden."),
        ("Delivery status of my order", "Where is it?"),
        ("I am on vacation next week", "Please wait with the delivery."),
    ],
)
def test_people_write_about_mail_and_parcels_that_failed(subject: str, text: str) -> None:
    assert verdict(mail(text, Subject=subject)).kind is VerdictKind.HUMAN


def test_a_person_attaches_a_bounce() -> None:
    inner = (
        "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example\nSubject: Undelivered Mail\nAuto-Submitted: auto-replied\n"
        f"Message-ID: <b@mx>\n\n<{OWN}>"
    )
    body = f"--b\nContent-Type: text/plain\n\nWhy did this come?\n--b\nContent-Type: message/rfc822\n\n{inner}\n--b--\n"
    for subject in ("Fwd: Undelivered Mail", "Undelivered Mail", "question"):
        assert (
            verdict(mail(body, Subject=subject, Content_Type="multipart/mixed; boundary=b")).kind is VerdictKind.HUMAN
        )


def test_postmaster_is_also_a_person() -> None:
    text = "Good morning,\n\nsince Monday we answer 550 5.7.1 to you: your SPF record is wrong.\n\nJan"
    for subject in ("Your server", "Mail delivery problem"):
        assert verdict(mail(text, From="Jan <postmaster@dijk.example>", Subject=subject)).kind is VerdictKind.HUMAN


@pytest.mark.parametrize("report_type", ["tlsrpt", "dmarc"])
def test_reports_about_transport_and_policy_are_no_bounces(report_type: str) -> None:
    message = mail(
        "--b\n\nreport\n--b--\n",
        From="reports@mx.example",
        Content_Type=f"multipart/report; report-type={report_type}; boundary=b",
    )
    assert verdict(message).kind is VerdictKind.AUTO_GENERATED


def test_a_dmarc_summary_is_a_program() -> None:
    message = mail(From="dmarc@mx.example", Subject="Report Domain: shop.example Submitter: mx.example Report-ID: 1")
    assert verdict(message).kind is VerdictKind.AUTO_GENERATED


def test_an_empty_sender_is_no_evidence() -> None:
    assert verdict(mail(From="")).kind is VerdictKind.HUMAN


# Own mail, spam, lists


def test_only_our_own_mailbox_makes_a_loop() -> None:
    assert verdict(mail(From="support@shop.example", Message_ID=f"<{OWN}>")).kind is VerdictKind.OWN_LOOP
    assert verdict(mail(From="eve@evil.example", Message_ID=f"<{OWN}>")).kind is VerdictKind.HUMAN
    assert verdict(mail(From="support@shop.example")).kind is VerdictKind.HUMAN
    assert (
        verdict(mail(From="support@shop.example", Message_ID=f"<{OWN}>"), signing_key=SigningKey(b"other")).kind
        is VerdictKind.HUMAN
    )


@pytest.mark.parametrize(
    ("name", "value", "spam"),
    [
        ("X-Spam-Flag", "YES", True),
        ("X-Spam-Status", "Yes, score=9", True),
        ("X-Spam-Status", "No, score=1", False),
        ("X-SES-Spam-Verdict", "FAIL", True),
        ("X-SES-Spam-Verdict", "PASS", False),
        ("X-MS-Exchange-Organization-SCL", "6", True),
        ("X-MS-Exchange-Organization-SCL", "-1", False),
        ("X-MS-Exchange-Organization-SCL", "1", False),
    ],
)
def test_the_scanner_that_the_inbox_names_is_believed_when_it_says_spam(name: str, value: str, spam: bool) -> None:
    message = mail(**{name.replace("-", "_"): value})
    assert (verdict(message, spam_headers=(name,)).kind is VerdictKind.SPAM) is spam
    assert verdict(message, spam_headers=()).kind is VerdictKind.HUMAN


def test_a_bounce_of_spam_is_a_bounce_and_spam_to_a_list_is_spam() -> None:
    assert verdict(report(block("x@y.example", "failed")), in_spam_folder=True).kind is VerdictKind.BOUNCE
    assert verdict(mail(List_Id="<x.example>"), in_spam_folder=True).kind is VerdictKind.SPAM


@pytest.mark.parametrize("value", ["bulk", "List", "junk"])
def test_precedence_marks_bulk(value: str) -> None:
    assert verdict(mail(Precedence=value)).kind is VerdictKind.BULK


@pytest.mark.parametrize(
    "local",
    [
        "noreply",
        "no-reply",
        "do_not_reply",
        "DoNotReply",
        "notifications",
        "billing-noreply",
        "noreply+12",
        "ne-pas-repondre",
    ],
)
def test_addresses_nobody_reads(local: str) -> None:
    assert verdict(mail(From=f"{local}@cust.example")).kind is VerdictKind.AUTO_GENERATED


@pytest.mark.parametrize("local", ["nora.reply", "notary", "anna", "auto", "reply", "replying.no", "ruth.root"])
def test_addresses_that_people_have(local: str) -> None:
    assert verdict(mail(From=f"{local}@cust.example")).kind is VerdictKind.HUMAN
