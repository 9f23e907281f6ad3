"""Mail that looks like a machine's and is a person's, and the reverse: each kind next to the mail that comes closest to it."""

from __future__ import annotations

import pytest

from inboxops.core.model import VerdictKind
from tests.core.mails import OWN, block, mail, verdict

OURS = {"In_Reply_To": f"<{OWN}>"}
MIXED = {"MIME_Version": "1.0", "Content_Type": "multipart/mixed; boundary=b"}
NULL = {"Return_Path": "<>"}

# Answers to tickets that are about absence, and absent people's programs


@pytest.mark.parametrize(
    "subject",
    [
        "AW: Urlaubsvertretung eintragen [#12]",
        "Re: Automatic reply is not working [#12]",
        "RE: Out of Office: wrong dates [#12]",
        "[EXTERNAL] Re: Automatic reply [#12]",
        "Ynt: Otomatik yanıt kapatılamıyor [#12]",
        "Vá: Automatikus válasz [#12]",
        "Res: Resposta automática [#12]",
        "Trả lời: Trả lời tự động [#12]",
        "رد: الرد التلقائي [#12]",
        "Urlaubsvertretung: wer macht das? [#12]",
        "On vacation from Monday [#12]",
        "Automatic reply is not working [#12]",
    ],
)
def test_people_answer_tickets_that_are_about_absence(subject: str) -> None:
    assert verdict(mail("It still fails.", Subject=subject, **OURS)).kind is VerdictKind.HUMAN
    outlook = {"X_Auto_Response_Suppress": "DR, OOF, AutoReply"}
    assert verdict(mail("It still fails.", Subject=subject, **OURS, **outlook)).kind is VerdictKind.HUMAN


@pytest.mark.parametrize(
    "phrase",
    [
        "Automatic reply", "Out of Office", "Automatische Antwort", "Abwesenheitsnotiz", "Réponse automatique",
        "Respuesta automática", "Fuera de la oficina", "Resposta automática", "Resposta automàtica",
        "Erantzun automatikoa", "Risposta automatica", "Automatisch antwoord", "Outomatiese antwoord",
        "Автоматический ответ", "Автоматична відповідь", "Аўтаматычны адказ", "Автоматичен отговор",
        "Аутоматски одговор", "Автоматски одговор", "Автоматты жауап", "Odpowiedź automatyczna", "Autosvar",
        "Automatisk svar", "Automatiskt svar", "Sjálfvirkt svar", "Automaattinen vastaus", "Automaatvastus",
        "Automātiskā atbilde", "Automatinis atsakymas", "Automatická odpověď", "Automatická odpoveď",
        "Samodejni odgovor", "Automatski odgovor", "Automatikus válasz", "Otomatik yanıt", "Avtomatik cavab",
        "Răspuns automat", "Përgjigje automatike", "Αυτόματη απάντηση", "ავტომატური პასუხი", "Ավտոմատ պատասխան",
        "Balasan otomatis", "Balasan automatik", "Awtomatikong tugon", "Trả lời tự động", "การตอบกลับอัตโนมัติ",
        "स्वचालित उत्तर", "自動応答", "自動返信", "自动答复", "自动回复", "自動回覆", "자동 회신", "תשובה אוטומטית",
        "מענה אוטומטי", "الرد التلقائي", "رد تلقائي", "پاسخ خودکار",
    ],
)  # fmt: skip
def test_outlooks_automatic_reply_in_its_languages(phrase: str) -> None:
    exchange = {"Auto_Submitted": "auto-generated", "X_Auto_Response_Suppress": "All"}
    for subject in (f"{phrase}: Re: Pump [#12]", f"{phrase} : Re: Pump [#12]", f"[EXT] {phrase}: Pump", phrase):
        assert verdict(mail(Subject=subject, **OURS, **exchange)).kind is VerdictKind.AUTO_REPLY
        assert verdict(mail(Subject=subject, **OURS)).kind is VerdictKind.AUTO_REPLY
    assert verdict(mail(Subject=f"Re: {phrase} [#12]", **OURS)).kind is VerdictKind.HUMAN


