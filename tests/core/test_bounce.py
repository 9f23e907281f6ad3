"""What a delivery report says: kind, recipients, status, and the ids of what came back; in blocks, in words, in many languages."""

from __future__ import annotations

import pytest

from inboxops.core.model import VerdictKind
from tests.core.mails import OWN, block, mail, report, verdict


def test_a_bounce_that_says_auto_replied_is_a_bounce() -> None:
    message = mail(
        "550 5.1.1 user unknown",
        From="MAILER-DAEMON@mx.example",
        Subject="Returned mail",
        Auto_Submitted="auto-replied",
    )
    assert verdict(message).kind is VerdictKind.BOUNCE


def test_every_block_is_read_and_a_failed_one_decides() -> None:
    found = verdict(
        report(
            block("a@y.example", "delivered"),
            "rubbish",
            block("b@y.example", "failed", "5.1.1"),
            block("c@y.example", "delayed"),
        )
    )
    assert found.kind is VerdictKind.BOUNCE
    assert found.bounce is not None
    assert found.bounce.recipients == ("b@y.example", "c@y.example")


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("failed", "bounce"),
        ("Failed (will not retry)", "bounce"),
        ("failure", "bounce"),
        ("undeliverable", "bounce"),
        ("delayed", "delay"),
        ("relayed", "receipt"),
        ("expanded", "receipt"),
        ("deliverable", "receipt"),
        ("", "bounce"),
    ],
)
def test_actions_as_servers_write_them(action: str, kind: str) -> None:
    assert verdict(report(block("x@y.example", action, "5.1.1"))).kind == kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [("5.1.1", "hard"), ("5.0.0", "hard"), ("5.2.2", "soft"), ("5.7.1", "soft"), ("4.4.1", "soft"), ("4.2.2", "soft")],
)
def test_a_full_mailbox_and_a_policy_are_soft(status: str, kind: str) -> None:
    found = verdict(report(block("x@y.example", "failed", status)))
    assert found.bounce is not None
    assert (found.bounce.kind, found.bounce.status) == (kind, status)


def test_the_address_that_was_written_to_counts_before_the_one_it_became() -> None:
    fields = (
        "Original-Recipient: rfc822;desk@y.example\nFinal-Recipient: x400; /S=desk/C=GB/\nAction: failed\nStatus: 5.1.1"
    )
    found = verdict(report(fields))
    assert found.bounce is not None
    assert found.bounce.recipients == ("desk@y.example",)


def test_our_ids_are_found_in_what_came_back() -> None:
    found = verdict(
        report(block("x@y.example", "failed"), returned=f"Message-ID: <{OWN}>\nFrom: support@shop.example\n\nx")
    )
    assert found.bounce is not None
    assert found.bounce.original_ids[0] == OWN
    assert found.bounce.signed_ids == ((3, 8),)


def test_a_message_that_was_sent_on_is_known_by_its_own_id_first() -> None:
    returned = f"Resent-Message-ID: <list@lists.example>\nMessage-ID: <{OWN}>\nFrom: support@shop.example\n\nx"
    found = verdict(report(block("x@y.example", "failed"), returned=returned))
    assert found.bounce is not None
    assert found.bounce.original_ids == (OWN, "list@lists.example")


def test_a_report_that_a_scanner_wraps_tells_what_it_told() -> None:
    head = "From: postmaster@mx.example\nTo: support@shop.example\nSubject: Delivery Status Notification\nMessage-ID: <d@mx>\n"
    returned = f"Message-ID: <{OWN}>\nFrom: support@shop.example\nTo: x@y.example\n\nx"
    parts = f"message/delivery-status\n\n{block('x@y.example', 'failed', '5.1.1')}", f"message/rfc822\n\n{returned}"
    inner = "".join(f"--i\nContent-Type: {part}\n" for part in parts)
    report_type = "Content-Type: multipart/report; report-type=delivery-status; boundary=i"
    whole = f"{head}MIME-Version: 1.0\n{report_type}\n\n{inner}--i--\n"
    headers = {"MIME_Version": "1.0", "Content_Type": "multipart/mixed; boundary=b"}
    server = {**headers, "From": "MAILER-DAEMON@mx.example", "Return_Path": "<>"}
    body = "--b\n\nscanned\n--b\nContent-Type: message/rfc822\n\n{}\n--b--\n"
    found = verdict(mail(body.format(whole), Subject="Delivery Status Notification", **server))
    assert found.bounce is not None
    assert (found.bounce.kind, found.bounce.recipients, found.bounce.original_ids[0]) == ("hard", ("x@y.example",), OWN)
    assert found.bounce.signed_ids == ((3, 8),)
    unread = verdict(mail(body.format(f"{head}\nx"), Subject="Delivery Status Notification", **server))
    assert unread.bounce is not None
    assert unread.bounce.recipients == ()  # and not whom the report was for
    person = mail(body.format(whole), Subject="Delivery Status Notification", **headers)
    assert verdict(person).kind is VerdictKind.HUMAN
    assert [file.file_name for file in person.attachments] == ["Delivery Status Notification.eml"]


