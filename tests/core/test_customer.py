"""Who the customer is: forms, lists, forwards in any mailer's language, Sender beside From; and what a text alone can claim."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inboxops.core.autorespond import addressee
from inboxops.core.case import Case
from inboxops.core.customer import agent_names, customer
from inboxops.core.model import Address, Customer, ParsedMessage
from inboxops.core.outbound import people
from inboxops.errors import InvalidInput
from inboxops.stories.classify import read_message
from tests.core.mails import INBOX, mail

AGENTS = frozenset({"bea@desk.example", "helpers.example"})
CONTEXT = replace(INBOX, agents=AGENTS, own_addresses=frozenset({"support@desk.example"}))


def of(message: ParsedMessage) -> Customer:
    return customer(Case(message, CONTEXT))


FORWARDS = {
    "gmail": "---------- Forwarded message ---------\nFrom: Lena Frost <lena@frost.example>\nDate: Mon, 2 Nov 2026 at 09:12\n"
    "Subject: Boiler\nTo: Bea <bea@desk.example>",
    "outlook": "________________________________\nFrom: Lena Frost <lena@frost.example>\nSent: Monday, November 2, 2026 9:12 AM\n"
    "To: Bea <bea@desk.example>\nSubject: Boiler",
    "outlook with mailto": "-----Original Message-----\nFrom: Lena Frost [mailto:lena@frost.example]\nSent: Monday\nTo: Bea\nSubject: Boiler",
    "outlook german": "Von: Lena Frost <lena@frost.example>\nGesendet: Montag, 2. November 2026 09:12\nAn: Bea\nBetreff: Heizung",
    "outlook french": "De : Lena Frost <lena@frost.example>\nEnvoyé : lundi 2 novembre 2026 09:12\nÀ : Bea\nObjet : Chaudière",
    "apple": "Begin forwarded message:\n\nFrom: Lena Frost <lena@frost.example>\nSubject: Boiler\nDate: 2 November 2026\nTo: Bea",
    "apple bold": "*From:* Lena Frost <lena@frost.example>\n*Date:* 2 November 2026\n*To:* Bea\n*Subject:* Boiler",
    "thunderbird": "-------- Weitergeleitete Nachricht --------\nBetreff: Heizung\nDatum: Mon, 2 Nov 2026\n"
    "Von: Lena Frost <lena@frost.example>\nAn: Bea",
    "italian": "---------- Messaggio inoltrato ---------\nDa: Lena Frost <lena@frost.example>\nData: 2 nov\nOggetto: Caldaia\nA: Bea",
    "spanish": "De: Lena Frost <lena@frost.example>\nEnviado: lunes\nPara: Bea\nAsunto: Caldera",
    "dutch": "Van: Lena Frost <lena@frost.example>\nVerzonden: maandag\nAan: Bea\nOnderwerp: Ketel",
    "polish": "Od: Lena Frost <lena@frost.example>\nWysłano: poniedziałek\nDo: Bea\nTemat: Piec",
    "russian": "От: Lena Frost <lena@frost.example>\nДата: 2 ноября\nКому: Bea\nТема: Котёл",
    "japanese": "差出人: Lena Frost <lena@frost.example>\n日時: 2026年11月2日\n宛先: Bea\n件名: ボイラー",
    "chinese": "发件人：Lena Frost <lena@frost.example>\n发送时间：2026年11月2日\n收件人：Bea\n主题：锅炉",
    "korean": "보낸 사람: Lena Frost <lena@frost.example>\n날짜: 2026\n받는 사람: Bea\n제목: 보일러",
    "quoted": "> From: Lena Frost <lena@frost.example>\n> Date: Mon\n> Subject: Boiler\n> To: Bea",
    "bulgarian": "От: Lena Frost <lena@frost.example>\nИзпратено: 2 ноември\nДо: Bea\nОтносно: x",
    "croatian": "Šalje: Lena Frost <lena@frost.example>\nPoslano: 2. studenoga\nPrima: Bea\nPredmet: x",
    "lithuanian": "Nuo: Lena Frost <lena@frost.example>\nIšsiųsta: 2026\nKam: Bea\nTema: x",
    "latvian": "No: Lena Frost <lena@frost.example>\nNosūtīts: 2026\nKam: Bea\nTēma: x",
    "estonian": "Saatja: Lena Frost <lena@frost.example>\nSaadetud: 2026\nAdressaat: Bea\nTeema: x",
    "vietnamese": "Từ: Lena Frost <lena@frost.example>\nĐã gửi: 2026\nTới: Bea\nChủ đề: x",
    "catalan": "De: Lena Frost <lena@frost.example>\nEnviat: 2026\nPer a: Bea\nTema: x",
    "mail.ru": "-------- Пересылаемое сообщение --------\nОт кого: Lena Frost <lena@frost.example>\nКому: Bea\nДата: 2 ноября",
    "yandex": '-------- Пересылаемое сообщение --------\n02.11.2026, 09:12, "Lena Frost" <lena@frost.example>:',
    "yahoo": "----- Forwarded Message ----- From: Lena Frost <lena@frost.example>To: Bea <bea@desk.example>Sent: MondaySubject: x",
    "on two lines": "From: Lena Frost of the Department of Very Long Names\n<lena@frost.example>\nDate: Mon\nTo: Bea\nSubject: Boiler",
}


@pytest.mark.parametrize("block", FORWARDS.values(), ids=FORWARDS)
@pytest.mark.parametrize("agent", ["bea@desk.example", "tom@helpers.example", "support@desk.example"])
def test_an_agents_forward_is_from_whom_it_came(block: str, agent: str) -> None:
    found = of(
        mail(f"Please take this.\n\n{block}\n\nIt is cold.\n", From=f"An Agent <{agent}>", Subject="Fwd: Boiler")
    )
    assert (found.address.address, found.rule, found.claimed) == ("lena@frost.example", "forward.inline", True)
    assert found.evidence[0].value.endswith("<lena@frost.example>")


@pytest.mark.parametrize(
    "block",
    [
        "From: Shop <noreply@shop.example>\nDate: Mon\nSubject: Contact\nReply-To: Lena Frost <lena@frost.example>\nTo: Bea\n\nIt is cold.",
        "Von: Shop <noreply@shop.example>\nGesendet: Montag\nAn: Bea\nBetreff: Kontakt\n\nName: Lena\nE-Mail: lena@frost.example\n",
    ],
)
def test_a_form_that_an_agent_passes_on_is_from_who_filled_it_in(block: str) -> None:
    found = of(mail(f"Please take this.\n\n{block}", From="bea@desk.example", Subject="Fwd: Contact"))
    assert (found.address.address, found.rule, found.claimed) == ("lena@frost.example", "forward.inline", True)
    head = "From: Shop <noreply@shop.example>\nReply-To: lena@frost.example\nSubject: Contact"
    body = f"--b\nContent-Type: text/plain\n\nsee attached\n--b\nContent-Type: message/rfc822\n\n{head}\n\nIt is cold.\n--b--\n"
    headers = {"MIME_Version": "1.0", "Content_Type": "multipart/mixed; boundary=b"}
    found = of(mail(body, From="bea@desk.example", Subject="a mail", **headers))
    assert (found.address.address, found.rule) == ("lena@frost.example", "forward.attached")


def test_a_machines_mail_that_an_agent_passes_on_is_the_machines() -> None:
    block = "From: Bank <noreply@bank.example>\nDate: Mon\nSubject: Statement\nTo: Bea"
    assert (
        of(mail(f"{block}\n\nx", From="bea@desk.example", Subject="Fwd: x")).address.address == "noreply@bank.example"
    )


def test_a_forward_of_a_forward_between_colleagues_is_the_customers() -> None:
    inner = FORWARDS["outlook"]
    text = f"----- Forwarded message -----\nFrom: Tom <tom@helpers.example>\nDate: Tue\nTo: Bea\nSubject: Fwd: Boiler\n\nsee below\n\n{inner}"
    assert of(mail(text, From="bea@desk.example", Subject="Fwd: Fwd: Boiler")).address.address == "lena@frost.example"


@pytest.mark.parametrize(
    ("sender", "subject", "more"),
    [
        ("rita@buyer.example", "Fwd: Your invoice", {}),
        ("bea@desk.example", "Re: Boiler", {"In_Reply_To": "<x@frost.example>"}),
        ("bea@desk.example", "AW: Heizung", {}),
    ],
    ids=["a customer's own forward", "an agent's answer", "an agent's answer in German"],
)
def test_what_is_quoted_below_other_mail_makes_nobody_the_customer(
    sender: str, subject: str, more: dict[str, str]
) -> None:
    block = FORWARDS["outlook german"] if subject.startswith("AW") else FORWARDS["outlook"]
    found = of(mail(f"hello\n\n{block}\n\nIt is cold.\n", From=sender, Subject=subject, **more))
    assert (found.address.address, found.rule) == (sender, "from")


def test_a_sentence_with_a_colon_is_no_header_block() -> None:
    text = "From: what I hear, write to lena@frost.example\nand that is all: nothing else.\n"
    assert of(mail(text, From="bea@desk.example", Subject="Fwd: Boiler")).rule == "from"


def test_a_mail_that_an_agent_attaches_is_from_its_author() -> None:
    body = (
        "--b\nContent-Type: text/plain\n\nsee attached\n--b\nContent-Type: message/rfc822\n\n"
        "From: =?utf-8?Q?L=C3=A9na?= <lena@frost.example>\nSubject: Boiler\nDate: Mon, 2 Nov 2026 09:12:00 +0000\n\nIt is cold.\n--b--\n"
    )
    headers = {"MIME_Version": "1.0", "Content_Type": "multipart/mixed; boundary=b"}
    found = of(mail(body, From="bea@desk.example", Subject="a mail", **headers))
    assert (found.address.name, found.address.address, found.rule) == ("Léna", "lena@frost.example", "forward.attached")


FORMS = {
    "no-reply": {"From": "Shop <noreply@shop.example>"},
    "wordpress": {"From": "WordPress <wordpress@shop.example>"},
    "a service": {"From": "Typeform <no-reply@forms.example>"},
    "web server": {"From": "www-data <www-data@web01.shop.example>"},
    "our own address": {"From": "Website <support@desk.example>"},
    "PHPMailer under a person's address": {"From": "Site <hello@shop.example>", "X_Mailer": "PHPMailer 6.9"},
    "a form by its subject": {"From": "Shop <info@shop.example>", "Subject": "Neue Nachricht: Kontaktformular"},
    "via": {"From": '"Carla Kunde via Shop" <hello@shop.example>'},
    "an address of our domain": {"From": "Shop <shop@helpers.example>"},
    "English": {"From": "Shop <info@shop.example>", "Subject": "Message from Carla via your website"},
    "English, from": {"From": "Shop <info@shop.example>", "Subject": "New enquiry from the website"},
    "German": {"From": "Shop <info@shop.example>", "Subject": "Anfrage über Ihre Webseite"},
    "German, a form": {"From": "Shop <info@shop.example>", "Subject": "Ihre Anfrage über das Formular"},
    "via a site": {"From": "Shop <info@shop.example>", "Subject": "[Shop] Carla via website"},
    "French": {"From": "Shop <info@shop.example>", "Subject": "Message depuis votre site web"},
    "Spanish": {"From": "Shop <info@shop.example>", "Subject": "Consulta desde el sitio web"},
    "Italian": {"From": "Shop <info@shop.example>", "Subject": "Richiesta dal sito"},
    "Russian": {"From": "Shop <info@shop.example>", "Subject": "Заявка с сайта"},
    "Japanese": {"From": "Shop <info@shop.example>", "Subject": "お問い合わせフォーム"},
    "Japanese, come in": {"From": "Shop <info@shop.example>", "Subject": "【Shop】お問い合わせがありました"},
    "Chinese": {"From": "Shop <info@shop.example>", "Subject": "您有一条新的网站询盘"},
    "Korean": {"From": "Shop <info@shop.example>", "Subject": "홈페이지 문의"},
    "Hungarian": {"From": "Shop <info@shop.example>", "Subject": "Új üzenet a weboldalról"},
    "Romanian": {"From": "Shop <info@shop.example>", "Subject": "Mesaj nou de pe site"},
    "Finnish": {"From": "Shop <info@shop.example>", "Subject": "Yhteydenotto verkkosivuilta"},
    "Slovak": {"From": "Shop <info@shop.example>", "Subject": "Správa z kontaktného formulára"},
    "Italian, what for": {"From": "Shop <info@shop.example>", "Subject": "Richiesta informazioni dal sito web"},
    "a site's name": {"From": "Shop <info@host.example>", "Subject": "Nachricht über shop.example"},
    "submitted": {"From": "Shop <info@shop.example>", "Subject": "Contact Us Form submitted on Shop"},
    "an order": {"From": "Shop <orders@shop.example>", "Subject": "[Shop]: Neue Bestellung #1177"},
    "the web server of SUSE": {"From": "wwwrun <wwwrun@web1.shop.example>"},
    "via, in brackets": {"From": "Carla (via Files) <files@share.example>"},
    "certified mail": {"From": '"Per conto di: carla@kunde.example" <posta-certificata@pec.example>'},
}


@pytest.mark.parametrize("headers", FORMS.values(), ids=FORMS)
def test_a_form_is_from_who_filled_it_in(headers: dict[str, str]) -> None:
    found = of(mail("Where is it?", Reply_To="Carla Kunde <carla@kunde.example>", **headers))
    assert (found.address.address, found.rule, found.claimed) == ("carla@kunde.example", "reply_to", False)


FORM_WORDS = {
    "Contact Form 7": "From: Carla\nSubject: x\n\nMessage Body:\nWhere is it?",
    "Contact Form 7, its foot": "x\n\n-- \nThis e-mail was sent from a contact form on Shop (https://shop.example)",
    "Contact Form 7, newer": "x\n\n-- \nThis is a notification that a contact form was submitted on your website (Shop).",
    "German": "x\n\n-- \nDiese E-Mail wurde von einem Kontaktformular von Shop (https://shop.example) gesendet",
    "German, newer": "x\n\nDiese E-Mail ist eine Benachrichtigung, dass ein Kontaktformular auf deiner Website abgeschickt wurde.",
    "French": "x\n\n-- \nCet e-mail a été envoyé via le formulaire de contact de Shop",
    "Dutch": "x\n\n-- \nDit e-mailbericht is verzonden vanaf een contactformulier op Shop",
    "Japanese": "x\n\n-- \nこのメールは Shop のお問い合わせフォームから送信されました",
    "Elementor": "x\n\n---\n\nDate: 17. November\nRemote IP: 192.0.2.4\nPowered by: Elementor",
    "Shopify": "You received a new message from your online store's contact form.\n\nBody:\nx",
    "Joomla": "This is an enquiry email via https://shop.example/ from:\nCarla <carla@kunde.example>\n\nx",
    "its fields": "Vorname: Carla\nNachname: Kunde\nE-Mail-Adresse: carla@kunde.example\n\nNachricht:\nx",
}


@pytest.mark.parametrize("text", FORM_WORDS.values(), ids=FORM_WORDS)
def test_a_form_is_known_by_the_words_of_its_program(text: str) -> None:
    headers = {"From": "Shop <info@shop.example>", "Reply_To": "carla@kunde.example", "Subject": "Shop"}
    assert of(mail(text, **headers)).address.address == "carla@kunde.example"
    assert of(mail(text, **headers | {"Subject": "Re: Shop"})).address.address == (
        "carla@kunde.example" if text == FORM_WORDS["its fields"] else "info@shop.example"
    )


FIELDS = {
    "English": "Name: Carla Kunde\nEmail: carla@kunde.example\nPhone: 12\nMessage: Where is it?",
    "German": "Name: Carla Kunde\nE-Mail: carla@kunde.example<mailto:carla@kunde.example>\n\nNachricht:\nWo?",
    "Spanish": "Nombre y apellidos: Carla Kunde\nCorreo electrónico: carla@kunde.example\nMensaje: hola",
    "Russian": "Имя: Carla Kunde\nПочта: carla@kunde.example\nСообщение: где?",
    "Japanese": "お名前：Carla Kunde\nメールアドレス：carla@kunde.example\n内容：x",
    "obligatory": "Ihr Name (Pflichtfeld) *: Carla Kunde\nIhre E-Mail-Adresse (Pflichtfeld) *: carla@kunde.example",
    "an invitation": "Invitee:\nCarla Kunde\n\nInvitee Email:\ncarla@kunde.example\n\nTime:\n9:00",
    "an order": "Customer: Carla Kunde\nCustomer Email: carla@kunde.example\nOrder: 12",
    "in brackets": "【お名前】Carla Kunde\n【メールアドレス】carla@kunde.example\n【内容】x",
    "a program's": "name=Carla Kunde\nemail=carla@kunde.example\nmessage=x",
    "below": "Name\n\nCarla Kunde\n\nEmail\n\ncarla@kunde.example\n\nMessage\n\nWhere?",
}


@pytest.mark.parametrize("sender", ["noreply@shop.example", "wordpress@shop.example", "support@desk.example"])
@pytest.mark.parametrize("text", FIELDS.values(), ids=FIELDS)
def test_who_filled_a_form_in_is_a_claim_where_its_fields_alone_say_so(text: str, sender: str) -> None:
    found = of(mail(text, From=sender, Subject="Contact"))
    assert (found.address, found.rule, found.claimed) == (Address("Carla Kunde", "carla@kunde.example"), "form", True)
    machine = Address("", "noreply@shop.example")
    assert people((machine,), Address("", sender), customer=found.address, rule=found.rule) == (found.address,)


@pytest.mark.parametrize(
    ("sender", "text"),
    [
        ("ivo@work.example", FIELDS["English"]),
        ("noreply@vendor.example", "Your new manager\nName: John\nEmail: john@vendor.example"),
        ("noreply@vendor.example", "Your account\nName: Desk\nEmail: billing@shop.example"),
        ("noreply@vendor.example", "Thank you.\n\nCarla Kunde\nE-Mail: carla@kunde.example"),
        ("noreply@vendor.example", "Name: Carla\nWrite to us by e-mail: carla@kunde.example or call."),
    ],
    ids=["a person", "of the machine's own", "of ours", "a signature", "a sentence"],
)
def test_an_address_in_other_mail_is_nobody_who_filled_in_a_form(sender: str, text: str) -> None:
    assert of(mail(text, From=sender, Subject="Contact")).rule == "from"
    assert (
        of(mail(FIELDS["English"], From="noreply@shop.example", Subject="Re: Contact", In_Reply_To="<x@y>")).rule
        == "from"
    )


@pytest.mark.parametrize(
    "text",
    [
        "This contact form on your site does not work.",
        "I sent it by your web form.\n\nIvo\nE-Mail: ivo.private@mail.example",
    ],
)
def test_a_person_who_writes_of_a_form_is_no_form(text: str) -> None:
    found = of(mail(text, From="Ivo <ivo@work.example>", Reply_To="ivo.private@mail.example", Subject="Question"))
    assert (found.address.address, found.rule) == ("ivo@work.example", "from")


@pytest.mark.parametrize(
    "subject",
    [
        "Refund?",
        "Your website is broken",
        "Message from my boss: your website is down",
        "Request for a new website",
        "Beschwerde über Ihre Webseite",
        "Frage zum Formular 27b",
        "Frage zum Kontaktformular auf Ihrer Seite",
        "Problem with your contact form",
        "Le site web ne marche pas",
        "Demande de site web",
        "Error en la página web",
        "Non riesco a scaricare dal sito",
        "Problema com o formulário",
        "Нет обратной связи",
        "Не могу скачать с сайта",
        "お問い合わせの件",
        "Re: Kontaktformular",
    ],
)
def test_a_persons_reply_to_is_where_the_answer_goes_and_no_more(subject: str) -> None:
    found = of(mail("hello", From="Ivo <ivo@work.example>", Reply_To="ivo.private@mail.example", Subject=subject))
    assert (found.address.address, found.rule) == ("ivo@work.example", "from")


@pytest.mark.parametrize(
    ("headers", "rule"),
    [
        ({"Reply_To": "Carla <carla@kunde.example>", "Return_Path": "<carla@office.example>"}, "reply_to"),
        ({"Reply_To": "noreply@shop.example", "Return_Path": "<carla@kunde.example>"}, "return_path"),
        ({"Return_Path": "<carla@kunde.example>"}, "return_path"),
        ({"Return_Path": "<>"}, "from"),
    ],
)
def test_a_mail_without_from_is_from_whom_it_goes_back_to(headers: dict[str, str], rule: str) -> None:
    found = of(mail("hello", From="", **headers))
    assert (found.address.address, found.rule) == ("" if rule == "from" else "carla@kunde.example", rule)


def test_an_author_who_stands_in_one_encoded_word_is_the_author() -> None:
    encoded = "=?utf-8?B?QW5uYSA8YW5uYUBrdW5kZS5leGFtcGxlPg==?="
    assert of(mail("hello", From=encoded, Reply_To="x@y.example")).address == Address("Anna", "anna@kunde.example")


@pytest.mark.parametrize("reply_to", ["noreply@shop.example", "support@desk.example", "bea@desk.example", "nobody"])
def test_a_machine_stays_one_when_its_reply_to_is_no_person_outside(reply_to: str) -> None:
    assert of(mail("Done.", From="noreply@shop.example", Reply_To=reply_to)).rule == "from"


LISTS = {
    "reply-to": {"Reply_To": "Kim Lee <kim@lee.example>"},
    "google groups": {"X_Original_From": "Kim Lee <kim@lee.example>", "Reply_To": "list@groups.example"},
    "original sender": {"X_Original_Sender": "kim@lee.example"},
    "in copy": {"Reply_To": "list@groups.example", "Cc": "Kim Lee <kim@lee.example>"},
    "without a list's headers": {"X_Original_From": "Kim Lee <kim@lee.example>", "List_Id": "", "List_Post": ""},
}


@pytest.mark.parametrize("headers", LISTS.values(), ids=LISTS)
def test_a_list_that_writes_in_its_own_name_is_from_the_author(headers: dict[str, str]) -> None:
    more = {"List_Id": "<list.groups.example>", "List_Post": "<mailto:list@groups.example>", **headers}
    found = of(mail("I can't log in.", From='"Kim Lee via List" <list@groups.example>', **more))
    assert found.address.address == "kim@lee.example"


def test_the_author_is_from_and_not_who_sent_it_for_him() -> None:
    found = of(mail("Slow.", From="Dr. Otto <otto@clinic.example>", Sender="Office <office@clinic.example>"))
    assert (found.address.address, found.rule) == ("otto@clinic.example", "from")


def test_an_address_that_a_text_claims_is_never_answered_by_a_machine() -> None:
    claimed = mail(f"x\n\n{FORWARDS['gmail']}\n\nhello", From="bea@desk.example", Subject="Fwd: Boiler")
    reading = read_message(claimed, CONTEXT, provider_thread_id=None, size_bytes=1_000)
    assert reading.customer_address.address == "lena@frost.example"
    assert addressee(reading, CONTEXT.own_addresses) is None


def test_a_form_is_answered_where_the_tenant_named_it_and_no_other() -> None:
    form = mail("Where is it?", From="Shop <web@forms.example>", Reply_To="Carla <carla@kunde.example>")
    reading = read_message(form, CONTEXT, provider_thread_id=None, size_bytes=1_000)
    assert addressee(reading, CONTEXT.own_addresses, AGENTS) is None
    assert reading.verdict.evidence[-1].where == "Reply-To"
    assert addressee(reading, CONTEXT.own_addresses, frozenset({"forms.example"})) == reading.customer_address
    by_rule = replace(reading, customer=Customer(reading.customer_address, "mail_rule.shop"))
    assert addressee(by_rule, CONTEXT.own_addresses, AGENTS) == reading.customer_address


def test_agents_are_addresses_or_domains() -> None:
    assert agent_names([" Bea@Desk.example ", "@helpers.example"]) == ["bea@desk.example", "helpers.example"]
    with pytest.raises(InvalidInput, match="neither an address nor a domain"):
        agent_names(["everybody"])
