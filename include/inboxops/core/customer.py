"""Who the customer is: who wrote, whom an answer is for, and how sure that is. A question of its own beside the verdict.

The table below is the policy; the first rule that finds somebody decides, else it is the author in From (RFC 5322, 3.6.2: Sender is
who sent it for the author). What a text alone says is a claim: such a customer gains no right by it, and is never answered by
a machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from inboxops.core import forward, headers
from inboxops.core.case import Case
from inboxops.core.model import Address, Customer, Evidence
from inboxops.core.rules import evidence
from inboxops.core.rules.machine import is_machine
from inboxops.errors import InvalidInput

_FROM_LINE = re.compile(r"^from:[ \t]*(.{1,500})$", re.IGNORECASE | re.MULTILINE)
_VIA = re.compile(r"\s(?:via|über|par|przez|через|mediante|através de|por medio de)\s", re.IGNORECASE)
_LIST_HEADERS = ("List-Id", "List-Post", "X-BeenThere", "X-Mailing-List", "Mailing-List")
_ORIGINAL = ("X-Original-From", "Original-From", "X-Original-Sender", "X-Google-Original-From")
_FORM_ADDRESS = re.compile(
    r"^(?:www(?:[-_.]?data)?|web(?:site|form|forms|mail|server|page)?|wordpress|wp|apache|httpd|nobody|drupal|joomla|typo3|shopify"
    r"|form(?:s|ular|ulario|ulaire|mail|[-_.]?submissions?)?|submissions?|contact[-_.]?(?:us|form)|kontakt(?:formular)|formulario|formulaire"
    r"|mailer|mail[-_.]?form|server|system|site|daemon|cgi|php|bounces?)(?:[-_.+\d].*)?$",
    re.IGNORECASE,
)
_FORM_WORDS = re.compile(
    r"contact form|web ?form|website|web ?site|form submission|new (?:message|enquiry|inquiry|submission) (?:from|via|on)|enquiry form"
    r"|kontaktformular|webformular|formular(?:eingang)?|webseite|anfrage über|formulaire|site (?:web|internet)|formulario|sitio web|página web"
    r"|formulário|modulo (?:di )?contatt|dal sito|contactformulier|kontaktformulär|kontaktskjema|yhteydenottolomake|formularz"
    r"|formulář|с сайта|форма обратной связи|обратн\w+ связ|お問い?合わ?せ(?:フォーム)?|联系表单|网站留言|문의 ?양식|iletişim formu",
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
        line = _FROM_LINE.search(text)
        for author in headers.addresses(line[1]) if line else ():
            if _is_somebody(case, author):
                return _found(author, "forward.attached", ("attached message", line[0] if line else ""), claimed=True)
    return None


def inline(case: Case) -> Customer | None:
    """An agent passes a mail on within his own: who wrote it; of a mail that a colleague had forwarded to him, who wrote that."""
    message = case.message
    if not _is_agent(case, message.sender.address):
        return None
    if not forward.is_forward(message.subject, message.text, answers=bool(message.in_reply_to)):
        return None
    author = next((one for one in forward.authors(message.text) if _is_somebody(case, one)), None)
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
    """A contact form, a list or one of our own addresses writes for a person, who stands in Reply-To."""
    if not (_is_list(case) or _writes_for_somebody(case)):
        return None
    sender = case.message.sender.address.lower()
    for person in case.message.reply_to:
        if _is_somebody(case, person) and person.address.lower() != sender and not is_machine(person.address):
            why = ("From", f"{case.message.sender.name} <{case.message.sender.address}>".strip())
            return _found(person, "reply_to", why, ("Reply-To", person.address))
    return None


def from_reply_to(case: Case, rule: str, why: tuple[Evidence, ...]) -> Customer | None:
    """The person outside whom Reply-To names, because a rule of the tenant says so."""
    person = next((one for one in case.message.reply_to if _is_somebody(case, one)), None)
    return Customer(person, rule, (*why, evidence("Reply-To", person.address))) if person else None


RULES: tuple[Check, ...] = (attached, inline, original, reply_to)


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
    if not any(case.header(name) is not None for name in _LIST_HEADERS):
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
    """Whether From is a program: a machine's address, a web form's, or our own."""
    message = case.message
    address, name = message.sender.address.lower(), message.sender.name
    if is_machine(address) or _is_own(case, address) or any(one.address.lower() == address for one in message.to):
        return True
    if _FORM_ADDRESS.match(address.partition("@")[0]) or (_VIA.search(f" {name} ") and message.reply_to):
        return True
    replies = {one.address.lower().rpartition("@")[2] for one in message.reply_to}
    is_elsewhere = bool(replies) and address.rpartition("@")[2] not in replies
    return is_elsewhere and any(_form_signs(case))


def _form_signs(case: Case) -> Iterator[bool]:
    yield bool(_FORM_PROGRAMS.search((case.header("X-Mailer") or "")[:200]))
    yield from (case.header(name) is not None for name in _FORM_HEADERS)
    yield bool(_FORM_WORDS.search(case.message.sender.name[:200]))
    yield bool(_FORM_WORDS.search(case.message.subject[:200]))


def _found(address: Address, rule: str, *why: tuple[str, str], claimed: bool = False) -> Customer:
    return Customer(address, rule, tuple(evidence(where, value) for where, value in why), claimed)
