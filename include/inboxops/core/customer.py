"""Who the customer is: who wrote, whom an answer is for, and how sure that is. A question of its own beside the verdict.

The table below is the policy; the first rule that finds somebody decides, else it is the author in From (RFC 5322, 3.6.2: Sender is
who sent it for the author). What a text alone says is a claim: such a customer gains no right by it, and is never answered by
a machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from inboxops.core import forms, forward, headers
from inboxops.core.case import Case
from inboxops.core.model import Address, Customer, Evidence
from inboxops.core.rules import evidence
from inboxops.core.rules.machine import is_machine
from inboxops.errors import InvalidInput

_AUTHOR_LINES = tuple(
    re.compile(rf"^{name}:[ \t]*(.{{1,500}})$", re.IGNORECASE | re.MULTILINE) for name in ("from", "reply-to")
)
_VIA = re.compile(
    r"[\s(](?:via|über|par|przez|через|mediante|através de|por medio de)\s"
    r"|\b(?:per conto di|im auftrag von|on behalf of|de la part de|en nombre de|em nome de|namens|w imieniu|от имени)\b",
    re.IGNORECASE,
)
FORM = "form"
LIST_HEADERS = ("List-Id", "List-Post", "Mailing-List", "X-Mailing-List", "X-BeenThere")
"""Of a mailing list: RFC 2919 and RFC 2369, and what lists wrote before there were these."""

_ORIGINAL = ("X-Original-From", "Original-From", "X-Original-Sender", "X-Google-Original-From")
_FORM_ADDRESS = re.compile(
    r"^(?:www(?:[-_.]?data|run)?|_www|web(?:site|form|forms|mail|server|page)?|wordpress|wp|apache|httpd|nobody|drupal|joomla|typo3|shopify"
    r"|form(?:s|ular|ulario|ulaire|mail|[-_.]?submissions?)?|submissions?|contact[-_.]?(?:us|form)|kontakt(?:formular)|formulario|formulaire"
    r"|mailer|mail[-_.]?form|server|system|site|daemon|cgi|php|bounces?)(?:[-_.+\d].*)?$",
    re.IGNORECASE,
)
_SITE = (
    r"(?:[^\s:;,!?]{1,40} ){0,2}(?:web ?sites?|web ?seite|web ?form|homepage|internetseite|sitio|página|site|sito|stron\w{1,3}|сайта"
    r"|\w{0,20}formulara?|formulario|formulaire|formulário|formularza|formuláře)\b"
)
_FORM_PHRASES = (
    r"contact form|web ?form|forms? submi(?:ssion|tted)|enquiry form|new (?:message|enquiry|inquiry|submission) (?:from|via|on)"
    r"|web ?site (?:contact|enquiry|inquiry|submission|message|lead|form)\b"
    r"|(?:kontakt|web|anfrage|online-?)formular|formulareingang|formulaire (?:de contact|web|en ligne)|formulario (?:de contacto|web)"
    r"|formulário (?:de conta|do site|web)|modulo (?:di )?contatt|form di contatto|contactformulier|kontaktformulär|kontaktskjema"
    r"|yhteydenottolomak|formularza? kontaktow|kontaktní\w* formulář|форм\w{1,2} обратной связи|お問い?合わ?せフォーム"
    r"|お問い?合わ?せ(?:が(?:あり|届き)|を(?:受け?付|受信)|内容の|通知)|联系表单|聯絡表單|(?:网站|網站)(?:留言|询盘|詢盤|咨询|諮詢)|문의 ?양식"
    r"|(?:홈페이지|웹 ?사이트) ?(?:문의|상담)|iletişim formu|kontaktn\w{1,4} formul[áa]r|kontakt(?:ni|nog|nega)? (?:obrazac|obrasca|obrazec|obrazca)"
    r"|φόρμας? επικοινωνίας|формул?яр за контакт|форма за контакт|форм\w зворотного зв|formular(?:ul)? de contact|mesaj (?:nou )?de pe (?:site|web)"
    r"|üzenet a (?:web ?oldal|honlap)|kapcsolat(?:felvétel)?i űrlap|yhteydenotto (?:verkko|koti|nettisivu)|kontaktivorm|kontaktforma"
    r"|formulir kontak|(?:biểu mẫu|form) liên hệ|แบบฟอร์มติดต่อ|טופס (?:יצירת )?קשר|نموذج (?:ال)?اتصال|mensaje de contacto"
    r"|(?:anfrage|nachricht|message|enquiry|inquiry) (?:über|via) (?:https?://)?(?:[a-z0-9-]{1,63}\.){1,5}[a-z]{2,20}\b"
    r"|\[feedback zur website\]|^\s*\[[^\[\]]{1,80}\] ?:? (?:new (?:customer )?order|neue bestellung|nouvelle commande|nuevo pedido|nuovo ordine"
    r"|nieuwe bestelling|novo pedido|nova encomenda|nowe zamówienie|ny (?:beställning|ordre|bestilling)|uusi tilaus|nová objednávka|новый заказ"
    r"|yeni sipariş|新規(?:の?ご)?注文|新订单)"
    rf"|\bvia (?:the )?web ?site\b|\b(?:message|enquiry|inquiry|submission|request|question|contact|lead|feedback) (?:from (?:[^:;,!?]{{1,80}} via )?|via |through ){_SITE}"
    rf"|(?:anfrage|nachricht|mitteilung|kontakt|e-?mail) (?:über|von|via|aus) {_SITE}"
    rf"|(?:message|contact|courriel) d[eu] {_SITE}|(?:message|demande|contact|courriel) (?:depuis|via) {_SITE}"
    rf"|mensaje de {_SITE}|(?:mensaje|consulta|contacto|solicitud) (?:desde|vía|a través de) {_SITE}"
    rf"|(?:mensagem|contacto?|contato|pedido) (?:do|pelo|via|através do) {_SITE}"
    rf"|(?:messaggio|richiesta|contatto)(?: \w{{1,20}}){{0,2}} dal {_SITE}|(?:bericht|aanvraag) via {_SITE}"
    rf"|(?:wiadomość|zapytanie) ze? {_SITE}|(?:zpráva|dotaz) z (?:webu|webov\w{{1,3}} strán\w{{1,3}}|{_SITE})"
    rf"|(?:сообщение|заявка|письмо|вопрос|запрос|обращение|заказ) с {_SITE}|(?:サイト|ホームページ)(?:から|より)のお?問"
)
_FORM_SUBJECT = re.compile(_FORM_PHRASES, re.IGNORECASE)
"""What a form's program writes of itself. A site or a form alone is what people write about."""
_ABOUT_A_FORM = re.compile(
    r"\b(?:frage|problem|fehler|beschwerde|question|issue|trouble|error|complaint|bug|problème|erreur|pregunta|problema|errore|domanda)\w{0,3}"
    r" (?:zu[mr]?|mit|beim?|im|über|about|with|on|in|regarding|sur|avec|dans|con|com|sobre|en|sul|nel)\b|проблема с\b|вопрос (?:по|о)\b",
    re.IGNORECASE,
)
_FORM_NAME = re.compile(
    rf"{_FORM_PHRASES}|web ?site|webseite|formular|formulaire|site (?:web|internet)|formulario|sitio web|página web|formulário|dal sito"
    r"|formularz|formulář|с сайта|обратн\w+ связ|お問い?合わ?せ",
    re.IGNORECASE,
)
_FORM_PROGRAMS = re.compile(
    r"phpmailer|php/|wpforms|contact form 7|gravity|ninja forms|swiftmailer|drupal|joomla|formmail", re.IGNORECASE
)
_FORM_HEADERS = ("X-PHP-Script", "X-PHP-Originating-Script", "X-Form-Id", "X-WPForms", "X-Contact-Form")