def test_a_program_that_writes_in_an_answer_to_a_ticket_about_absence_is_no_absent_person() -> None:
    desk = {"Auto_Submitted": "auto-generated", "X_Auto_Response_Suppress": "All"}
    message = mail("Your request was changed.", Subject="Re: Automatic reply broken [#12]", **OURS, **desk)
    assert verdict(message).kind is VerdictKind.AUTO_GENERATED


def test_a_program_that_writes_about_holidays_is_no_absent_person() -> None:
    leave = {"Auto_Submitted": "auto-generated", "X_Auto_Response_Suppress": "All"}
    message = mail("Please approve.", Subject="Jan asks for: on holiday in May", **leave)
    assert verdict(message).kind is VerdictKind.AUTO_GENERATED
    notes = mail("Back soon", Subject="AUTO: Jan Huber is out of the office (returning 12.05.2026)", **leave)
    assert verdict(notes).kind is VerdictKind.AUTO_REPLY


# Inbox rules of Exchange


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"Auto_Submitted": "no"},
        {"Subject": "FW: Order 17", "From": "Info <info@desk.example>", "Auto_Submitted": "auto-generated"},
        {"Subject": "WG: Bestellung 17", "From": "Info <info@desk.example>", **NULL},
        {"Subject": "Re: Order 17", **OURS},
    ],
)
def test_mail_that_an_inbox_rule_passes_on_is_its_authors(more: dict[str, str]) -> None:
    headers = {"X_MS_Exchange_Inbox_Rules_Loop": "info@desk.example", "X_Auto_Response_Suppress": "DR, OOF, AutoReply"}
    found = verdict(mail("Where is it?", **({"Subject": "Order 17"} | headers | more)))
    assert found.kind in {VerdictKind.HUMAN, VerdictKind.AUTO_GENERATED}


def test_a_shops_mail_that_an_inbox_rule_redirects_is_a_programs() -> None:
    headers = {"X_MS_Exchange_Inbox_Rules_Loop": "info@desk.example", "X_Auto_Response_Suppress": "All"}
    message = mail(
        "Thank you", From="shop@shop.example", Subject="Order 17", Auto_Submitted="auto-generated", **headers
    )
    assert verdict(message).kind is VerdictKind.AUTO_GENERATED


@pytest.mark.parametrize(
    "more",
    [
        {"Auto_Submitted": "auto-generated", "Subject": "We have your mail"},
        {**NULL, "Subject": "Ich bin wieder da am Montag"},
        {"Subject": "Automatic reply: Order 17", "X_MS_Exchange_Inbox_Rules_Loop": "anna@cust.onmicrosoft.example"},
        {"Auto_Submitted": "auto-generated", "X_MS_Exchange_Inbox_Rules_Loop": "a@cust.onmicrosoft.example", **OURS},
    ],
)
def test_what_an_inbox_rule_answers_is_an_automatic_reply(more: dict[str, str]) -> None:
    headers = {"X_MS_Exchange_Inbox_Rules_Loop": "anna@cust.example", "X_Auto_Response_Suppress": "All"}
    assert verdict(mail("I am away", **(headers | more))).rule == "auto_reply.exchange_rule"


# People with a server's name or address


@pytest.mark.parametrize(
    ("author", "text"),
    [
        ('"Jan Huber (Systemadministrator)" <jan@kunde.example>', "beim Login kommt 'permission denied'"),
        ("Administrateur Système <admin@kunde.example>", "L'erreur revient: error code 12, permission denied"),
        ("Acme Mail Server Team <team@acme.example>", "The import ends with error code 12"),
        ("System Administrator <it@acme.example>", "Your mail to anna@acme.example was rejected: 550 5.7.1 policy"),
        ("Jan Kowalski <postmaster@kunde.example>", "mail to anna@other.example is rejected: 550 5.7.1"),
        ("postmaster@kunde.example", "mail to anna@other.example is rejected: 550 5.7.1"),
    ],
)
def test_people_who_look_after_servers_are_people(author: str, text: str) -> None:
    path = {"Return_Path": f"<{author.rpartition(' ')[2].strip('<>')}>"}
    assert verdict(mail(text, From=author, Subject="Re: mail problem [#12]", **OURS)).kind is VerdictKind.HUMAN
    assert verdict(mail(text, From=author, Subject="Re: mail problem [#12]", **OURS, **path)).kind is VerdictKind.HUMAN
    if not author.startswith("postmaster"):
        for subject in ("Question", "Mail delivery problem"):
            assert (
                verdict(mail(f"Hello,\n\n{text}\n\nJan", From=author, Subject=subject, **path)).kind
                is VerdictKind.HUMAN
            )


