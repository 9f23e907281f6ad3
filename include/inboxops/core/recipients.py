"""Which addresses a server says it could not reach, when it says so in words."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from inboxops.core import phrases

_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
ADDRESS = re.compile(
    rf"(?:(?:[.!#$%&'*+/=?^`{{|}}~-]|(?![{_UNSPACED}])\w){{1,64}}|[{_UNSPACED}]{{1,64}})"
    rf"@(?:[\w-]{{1,63}}\.){{1,10}}(?:[A-Za-z0-9-]{{2,63}}|(?:(?![A-Za-z0-9])\w){{2,63}})"
)
"""A mailbox in a text. Where words are written without spaces they touch it: letters of those scripts are no part of a local part
in others, and a domain ends where its last label leaves ASCII."""
_ENTRY = re.compile(
    rf"""[ \t>*•"'<\[(-]{{0,20}}({ADDRESS.pattern})["'>\])]{{0,3}}[ \t]*(?::|$|<{ADDRESS.pattern}>[ \t]*$)"""
)
_LEAD = re.compile(
    r"""^[ \t>|*•·-]{0,80}(?:
        (?:recipients?|failed[ ]recipients?|intended[ ]recipients?|final[ ]recipient|original[ ]recipient|error-for|for|address
          |(?:e-?mail|undeliverable|failed|bad|rejected|mailbox)[ ]address|unknown[ ]user|user|delivered[ ]to|email|mailto
          |empfänger|destinataires?|destinatarios?|destinatari[oa]|geadresseerde|получател[ья]|宛先|受信者|收件人|받는[ ]사람)
        [ \t]*[:=：][ \t]*)?
        ["'<\[(]{0,3}(?:smtp:|rfc822;[ \t]*)?$""",
    re.IGNORECASE | re.VERBOSE,
)
_ORIGIN = re.compile(
    r"(?:expanded|generated|forwarded|redirected|derived) from:?[ \t]*<?$|(?:originally )?addressed to[ \t]*[<'\"]?$|dda:smtp=$",
    re.IGNORECASE,
)
_ADDRESSED = re.compile(r"^[ \t>|]{0,20}to[ \t]*:[ \t]*[\"'<]{0,2}$", re.IGNORECASE)
_FROM = re.compile(r"\b(?:from|by|von|de|от):?[ \t]*[\"'<(]{0,2}$", re.IGNORECASE)
_FAILURE_WORD = re.compile(
    r"\b(?:not|no|fail|failed|failure|unknown|reject\w*|undeliver\w*|invalid|full|quota|exceed\w*|unable|disabled|denied|refused|return\w*|error|"
    r"bounce\w*|postponed|delayed|rcpt|deliver|delivery|nicht|pas|non|niet|não|nie|не)\b|n['’]t\b|\b[45]\d\d\b"
    r"|失败|失敗|できません|无法|無法|不",
    re.IGNORECASE,
)
_NOBODY = re.compile(r"^(?:postmaster|mailer-daemon|abuse|no-?reply|hostmaster)@", re.IGNORECASE)
_PREFIX = re.compile(r"^(?:[^@]*[=:;'/])(?=[^=:;'/@]+@)")
_BARE_NAME = re.compile(r"^[ \t]+([a-z0-9][a-z0-9._-]{1,40})[ \t]*$", re.IGNORECASE)
_MOST = 500
_LINE = 2_000  # characters of a line that are looked at


@dataclass(frozen=True, slots=True)
class Named:
    """Addresses in a server's report, the surest kind first.

    listed: on a line of their own, or labelled. told: in a sentence that tells of a failure. local: names without a domain below a
    line that tells of one. addressed: whom the report says the message was to. alone: the only address there is, in words that
    tell nothing to us.
    """

    listed: tuple[str, ...]
    told: tuple[str, ...]
    local: tuple[str, ...]
    addressed: tuple[str, ...]
    alone: tuple[str, ...] = ()

    @property
    def surest(self) -> tuple[str, ...]:
        return (self.listed or self.told or self.local or self.addressed)[:_MOST]


def named(report: str, *, not_these: Iterable[str], local_domain: str = "") -> Named:
    """What a report names, `not_these` aside. local_domain: where a name listed without a domain lives."""
    unwanted = {address.lower() for address in not_these}
    listed: dict[str, None] = {}
    told: dict[str, None] = {}
    addressed: dict[str, None] = {}
    others: dict[str, None] = {}
    lines = [line[:_LINE] for line in report.splitlines()]
    tells = functools.cache(lambda number: _tells_of_failure(lines[number]))
    for number, line in enumerate(lines):
        for found in ADDRESS.finditer(line) if "@" in line else ():
            address = _PREFIX.sub("", found[0]).strip(".'")
            before = line[: found.end() - len(address)] if found[0].endswith(address) else line[: found.start()]
            if address.lower() in unwanted or _NOBODY.match(address) or "message-id" in before.lower():
                continue
            labelled = before.rstrip(" <\"'").endswith(":") and _FAILURE_WORD.search(before)
            if labelled or _LEAD.match(before) or _ORIGIN.search(before):
                listed[address] = None
            elif _ADDRESSED.match(before):
                addressed[address] = None
            elif not _FROM.search(before):
                near = range(max(0, number - 1), min(number + 2, len(lines)))
                (told if any(map(tells, near)) else others)[address] = None
    local = dict.fromkeys(f"{name}@{local_domain}" for name in _bare_names(lines)) if local_domain else {}
    alone = tuple(others) if len(others) == 1 else ()
    return Named(tuple(listed), tuple(told), tuple(local), tuple(addressed), alone)


def _tells_of_failure(line: str) -> bool:
    return _FAILURE_WORD.search(line) is not None or phrases.FAILURE.search(line.lower()) is not None


def listed(line: str) -> str:
    """The address of a line that is nothing but a list's entry, perhaps with a reason behind a colon; else ""."""
    found = _ENTRY.match(line[:_LINE])
    return found[1] if found else ""


def _bare_names(lines: list[str]) -> list[str]:
    """Names on lines of their own below a line that tells of a failure and ends in a colon."""
    names: list[str] = []
    heading = ""
    for line in lines:
        found = _BARE_NAME.match(line)
        if found and heading:
            names.append(found[1])
        elif line.strip():
            heading = line if line.rstrip().endswith(":") and (phrases.FAILURE.search(line.lower()) or heading) else ""
    return names