_AGENT = re.compile(r"(?:[^@\s]{1,64}@)?(?:[\w-]{1,63}\.)+[\w-]{2,63}")

Check = Callable[[Case], Customer | None]


def attached(case: Case) -> Customer | None:
    """An agent passes a mail on as a file (message/rfc822): who wrote it. Its header is a copy, which proves nothing."""
    if not _is_agent(case, case.message.sender.address):
        return None
    for text in case.message.returned:
        lines = [found for pattern in _AUTHOR_LINES if (found := pattern.search(text))]
        written = [(author, line[0]) for line in lines for author in headers.addresses(line[1])]
        author = _author(case, (one for one, _ in written))
        if author is not None:
            return _found(author, "forward.attached", ("attached message", dict(written)[author]), claimed=True)
    return None


def inline(case: Case) -> Customer | None:
    """An agent passes a mail on within his own: who wrote it; of a mail that a colleague had forwarded to him, who wrote that."""
    message = case.message
    if not _is_agent(case, message.sender.address):
        return None
    if not forward.is_forward(message.subject, message.text, answers=bool(message.in_reply_to)):
        return None
    author = _author(case, forward.authors(message.text))
    if author is not None and is_machine(author.address):
        author = _filled_in(case, message.text) or author
    where = ("forwarded header", f"{author.name} <{author.address}>".strip() if author else "")
    return _found(author, "forward.inline", where, claimed=True) if author else None