def test_a_postmaster_who_sends_a_bounce_along_is_a_person() -> None:
    returned = f"From: support@shop.example\nTo: jan@kunde.example\nMessage-ID: <{OWN}>\nSubject: hi\n\nhi\n"
    body = f"--b\n\nOur filter took this for spam.\n--b\nContent-Type: message/rfc822\n\n{returned}\n--b--\n"
    message = mail(body, From="Jan Kowalski <postmaster@kunde.example>", Subject="Your mail", **MIXED)
    assert verdict(message).kind is VerdictKind.HUMAN


@pytest.mark.parametrize(
    ("author", "more"),
    [
        ("Postmaster <postmaster@mx.example>", {}),
        ("Symantec Mail Security <postmaster@mx.example>", {}),
        ("Jan Kowalski <postmaster@mx.example>", NULL),
        ("Mail Delivery System <admin@mx.example>", {}),
        ("Mail Delivery Service <admin@mx.example>", {}),
        ("System Administrator <admin@mx.example>", NULL),
        ("Mail Server <no-reply@mx.example>", {}),
        ("Mail Administrator", {}),
        ("MAILER-DAEMON@mx.example", OURS),
        ("MAILER-DAEMON@mx.example", {"Subject": "Re: hi", **OURS}),
        ("postmaster@mx.example", OURS),
        ("postmaster@mx.example", {"Subject": "[Bounce] Re: hi [#12]"}),
    ],
)
def test_servers_with_those_names_are_servers(author: str, more: dict[str, str]) -> None:
    text = "Your message was not delivered to:\n\n  x@y.example\n\n550 5.1.1 user unknown"
    found = verdict(mail(text, **({"From": author, "Subject": "Undeliverable: hi"} | more)))
    assert found.kind is VerdictKind.BOUNCE
    assert found.bounce is not None
    assert found.bounce.recipients == ("x@y.example",)


# Addresses that nobody reads, and people whose names come close


@pytest.mark.parametrize(
    "local",
    [
        "noreply", "No.Reply", "no-reply+ab12", "orders-noreply", "noreply-orders", "noresponse", "do_not_reply", "noresponder",
        "nepasrepondre", "ne-pas-repondre", "keine-antwort", "keineantwort", "bitte-nicht-antworten", "naoresponda",
        "nao-responder", "nonrispondere", "niet-beantwoorden", "svarainte", "svar-ikke", "neodpovidat", "nie-odpowiadaj",
        "voicemail", "asterisk",
    ],
)  # fmt: skip
def test_what_tells_nobody_to_answer_is_a_machine(local: str) -> None:
    assert verdict(mail("Order 12", From=f"Acme <{local}@acme.example>")).kind is VerdictKind.AUTO_GENERATED


@pytest.mark.parametrize(
    "local",
    [
        "nora.reply", "norman.response", "notreplying", "alertagomez", "max.root", "bouncehouse", "nori.notify", "norman.mailer",
        "nicht.antworter", "svara", "system", "webmaster", "abuse",
    ],
)  # fmt: skip
def test_people_whose_names_come_close_to_a_machines_are_people(local: str) -> None:
    assert verdict(mail("Where is my order?", From=f"A. Person <{local}@cust.example>")).kind is VerdictKind.HUMAN


# Parcels and orders that did not come


@pytest.mark.parametrize(
    "headers",
    [
        {"From": "Anna Beck <anna@work.example>"},
        {"From": "Shop form <form@desk.example>", "Reply_To": "anna.beck@private.example"},
        {"From": "Web Mail System <no-reply@desk.example>", "Reply_To": "anna.beck@private.example"},
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        "My order was not delivered.\nAnna Beck\nanna.beck@private.example",
        "My order was not delivered.\n\nanna.beck@private.example",
        "Meine Bestellung wurde nicht zugestellt.\nanna.beck@private.example\nTel. 0421 5550",
    ],
)
def test_who_signs_with_another_address_below_a_lost_parcel_is_a_person(headers: dict[str, str], text: str) -> None:
    kind = verdict(mail(text, **({"Subject": "Delivery problem"} | headers))).kind
    assert kind in {VerdictKind.HUMAN, VerdictKind.AUTO_GENERATED}


