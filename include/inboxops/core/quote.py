"""The part of a reply that its sender wrote, told from what it quotes.

mail-parser-reply knows how mail programs introduce a quotation in a dozen languages. Its expressions are quadratic in the
length of a line, and its own reader searches signatures with one that is worse, so it is asked for the introductions only, on
short lines.
"""

from __future__ import annotations

import functools
import re

_READ = 20_000  # characters of a text in which an introduction is looked for
_LINE = 200  # characters of a line that are looked at
_MOST_CANDIDATES = 50
_WHEN_OR_WHO = re.compile(r"[0-9<@]")
_LABEL = re.compile(
    r"^[*> ]{0,4}(?:from|von|de|da|van|od|fra|från|kimden|от|差出人|送信者|发件人|寄件者|보낸 ?사람)\*?[ \t]?[:：]",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(
    r"^[ \t]*(?:-{2,}[ \t]*(?:original message|ursprüngliche nachricht|originalnachricht|message d'origine|mensaje original"
    r"|mensagem original|messaggio originale|oorspronkelijk bericht|исходное сообщение|原始邮件|元のメッセージ)[ \t]*-{2,}"
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
        top = max(0, number - 1)
        if ends_in_colon:
            if not _WHEN_OR_WHO.search(line[:_LINE]) and not _WHEN_OR_WHO.search(lines[top][:_LINE]):
                continue
        elif not (
            _LABEL.match(line[:_LINE]) and any(":" in near or "：" in near for near in lines[number + 1 : number + 3])
        ):
            continue
        candidates += 1
        window = "\n".join(near[:_LINE].rstrip() for near in lines[top : number + 5])
        found = _introductions().search(window)
        if found:
            start = top + window.count("\n", 0, found.start() + len(found[0]) - len(found[0].lstrip("\n")))
            return start, start + found[0].strip("\n").count("\n") + 1
    return len(lines), len(lines)


@functools.cache
def _introductions() -> re.Pattern[str]:
    from mailparser_reply.constants import MAIL_LANGUAGES  # imported and compiled when the first mail may quote
    from mailparser_reply.parser import EmailMessage

    languages = [name for name, known in MAIL_LANGUAGES.items() if "wrote_header" in known]
    pattern: re.Pattern[str] = EmailMessage(text="", languages=languages).HEADER_REGEX
    return pattern