def original(case: Case) -> Customer | None:
    """What wrote in From's place kept the author: lists that rewrite From for DMARC (RFC 7960, 4.1.3.3), Google Groups."""
    if not (_is_list(case) or _writes_for_somebody(case)):
        return None
    for name in _ORIGINAL:
        for author in headers.addresses(case.header(name) or ""):
            if _is_somebody(case, author) and not is_machine(author.address):
                return _found(author, "original_from", (name, case.header(name) or ""))
    return None


def reply_to(case: Case) -> Customer | None:
    """A contact form, a list or one of our own (mailboxes and people) writes for a person outside, who stands in Reply-To."""
    if not (_is_list(case) or _writes_for_somebody(case)):
        return None
    sender = case.message.sender.address.lower()
    for person in case.message.reply_to:
        if _is_somebody(case, person) and person.address.lower() != sender and not is_machine(person.address):
            why = ("From", f"{case.message.sender.name} <{case.message.sender.address}>".strip())
            return _found(person, "reply_to", why, ("Reply-To", person.address))
    return None


def copied(case: Case) -> Customer | None:
    """A list that rewrites From, and has answers go to itself, keeps the author in Cc (Mailman, `from_is_list`)."""
    name, _, _ = case.message.sender.name.partition(" via ")
    if not name or not _is_list(case):
        return None
    author = next((one for one in case.message.cc if _is_somebody(case, one) and one.name == name.strip("' ")), None)
    return _found(author, "list_cc", ("From", case.message.sender.name), ("Cc", author.address)) if author else None


def form(case: Case) -> Customer | None:
    """A form's program, or one of our mailboxes that a form writes as, tells in the text alone who filled it in."""
    message = case.message
    if message.in_reply_to or message.returned or case.answers_or_is_away:
        return None
    address = message.sender.address.lower()
    is_program = is_machine(address) or _is_own(case, address) or _FORM_ADDRESS.match(address.partition("@")[0])
    if not (is_program or any(one.address.lower() == address for one in message.to)):
        return None
    author = _filled_in(case, message.text_new)
    if author is None:
        return None
    at_home = {one.address.lower().rpartition("@")[2] for one in (message.sender, *message.to)}
    if author.address.rpartition("@")[2] in at_home:
        return None
    return _found(author, FORM, ("form's field", f"{author.name} <{author.address}>".strip()), claimed=True)


def from_reply_to(case: Case, rule: str, why: tuple[Evidence, ...]) -> Customer | None:
    """The person outside whom Reply-To names, because a rule of the tenant says so."""
    person = next((one for one in case.message.reply_to if _is_somebody(case, one)), None)
    return Customer(person, rule, (*why, evidence("Reply-To", person.address))) if person else None


def without_from(case: Case) -> Customer | None:
    """Where no address stands in From: the person in Reply-To, else whom the mail goes back to."""
    message = case.message
    if message.sender.address:
        return None
    named = [("reply_to", "Reply-To", one) for one in message.reply_to]
    named.append(("return_path", "Return-Path", Address(message.sender.name, message.return_path or "")))
    for rule, header, one in named:
        if _is_somebody(case, one) and not is_machine(one.address):
            return _found(one, rule, (header, one.address))
    return None


RULES: tuple[Check, ...] = (attached, inline, original, reply_to, copied, form, without_from)