@pytest.mark.parametrize(
    "text",
    [
        "Your message could not be delivered to the following recipients:\n\nx@y.example\n",
        "Zustellung an folgende Empfänger fehlgeschlagen, sie ist nicht zustellbar:\n<x@y.example>\n",
        "The message was not delivered.\n<x@y.example>: 550 5.1.1 unknown\n",
    ],
)
def test_a_gateway_that_opens_with_the_failure_and_its_address_is_none(text: str) -> None:
    assert verdict(mail(text, From="gateway@mx.example", Subject="Delivery failure")).rule == "bounce.without_server"


@pytest.mark.parametrize("subject", ["Undelivered Mail Returned to Sender", "Mail delivery failed", "What is this?"])
def test_who_pastes_a_report_is_a_person(subject: str) -> None:
    fields = block("help@shop.example", "failed", "5.1.1")
    pasted = f"Delivery to the following recipient failed:\n\n<help@shop.example>\n\n{fields}"
    ours = frozenset({"support@shop.example", "help@shop.example"})
    assert verdict(mail(f"Hello,\n\nthis came back:\n\n{pasted}\n\nAnna", Subject=subject)).kind is VerdictKind.HUMAN
    assert verdict(mail(f"{pasted}\n\nWhy?\n\nAnna", Subject=subject), own_addresses=ours).kind is VerdictKind.HUMAN
    for program in ({"User_Agent": "Mozilla Thunderbird"}, {"X_Mailer": "Microsoft Outlook 16.0"}):
        assert verdict(mail(f"{pasted}\n\nWhy?\n\nAnna", Subject=subject, **program)).kind is VerdictKind.HUMAN
    for why in ("FYI", "Please see below, my mail to you bounced."):
        assert verdict(mail(f"{why}\n\n{pasted}", Subject=subject)).kind is VerdictKind.HUMAN


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Recipient: x@y.example\nReason: 550 5.1.1 No such user", VerdictKind.BOUNCE),
        ("Your parcel for x@y.example was not delivered. Tel. 0421 5550", VerdictKind.AUTO_GENERATED),
        ("Our server said: 550 5.7.1", VerdictKind.AUTO_GENERATED),
    ],
)
def test_a_service_that_writes_as_no_reply_quotes_the_server_that_refused(text: str, kind: VerdictKind) -> None:
    headers = {"From": "Outgoing <no-reply@service.example>", "Subject": "Delivery failure: hi"}
    assert verdict(mail(text, **headers)).kind is kind
    filled_in = f"Name: Carla\nEmail: carla@kunde.example\nMessage: {text}"
    for form in (mail(text, Reply_To="carla@kunde.example", **headers), mail(filled_in, **headers)):
        assert verdict(form).kind is VerdictKind.AUTO_GENERATED


@pytest.mark.parametrize("path", [{}, NULL])
@pytest.mark.parametrize("subject", ["Contact", "Delivery failure"])
def test_who_tells_of_a_bounce_in_a_form_is_a_person(path: dict[str, str], subject: str) -> None:
    told = f"Mail to bob@other.example was not delivered: 550 5.1.1 unknown\n\n{block('bob@other.example', 'failed', '5.1.1')}"
    for sender in ("Shop <noreply@shop.example>", "WordPress <wordpress@shop.example>"):
        form = mail(told, From=sender, Reply_To="carla@kunde.example", Subject=subject, **path)
        assert verdict(form).kind in {VerdictKind.HUMAN, VerdictKind.AUTO_GENERATED}


def test_who_attaches_our_mail_with_his_mail_program_is_a_person() -> None:
    returned = f"From: support@shop.example\nTo: anna@cust.example\nMessage-ID: <{OWN}>\nSubject: hi\n\nhi\n"
    body = f"--b\n\nMy answer was not delivered.\n--b\nContent-Type: message/rfc822\n\n{returned}\n--b--\n"
    message = mail(body, Subject="Delivery failed", User_Agent="Mozilla Thunderbird", **MIXED)
    assert verdict(message).kind is VerdictKind.HUMAN


# A null reverse-path


