"""The part of a reply that its sender wrote, told from what it quotes.

mail-parser-reply knows how mail programs introduce a quotation in a dozen languages. Its expressions are quadratic in the
length of a line, and its own reader searches signatures with one that is worse, so it is asked for the introductions only, on
short lines. What it does not know is told by its form in whatever language: a header block (`core.forward` has the labels), and a
line that ends in a colon with an address, a day and a time.
"""

from __future__ import annotations

import functools
import re

from inboxops.core import forward

_READ = 20_000  # characters of a text in which an introduction is looked for
_LINE = 200  # characters of a line that are looked at
_MOST_CANDIDATES = 50
_WHEN_OR_WHO = re.compile(r"[0-9<@]")
_BLOCK = 8  # lines of a header block
_FIELD = re.compile(r"^[\s*_]{0,8}([^\s:：@][^:：@\n]{0,24}?)[\s*_]{0,4}[:：][\s*_]{0,4}(.*)$")
_ALSO_IN_BLOCK = frozenset({
    "cc", "copy", "kopie", "kopi", "kopia", "копия", "copie à", "抄送", "副本", "참조", "importance", "priority", "wichtigkeit",
    "priorität", "attachments", "anlagen", "pièces jointes", "reply-to", "when", "where", "wann", "wo", "size",
})  # fmt: skip
_TIME = re.compile(r"(?<!\d)\d{1,2}[:.]\d\d(?!\d)")
_DAY = re.compile(r"(?<!\d)(?:19|20|25)\d\d(?!\d)|(?<!\d)\d{1,2}(?:\. ?|/)\d{1,2}(?:\.|/)")
_BRACKETED = re.compile(r"[<(] ?[^<>()\s@]{1,80}@[^<>()\s]{1,120} ?[>)]")
_SEPARATOR = re.compile(
    r"^[ \t]*(?:-{2,}(?:[ \t]|&nbsp;)*(?:original message|ursprüngliche nachricht|original-?nachricht"
    r"|message (?:d'origine|original)|mensaje original|missatge original|mensagem original|messaggio originale"
    r"|oorspronkelijk bericht|originele? bericht"
    r"|ursprungligt meddelande|oprindelig meddelelse|opprinnelig melding|alkuperäinen viesti|oryginalna wiadomość"
    r"|wiadomość oryginalna|původní (?:zpráva|e-?mail)|pôvodná správa|eredeti üzenet|mesaj original|orijinal (?:mesaj|ileti)"
    r"|исходное (?:сообщение|письмо)|оригінальне повідомлення|αρχικό μήνυμα|原始邮件|原始郵件|原邮件|元のメッセージ"
    r"|원본 (?:메시지|메일))(?:[ \t]|&nbsp;)*-{2,}"
    r"|[^\n]{0,150}[0-9<@][^\n]{0,100}(?:写道|寫道|님이 작성(?:하였습니다)?|escreveu|писал(?:\(а\)|а)?|пишет|пише|написав"
    r"|yazdı|kirjoitti|írta|a scris|έγραψε)[ \t]*[:：]|_{20,}|#{2}- ?.{0,80}reply above this line.{0,40})[ \t]*$",
    re.IGNORECASE,
)


def new_part(text: str) -> str:
    """What stands above a quotation and between its lines; the whole text when nothing is quoted or nothing else would be left."""
    lines = text.splitlines()
    start, below = _introduction(lines)
    kept = lines[:start]
    if below < len(lines) and next((line for line in lines[below:] if line.strip()), "").lstrip().startswith(">"):
        kept += lines[below:]  # quoted line by line: what is not marked was written in between
    fresh = [line for line in kept if not line.lstrip().startswith(">")]
    if len(fresh) == len(lines):
        return text
    return "\n".join(fresh).strip() or text


def _introduction(lines: list[str]) -> tuple[int, int]:
    """(the line where the introduction of the first quotation begins, the one behind it); both the end when there is none."""
    size, candidates = 0, 0
    for number, line in enumerate(lines):
        size += len(line)
        if size > _READ or candidates > _MOST_CANDIDATES:
            break
        line = line.strip()
        ends_in_colon = line.endswith((":", "："))
        if (ends_in_colon or line.startswith(("--", "__", "##"))) and _SEPARATOR.match(line[:_LINE]):
            return number, number + 1
        if (":" in line or "：" in line) and (end := _header_block(lines, number)) is not None:
            return number, end
        if (
            len(line) <= _LINE
            and (ends_in_colon or line.endswith("--"))
            and (start := _dated(lines, number)) is not None
        ):
            return start, number + 1
        top = max(0, number - 1)
        if not ends_in_colon or not (_WHEN_OR_WHO.search(line[:_LINE]) or _WHEN_OR_WHO.search(lines[top][:_LINE])):
            continue
        candidates += 1
        window = "\n".join(near[:_LINE].rstrip() for near in lines[top : number + 5])
        found = _introductions().search(window)
        if found:
            start = top + window.count("\n", 0, found.start() + len(found[0]) - len(found[0].lstrip("\n")))
            return start, start + found[0].strip("\n").count("\n") + 1
    return len(lines), len(lines)


def _header_block(lines: list[str], number: int) -> int | None:
    """The line behind a block of header lines that begins here: an author, with a day, a recipient or a subject, as mailers write
    them above what they quote. Those who write of such things have no address there, or not all of them."""
    if not forward.label(lines[number])[0] or lines[number].lstrip().startswith(">"):
        return None
    found: dict[str, str] = {}
    end = number
    for near, line in enumerate(lines[number : number + _BLOCK], start=number):
        kind, value = forward.label(line)
        if kind:
            found.setdefault(kind, value)
            end = near + 1
        elif not line.strip() and near > end:
            break
    field = _FIELD.match(lines[end][:_LINE]) if end < len(lines) else None
    if field and "@" not in field[2] and field[1].strip().casefold() not in _ALSO_IN_BLOCK:
        return None  # a form's or a device's list, of which the rest is no mail's header
    others = found.keys() & {"date", "to", "subject"}
    is_addressed = "@" in found.get("from", "") + found.get("to", "")
    is_block = "from" in found and ({"date", "subject"} <= others or (is_addressed and len(others) > 1))
    return end if is_block else None


def _dated(lines: list[str], number: int) -> int | None:
    """Where an introduction begins that ends in this line: it names a day and a time and, in brackets, an address. Without one,
    what follows has to be marked as quoted. Long ones take two lines, the first of which opens a paragraph."""
    line = lines[number].strip()[:_LINE]
    above = lines[number - 1].strip()[:_LINE] if number else ""
    starts = [(number, line)]
    if above and (number < 2 or not lines[number - 2].strip()) and (_TIME.search(above) or _DAY.search(above)):
        starts.append((number - 1, f"{above} {line}"))
    is_marked = next((below for below in lines[number + 1 : number + 3] if below.strip()), "").lstrip().startswith(">")
    for start, text in starts:
        if _TIME.search(text) and _DAY.search(text) and (is_marked or _BRACKETED.search(text)):
            return start
    return None


@functools.cache
def _introductions() -> re.Pattern[str]:
    from mailparser_reply.constants import MAIL_LANGUAGES  # imported and compiled when the first mail may quote
    from mailparser_reply.parser import EmailMessage

    languages = [name for name, known in MAIL_LANGUAGES.items() if "wrote_header" in known]
    pattern: re.Pattern[str] = EmailMessage(text="", languages=languages).HEADER_REGEX
    return pattern