def test_ids_in_the_body_follow_those_of_the_returned_part_and_answers_come_last() -> None:
    message = mail(
        "could not be delivered\n\n--- Below this line is a copy of the message.\n\nReturn-Path: <support@shop.example>\n"
        "Received: x\nMessage-ID: <body@shop.example>\n",
        From="MAILER-DAEMON@mx.example",
        In_Reply_To="<outer@shop.example>",
    )
    found = verdict(message)
    assert found.bounce is not None
    assert found.bounce.original_ids == ("body@shop.example", "outer@shop.example")


@pytest.mark.parametrize(
    ("text", "recipients"),
    [
        (
            "Delivery to the following recipients failed:\n\n  * x@y.example\n  * z@y.example\n",
            ("x@y.example", "z@y.example"),
        ),
        ("<x@y.example>: host mx.y.example said: 550 5.1.1 unknown\n", ("x@y.example",)),
        ("<<< RCPT TO:<x@y.example>\n>>> 550 unknown user\n", ("x@y.example",)),
        (
            "The address to which it was sent, x@y.example, does not exist. Ask postmaster@y.example.\n",
            ("x@y.example",),
        ),
        ("could not be delivered to: c=US;p=Y;dda:SMTP=x@y.example; on Monday\n", ("x@y.example",)),
        ("The following could not be delivered:\n  printer\n", ("printer@mx.example",)),
        ("Your message\n  To: list@y.example\ndid not reach:\nx@y.example on Monday\n", ("x@y.example",)),
        ("zz@y.example\n    (expanded from: x@y.example)\n550 user unknown", ("zz@y.example", "x@y.example")),
    ],
)
def test_recipients_are_read_from_the_words_of_a_server(text: str, recipients: tuple[str, ...]) -> None:
    found = verdict(mail(text, From="MAILER-DAEMON@mx.example", Subject="Returned mail"))
    assert found.bounce is not None
    assert found.bounce.recipients == recipients


def test_a_warning_without_status_is_a_delay() -> None:
    text = "Your message to:\n  x@y.example\nhas not yet been delivered. We will continue to attempt delivery."
    assert (
        verdict(mail(text, From="MAILER-DAEMON@mx.example", Subject="Warning: message delayed 24 hours")).kind
        is VerdictKind.DELAY
    )


@pytest.mark.parametrize(
    "text",
    [
        "Die Zustellung an x@y.example verzögert sich.",
        "La remise de votre message à x@y.example est retardée.",
        "Il recapito del messaggio a x@y.example è in ritardo.",
        "A entrega da mensagem a x@y.example está atrasada.",
        "De bezorging aan x@y.example is vertraagd.",
        "Dostarczenie wiadomości do x@y.example jest opóźnione.",
        "Leveransen till x@y.example är försenad.",
        "Levering til x@y.example er forsinket.",
        "x@y.example adresine teslim gecikti.",
        "x@y.example로의 배달이 지연되고 있습니다.",
    ],
)
def test_a_warning_in_other_languages_is_a_delay(text: str) -> None:
    found = verdict(mail(text, From="MAILER-DAEMON@mx.example", Subject="Delivery status", Return_Path="<>"))
    assert found.kind is VerdictKind.DELAY
    assert found.bounce is not None
    assert found.bounce.recipients == ("x@y.example",)