@pytest.mark.parametrize(
    "text",
    [
        "I am back on Monday. Tel. +49 421 5550",
        "I have left the company, this address is no longer in use. Please write to bob@cust.example.",
        "This mailbox is not available.\n\nbob@cust.example",
        "Thank you.\n\nIf you are not the intended recipient, return this mail to info@cust.example.",
    ],
)
@pytest.mark.parametrize(
    "headers",
    [
        {"Subject": "Auto: Order 12", "Auto_Submitted": "auto-replied (vacation)"},
        {"Subject": "Order 12: delivery problem", "Auto_Submitted": "auto-replied"},
        {"Subject": "Re: Order 12", "X_Autoreply": "yes"},
    ],
)
def test_an_absent_persons_program_is_no_bounce(text: str, headers: dict[str, str]) -> None:
    assert verdict(mail(text, **headers, **NULL, **OURS)).kind is VerdictKind.AUTO_REPLY


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("Backup failed on srv3", "error code 5: permission denied"),
        ("Backup failed on srv3", "error code 5: permission denied for backup@srv3.example"),
        ("Delivery status of your order", "Your parcel is on its way. Tel. 421 5550"),
        ("Invoice 12", "Total: 550.00 EUR\n\n452 Example Road\n\ninfo@cust.example"),
    ],
)
def test_programs_with_a_null_reverse_path_write_of_other_failures(subject: str, text: str) -> None:
    assert verdict(mail(text, Subject=subject, **NULL)).kind is VerdictKind.AUTO_GENERATED


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("Undeliverable: hi", "Your message to x@y.example was not delivered."),
        (
            "hi",
            "Dear sender,\n\nthis was returned by its server.\n\n<x@y.example>: host mx.y.example said: 550 5.1.1 unknown",
        ),
        ("hi", "Your message could not be delivered to:\nx@y.example"),
    ],
)
def test_a_bounce_with_a_null_reverse_path_alone_names_who_did_not_get_it(subject: str, text: str) -> None:
    found = verdict(mail(text, From="gateway@mx.example", Subject=subject, **NULL))
    assert found.kind is VerdictKind.BOUNCE
    assert found.bounce is not None
    assert found.bounce.recipients == ("x@y.example",)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("550 User unknown", True),
        ("host mx.y.example said: 452 Too many", True),
        ("<<< 554-Message refused", True),
        ("Remote server returned 550 <x@y.example> unknown", True),
        ("Tel. +49 421 5550", False),
        ("Phone: 421 5550", False),
        ("we ordered 550 screws", False),
        ("room 452 is closed", False),
    ],
)
def test_three_digits_are_a_servers_reply_where_one_is_quoted(line: str, said: bool) -> None:
    message = mail(f"Dear sender,\n\n{line}\n\n<x@y.example>", From="gateway@mx.example", **NULL)
    assert (verdict(message).kind is VerdictKind.BOUNCE) is said


@pytest.mark.parametrize(
    "headers",
    [
        {"Subject": "Abwesenheitsnotiz: Re: hi"},
        {"Subject": "hi", "Auto_Submitted": "auto-replied"},
    ],
)
def test_an_absent_persons_program_may_return_what_it_answers(headers: dict[str, str]) -> None:
    returned = f"From: support@shop.example\nTo: anna@cust.example\nMessage-ID: <{OWN}>\nSubject: hi\n\nhi\n"
    body = f"--b\n\nI am back on Monday.\n--b\nContent-Type: message/rfc822\n\n{returned}\n--b--\n"
    assert verdict(mail(body, **headers, **MIXED, **NULL, **OURS)).kind is VerdictKind.AUTO_REPLY


def test_a_program_with_a_servers_name_and_a_null_reverse_path_writes_of_other_failures() -> None:
    message = mail(
        "Backup failed: permission denied", From="Acme Mail Server <srv3@acme.example>", Subject="srv3", **NULL
    )
    assert verdict(message).kind is VerdictKind.AUTO_GENERATED


def test_a_program_that_passes_on_somebodys_mail_with_a_null_reverse_path_is_no_bounce() -> None:
    body = "--b\n\nHeld mail\n--b\nContent-Type: message/rfc822\n\nFrom: bob@other.example\nSubject: hi\n\nhi\n--b--\n"
    assert verdict(mail(body, Subject="Quarantine", **MIXED, **NULL)).kind is VerdictKind.AUTO_GENERATED