def customer(case: Case) -> Customer:
    """Whom the mail is from, and why it is him."""
    for check in RULES:
        found = check(case)
        if found is not None:
            return found
    sender = case.message.sender
    return _found(sender, "from", ("From", f"{sender.name} <{sender.address}>".strip()))


def is_agent(address: str, agents: Iterable[str]) -> bool:
    """agents: lower-cased addresses, and domains for everybody in them."""
    lowered = address.lower()
    return lowered in agents or lowered.rpartition("@")[2] in agents


def agent_names(given: Iterable[str]) -> list[str]:
    """Addresses and domains as `is_agent` takes them. Raises InvalidInput for what is neither."""
    names = [one.strip().lower().removeprefix("@") for one in given]
    for name in names:
        if not _AGENT.fullmatch(name):
            raise InvalidInput(
                f"{name!r} is neither an address nor a domain", fix="Write ann@acme.example or acme.example"
            )
    return names


def _author(case: Case, named: Iterable[Address]) -> Address | None:
    """The first person outside among those whom a forwarded mail names; where there is none, the first machine."""
    outside = [one for one in named if _is_somebody(case, one)]
    return next((one for one in outside if not is_machine(one.address)), outside[0] if outside else None)


def _filled_in(case: Case, text: str) -> Address | None:
    """The person outside who filled in the form that a text shows."""
    author = forms.filled_in(text)
    return author if author and _is_somebody(case, author) and not is_machine(author.address) else None


def _is_agent(case: Case, address: str) -> bool:
    return bool(address) and is_agent(address, case.context.agents | case.context.own_addresses)


def _is_own(case: Case, address: str) -> bool:
    own = case.context.own_addresses | {case.context.email_address.lower()}
    return address.lower() in own


def _is_somebody(case: Case, one: Address) -> bool:
    """Whether an address is one of the people outside."""
    return "@" in one.address and not _is_own(case, one.address) and not _is_agent(case, one.address)


def _is_list(case: Case) -> bool:
    """Whether From is a list's own address, put in the author's place."""
    if not any(case.header(name) is not None for name in LIST_HEADERS):
        return False
    sender = case.message.sender
    posts = (case.header("List-Post") or "").lower() + (case.header("X-BeenThere") or "").lower()
    list_id = (case.header("List-Id") or "").lower()
    local, _, domain = sender.address.lower().partition("@")
    return bool(
        _VIA.search(sender.name)
        or (sender.address and sender.address.lower() in posts)
        or (local and f"{local}.{domain}" in list_id)
    )


def _writes_for_somebody(case: Case) -> bool:
    """Whether From is a program: a machine's address, a web form's, or our own, of which our people write for others too."""
    message = case.message
    address, name = message.sender.address.lower(), message.sender.name
    if is_machine(address) or _is_own(case, address) or _is_agent(case, address):
        return True
    if any(one.address.lower() == address for one in message.to):
        return True
    if _FORM_ADDRESS.match(address.partition("@")[0]) or _VIA.search(f" {name} "):
        return True
    filled_in = forms.filled_in(message.text_new) if message.reply_to else None
    if filled_in and any(one.address.lower() == filled_in.address.lower() for one in message.reply_to):
        return True
    replies = {one.address.lower().rpartition("@")[2] for one in message.reply_to}
    is_elsewhere = bool(replies) and address.rpartition("@")[2] not in replies
    return is_elsewhere and any(_form_signs(case))


def _form_signs(case: Case) -> Iterator[bool]:
    yield bool(_FORM_PROGRAMS.search((case.header("X-Mailer") or "")[:200]))
    yield from (case.header(name) is not None for name in _FORM_HEADERS)
    yield bool(_FORM_NAME.search(case.message.sender.name[:200]))
    yield not case.answers_or_is_away and forms.is_by_program(case.message.text)
    subject = case.message.subject[:200]
    yield not case.answers_or_is_away and bool(_FORM_SUBJECT.search(subject)) and not _ABOUT_A_FORM.search(subject)


def _found(address: Address, rule: str, *why: tuple[str, str], claimed: bool = False) -> Customer:
    return Customer(address, rule, tuple(evidence(where, value) for where, value in why), claimed)