def test_a_servers_final_reply_is_no_delay_whatever_the_words_around_it() -> None:
    text = "Your message has not been delivered to\n\n  x@y.example\n\nhost mx.y.example said: 550 5.1.1 no such user"
    found = verdict(mail(text, From="MAILER-DAEMON@mx.example", Subject="Returned mail: deferred"))
    assert found.bounce is not None
    assert (found.kind, found.bounce.kind) == (VerdictKind.BOUNCE, "hard")


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("Unzustellbar: hallo", "Ihre Nachricht konnte nicht zugestellt werden:\n x@y.example"),
        ("Non remis : bonjour", "Le message n'a pas pu être remis à\n x@y.example"),
        ("No se puede entregar: hola", "El mensaje no se pudo entregar a\n x@y.example"),
        ("Mancato recapito", "Impossibile recapitare il messaggio a\n x@y.example"),
        ("Falha na entrega", "A mensagem não pôde ser entregue a\n x@y.example"),
        ("Onbestelbaar: hallo", "Het bericht kon niet worden bezorgd bij\n x@y.example"),
        ("Не доставлено: привет", "Не удалось доставить сообщение\n x@y.example"),
        ("Niedostarczone: hej", "Wiadomość nie została dostarczona do\n x@y.example"),
        ("配信不能", "次の宛先に配信できませんでした\n x@y.example"),
        ("邮件投递失败", "无法投递到以下地址\n x@y.example"),
        ("배달되지 않음", "메일이 배달되지 않았습니다\n x@y.example"),
        ("Kan inte levereras: hej", "Det gick inte att leverera ditt meddelande till x@y.example."),
        ("Kan ikke leveres: hej", "Din meddelelse til x@y.example kunne ikke leveres."),
        ("Ei voi toimittaa: hei", "Viestiä vastaanottajalle x@y.example ei voitu toimittaa."),
        ("Niet te bestellen: hallo", "De geadresseerde x@y.example kan niet worden bereikt."),
        ("Non recapitabile: ciao", "Impossibile recapitare il messaggio inviato a x@y.example."),
        ("Não é possível entregar: oi", "Não foi possível entregar a sua mensagem a x@y.example."),
        ("Niedostarczalne: hej", "Nie można dostarczyć wiadomości do x@y.example."),
        ("Nedoručitelné: ahoj", "Vaši zprávu pro x@y.example nebylo možné doručit."),
        ("Nedoručiteľné: ahoj", "Správu pre x@y.example sa nepodarilo doručiť."),
        ("Kézbesíthetetlen: szia", "A x@y.example címzettnek küldött üzenet nem kézbesíthető."),
        ("Δεν είναι δυνατή η παράδοση: γεια", "Δεν ήταν δυνατή η παράδοση του μηνύματος στο x@y.example."),
        ("Nelivrabil: salut", "Mesajul către x@y.example nu a putut fi livrat."),
        ("Ni mogoče dostaviti: zdravo", "Sporočila za x@y.example ni bilo mogoče dostaviti."),
        ("Nije isporučeno: bok", "Vašu poruku za x@y.example nije bilo moguće isporučiti."),
        ("Недоставимо: здравей", "Съобщението до x@y.example не може да бъде доставено."),
        ("Nepristatyta: labas", "Jūsų laiško x@y.example pristatyti nepavyko."),
        ("Không thể gửi được: chào", "Không thể gửi thư của bạn tới x@y.example."),
        ("ไม่สามารถส่งได้: hi", "ไม่สามารถส่งข้อความของคุณถึง x@y.example"),
    ],
)
def test_bounces_speak_many_languages(subject: str, text: str) -> None:
    found = verdict(mail(text, From="postmaster@mx.example", Subject=subject))
    assert found.kind is VerdictKind.BOUNCE
    assert found.bounce is not None
    assert found.bounce.recipients == ("x@y.example",)


@pytest.mark.parametrize(
    "text",
    [
        "Your message to x@y.example couldn't be delivered.",
        "Your message to x@y.example couldn’t be delivered.",
        "x@y.example에게 보낸 메시지를 배달할 수 없습니다.",
        "您发往x@y.example的邮件无法送达。",
        "收件人邮箱x@y.example不存在，邮件无法投递。",
        "x@y.exampleへのメッセージを配信できませんでした。",
        "Twoja wiadomość (x@y.example) jest tutaj.",
    ],
)
def test_the_address_in_a_sentence_is_who_did_not_get_it(text: str) -> None:
    found = verdict(mail(text, From="MAILER-DAEMON@mx.example", Subject="Returned mail"))
    assert found.bounce is not None
    assert found.bounce.recipients == ("x@y.example",)


def test_a_report_that_is_a_page_returns_its_headers_line_by_line() -> None:
    headers = (
        f"Received: from a by b\nMessage-ID: &lt;{OWN}&gt;\nFrom: support@shop.example\nTo: x@y.example\nSubject: hi"
    )
    page = f"<p>Your message couldn't be delivered.</p><p>Original message headers:</p><pre>{headers}</pre>"
    found = verdict(mail(page, From="postmaster@mx.example", Subject="Undeliverable: hi", Content_Type="text/html"))
    assert found.bounce is not None
    assert (found.bounce.recipients, found.bounce.original_ids) == (("x@y.example",), (OWN,))


def test_amazons_notifications_are_what_they_tell_of() -> None:
    told = (
        '{"notificationType":"Bounce","bounce":{"bounceType":"Transient","bouncedRecipients":[{"emailAddress":"x@y.example",'
        '"status":"4.4.7","diagnosticCode":"smtp; 451 later"}]},'
        '"mail":{"messageId":"m","commonHeaders":{"messageId":"<sent@shop.example>"}}}'
    )
    for text in (told, told.replace(',"mail"', ',"ma!\n il"')):
        found = verdict(mail(text, From="no-reply@sns.example"))
        assert found.kind is VerdictKind.BOUNCE
        assert found.bounce is not None
        assert (found.bounce.kind, found.bounce.recipients, found.bounce.original_ids[0]) == (
            "soft",
            ("x@y.example",),
            "sent@shop.example",
        )


@pytest.mark.parametrize(
    "text",
    ['{"notificationType":', '{"notificationType": []}', '{"notificationType":"Bounce","mail":1}', '{"a":' * 9_000],
)
def test_json_that_tells_nothing_is_mail_like_any_other(text: str) -> None:
    assert verdict(mail(text)).kind is VerdictKind.HUMAN