def test_an_answer_to_an_automatic_reply_that_bounced_is_a_bounce() -> None:
    text = "Your message was not delivered to:\n\n  x@y.example"
    message = mail(text, From="postmaster@mx.example", Subject="Undeliverable: Automatic reply: hi", **NULL)
    assert verdict(message).kind is VerdictKind.BOUNCE


# Reports that a person passes on

STATUS = f"Content-Type: message/delivery-status\n%s\nReporting-MTA: dns; mx.example\n\n{block('x@y.example', 'failed', '5.1.1')}"
READ = "Content-Type: message/disposition-notification\n%s\nDisposition: manual-action/MDN-sent-manually; displayed"
ABUSE = "Content-Type: message/feedback-report\n%s\nFeedback-Type: abuse"
ACCEPTED = "Content-Type: application/ics; name=invite.ics\n%s\nBEGIN:VCALENDAR\nMETHOD:REPLY\nEND:VCALENDAR"
ACCEPTED_TEXT = "Content-Type: text/calendar; method=REPLY\n%s\nBEGIN:VCALENDAR\nMETHOD:REPLY\nEND:VCALENDAR"
FILE = "Content-Disposition: attachment\n"


def passed_on(part: str, **headers: str) -> VerdictKind:
    return verdict(mail(f"--b\n\nWhat is this?\n--b\n{part}\n--b--\n", **(MIXED | headers))).kind


@pytest.mark.parametrize(
    ("part", "subject"),
    [
        (STATUS, "Undelivered Mail Returned to Sender"),
        (READ, "Read: Order"),
        (ABUSE, "Abuse report"),
        (ACCEPTED, "Accepted: Termin"),
        (ACCEPTED_TEXT, "Accepted: Termin"),
    ],
)
def test_a_report_that_a_person_passes_on_is_the_persons(part: str, subject: str) -> None:
    assert passed_on(part % FILE, Subject=f"Fwd: {subject}") is VerdictKind.HUMAN
    assert passed_on(part % "", Subject=f"WG: {subject}") is VerdictKind.HUMAN
    if part != ACCEPTED_TEXT:
        assert passed_on(part % FILE, Subject=subject) is VerdictKind.HUMAN


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (STATUS, VerdictKind.BOUNCE),
        (READ, VerdictKind.RECEIPT),
        (ABUSE, VerdictKind.COMPLAINT),
        (ACCEPTED_TEXT, VerdictKind.AUTO_REPLY),
    ],
)
@pytest.mark.parametrize(
    "headers",
    [
        {"From": "MAILER-DAEMON@mx.example"},
        NULL,
        {"Auto_Submitted": "auto-generated"},
        {"Content_Type": "multipart/report; boundary=b"},
    ],
)
def test_a_report_in_another_form_is_one_by_a_machines_sign(
    part: str, kind: VerdictKind, headers: dict[str, str]
) -> None:
    assert passed_on(part % FILE, Subject="Fw: your mail", **headers) is kind
    assert passed_on(part % "", Subject="your mail") is kind


@pytest.mark.parametrize("subject", ["Re: Termin", "Zugesagt: Termin"])
def test_a_calendars_answer_is_in_its_own_words_whatever_its_subject(subject: str) -> None:
    alternative = {"Content_Type": "multipart/alternative; boundary=b"}
    assert passed_on(ACCEPTED_TEXT % "", Subject=subject, **alternative) is VerdictKind.AUTO_REPLY
    message = mail("BEGIN:VCALENDAR\nMETHOD:REPLY\n", Subject=subject, Content_Type="text/calendar; method=REPLY")
    assert verdict(message).kind is VerdictKind.AUTO_REPLY


def test_the_report_that_a_person_passes_on_is_among_his_files() -> None:
    returned = "--b\nContent-Type: message/rfc822\n\nFrom: anna@cust.example\nSubject: hello\n\nhi"
    message = mail(f"--b\n\nWhy?\n--b\n{STATUS % FILE}\n{returned}\n--b--\n", Subject="Fwd: Undelivered Mail", **MIXED)
    assert verdict(message).kind is VerdictKind.HUMAN
    assert "hello.eml" in [file.file_name for file in message.attachments]
