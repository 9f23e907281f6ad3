"""The words of a web form's mail: the fields that somebody filled in, and what form programs write around them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from inboxops.core.model import Address
from inboxops.core.recipients import ADDRESS

_SCANNED = 20_000  # characters
_MOST_LINES = 300
_LINE = 300  # characters of a line that are looked at
_NEAR = 8  # lines between a name's field and an address's
_AROUND = " \t*_|:：>•·-–()[]<\"'=.…【】■●◆□"
_ASIDE = re.compile(r"\([^()]{0,30}\)")
_LABEL = 40  # characters

_WHOSE = (
    r"(?:(?:your|my|contact|customer|buyer|billing|client|guest|invitee|sender|deine?|ihre?|absender|kunden"
    r"|votre|mon|su|tu|la tua|il tuo|sua|seu|uw|je|twój|twoje|din|ditt|ваша?|ваше)[ -]?)?"
)
_MAIL_FIELD = re.compile(
    rf"{_WHOSE}(?:(?:e[-. ]?mail|mail)(?:[ -]?(?:address|adresse|adres|id|адрес|cím|aadress))?"
    r"|(?:adresse|adresa|indirizzo|adres) (?:e-?mail|mail|électronique|de messagerie)|courriel|correo(?: electr[óo]nico)?"
    r"|direcci[óo]n de (?:correo(?: electr[óo]nico)?|e-?mail)|posta elettronica|endere[çc]o de e-?mail|e-?post(?:adress?e?n?)?"
    r"|s[äa]hk[öo]posti(?:osoite)?|e-?posta(?: adresi(?:niz)?)?|(?:эл(?:ектронная)?\.? ?)?почта"
    r"|(?:адрес )?эл(?:ектронной)?\.? почты|имейл"
    r"|(?:お客様の)?e?メール(?:アドレス)?|(?:电子|電子)?(?:邮箱|邮件|郵箱|郵件|信箱)(?:地址)?|(?:이메일|메일)(?: ?주소)?)",
    re.IGNORECASE,
)
_NAME_FIELD = re.compile(
    rf"{_WHOSE}(?:(?:first|last|full|sur|family|given)?[ -]?name|(?:vor|nach|zu|familien)name|nom(?: et pr[ée]nom| complet)?"
    r"|pr[ée]nom|nombre(?: y apellidos?| completo)?|apellidos?|nome(?: e cognome| completo)?|cognome|(?:voor|achter)?naam"
    r"|imi[ęe](?: i nazwisko)?|nazwisko|jm[ée]no(?: a příjmení)?|meno|n[ée]v|nume(?: și prenume)?|(?:för|efter)?namn"
    r"|(?:for|efter)?navn|nimi|ad(?:ınız(?: soyadınız)?| soyad|(?= ?:))|isim"
    r"|(?:invitee|customer|buyer|client|guest|kunde|besteller)(?=:)|имя|фио|ім'я|име|όνομα|お?名前|ご?氏名|姓名|名字|이름|성함)(?=[\s:：*|)\]=】]|$)",
    re.IGNORECASE,
)
_PROGRAMS_LINE = re.compile(
    r"^[\s*>-]{0,10}(?:\w{2,8} (?:e-?mail\w*|mail|message|is an?|nachricht|courriel|mensaje|correo|messaggio|bericht|mensagem"
    r"|wiadomość|сообщение|письмо|meddelande|besked|melding|zpráva)\b[^\n]{0,100}(?:\b(?:sent|submitted|gesendet|abgeschickt|envoyée?|enviado"
    r"|enviada|inviat[ao]|verzonden|wysłana|skickats?|sendt|odeslána)\b|отправлено)[^\n]{0,60}(?:form|módulo|modulo|форм)"
    r"|\w{2,8} (?:e-?mail|message|is an?|nachricht)\b[^\n]{0,60}(?:contact form was submitted|enquiry e-?mail via"
    r"|kontaktformular[^\n]{0,100}(?:abgeschickt|gesendet))"
    r"|dies ist eine anfrage (?:per e-?mail )?(?:über|via) http"
    r"|you(?:['’]ve| have)? (?:just )?received? a (?:new )?(?:message|submission|enquiry|inquiry|response) (?:from|via) your "
    r"|(?:message body|nachrichtentext|corps du message|cuerpo del mensaje|corpo del messaggio|corpo da mensagem|berichtinhoud"
    r"|treść wiadomości|メッセージ本文|текст сообщения)[ \t]*[:：][ \t]*$"
    r"|powered by:? elementor|remote ip:[ \t]*[0-9a-f]|このメールは.{0,60}お問い?合わ?せ)",
    re.IGNORECASE | re.MULTILINE,
)


def is_by_program(text: str) -> bool:
    """Whether a text holds a line that form programs write: Contact Form 7, Elementor, Shopify, Joomla and their like."""
    return _PROGRAMS_LINE.search(text[:_SCANNED]) is not None


def filled_in(text: str) -> Address | None:
    """Who filled a form in: the address in a field for addresses that has one for names near it. A signature has no such two."""
    lines = [line[:_LINE] for line in text[:_SCANNED].splitlines() if line.strip()][:_MOST_LINES]
    for number, address in _mail_fields(lines):
        for near in range(max(0, number - _NEAR), min(number + _NEAR, len(lines))):
            line = _ASIDE.sub("", lines[near]).lstrip(_AROUND)
            if found := _NAME_FIELD.match(line):
                value = line[found.end() :].strip(_AROUND) or (lines[near + 1].strip() if near + 1 < len(lines) else "")
                return Address("" if "@" in value else value, address)
    return None


def _bare(label: str) -> str:
    return _ASIDE.sub("", label).strip(_AROUND)


def _mail_fields(lines: list[str]) -> Iterator[tuple[int, str]]:
    """(number of its line, address) of each line that holds an address behind a label, or below one, and no other words."""
    for number, line in enumerate(lines):
        found = ADDRESS.search(line) if "@" in line else None
        if found is None or any(map(str.isalnum, ADDRESS.sub("", line[found.end() :]).replace("mailto", ""))):
            continue
        local, _, domain = found[0].rpartition("@")
        before, _, local = local.rpartition("=")
        label = _bare(f"{line[: found.start()]}{before}") or (_bare(lines[number - 1]) if number else "")
        if len(label) <= _LABEL and _MAIL_FIELD.fullmatch(label):
            yield number, f"{local}@{domain.lower()}"
