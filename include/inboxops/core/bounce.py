"""What a delivery report says: the signs that it is one, recipients, status, diagnostic, and the ids of what came back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from inboxops.core import forms, ids, phrases, recipients
from inboxops.core.case import Case
from inboxops.core.model import Bounce, Evidence, ParsedMessage
from inboxops.core.parts import blocks
from inboxops.core.returned import SCANNED
from inboxops.core.rules import evidence
from inboxops.core.rules.auto_submitted import by_program
from inboxops.core.rules.machine import is_machine, is_nobody

_DAEMON = re.compile(
    r"^(?:mailer?[._-]?d[ae]{1,2}mon|mdaemon|mmdf|mail[._-]?delivery[\w.-]*|mail[._-]?system"
    r"|delivery[._-]?(?:subsystem|failure\w*))(?![a-z0-9])",
    re.IGNORECASE,
)
_POSTMASTER = re.compile(r"^post[._-]?ma(?:st|ts)er(?![a-z0-9])", re.IGNORECASE)
_PROGRAM = re.compile(
    r"\W*(?:(?:mail|message) delivery (?:(?:sub)?system|service)|delivery subsystem|mailer.?daemon|message transfer agent)\W*",
    re.IGNORECASE,
)
"""Names that no person and no department has."""
_DAEMON_NAME = re.compile(
    r"mail delive|delivery (?:sub)?system|mailer.?daemon|^postmaster$|mail (?:administrator|system|server|router)"
    r"|^system administrator$|message transfer agent|systemadministrator|administrateur (?:système|du système)"
    r"|почтов\w+ (?:служб|систем|сервер)|メール配信|郵件(?:遞送|傳遞)|邮件(?:系统|投递)",
    re.IGNORECASE,
)
"""Names that servers have, and those who run them."""
_OF_A_PROGRAM = re.compile(
    r"\be?-?mail|server|system|gateway|security|filter|virus|smtp|\bmta\b|post ?master|post office|daemon|admin|automat|deliver"
    r"|outlook|exchange|spam|@|\b\w{2,}\.\w{2,}|служб|配信|投[递遞]",
    re.IGNORECASE,
)
"""What stands in the name of a postmaster who is a program: a product, a host, a task."""
_CLIENT = re.compile(
    r"thunderbird|seamonkey|microsoft (?:office )?outlook|windows (?:live )?mail|outlook express|apple mail"
    r"|(?:iphone|ipad|mac) mail|k-9 mail|fairemail|roundcube|squirrelmail|horde|zimbrawebclient|evolution|kmail|claws"
    r"|sylpheed|\bmutt\b|the bat!|airmail|foxmail|becky|emclient|mailspring|yahoomail",
    re.IGNORECASE,
)
"""Programs that people write with."""
_INTRODUCES = re.compile(
    r"\bfollowing\b|\brecipients?\b|\bfolgende|\bempfänger|\bdestinat|получател|宛先|受信者|收件人"
)
"""What leads to addresses that failed, in lower-cased text."""
_SUBMITTED_FAILURE = re.compile(r"\((?:failure|warning|rejected|delivery)[^)]*\)", re.IGNORECASE)
_SERVER_HEADERS = ("X-Failed-Recipients", "X-MS-Exchange-Message-Is-Ndr")
_MESSAGE_ID = re.compile(
    r"^[ \t>|*]{0,8}(?:x-)?(?:original-|(resent-))?message-?id[ \t]{0,8}:[ \t\r\n]{0,8}(?:&lt;|<)?([^<>\s&]{1,1000})",
    re.IGNORECASE | re.MULTILINE,
)
_STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_REPLY_CODE = re.compile(r"(?<![\d.])([45])(\d\d)(?=[ :-])")
_PASSING = re.compile(
    r"quota|mailbox (?:is )?full|mailbox size|over the storage|insufficient (?:disk|storage)|spam|blocked|blacklist"
    r"|block ?list|dmarc|\bspf\b|policy|reputation|greylist|rate limit",
    re.IGNORECASE,
)
_TO = re.compile(r"^[ \t>|]{0,8}to:([^\n]{1,2000})", re.IGNORECASE | re.MULTILINE)
_AUTHOR = re.compile(
    r"^[ \t>|]{0,8}(?:from|sender|return-path|errors-to|reply-to)[ \t]?:([^\n]{1,500})", re.IGNORECASE | re.MULTILINE
)
_MOST_IDS = 50
_WORDS = 5_000  # characters of a report without status blocks that tell hard from soft


def action(block: Mapping[str, str]) -> str:
    """ "failed", "delayed", "delivered" or "" of a recipient's block (RFC 3464, 2.3.3), also where servers use their own words.

    Without an Action, the Status decides when its class is 5 or 2; class 4 alone does not tell a failure from a delay.
    """
    word = block.get("action", "").partition("(")[0].strip().lower()
    if word.startswith(("fail", "undeliver", "expire", "reject", "error", "return")):
        return "failed"
    if word.startswith(("delay", "defer", "postpone")):
        return "delayed"
    if word.startswith(("deliver", "relay", "expand")):
        return "delivered"
    if not word and ("final-recipient" in block or "original-recipient" in block):
        return {"5": "failed", "2": "delivered"}.get(block.get("status", "").strip()[:1], "")
    return ""


def report(case: Case) -> Bounce:
    """Everything a bounce or a delay says: from its status blocks where it has them, else from its words."""
    message, spoken = case.message, case.spoken
    told = message.delivery_status or message.wrapped_status or status_in_text(case)
    failed = [block for block in told if action(block) in {"failed", "delayed"}]
    found = dict.fromkeys(filter(None, map(_block_recipient, failed))) or dict.fromkeys(_header_recipients(case))
    diagnostic = (
        next((block["diagnostic-code"] for block in failed if block.get("diagnostic-code")), "") or case.failure
    )
    status = (
        next(filter(None, (_status(block.get("status", "")) for block in failed)), "")
        or _status(diagnostic)
        or _status(spoken)
    )
    delayed = (
        {action(block) for block in failed} == {"delayed"} if failed else _is_delay(case) and not status.startswith("5")
    )
    return Bounce(
        kind="delayed" if delayed else _kind(status, diagnostic if failed else case.spoken[:_WORDS]),
        recipients=tuple(found) or _spoken_recipients(case),
        status=status,
        diagnostic=diagnostic[:1_000],
        original_ids=_original_ids(case),
        signed_ids=_signed_ids(case),
    )


def status_in_text(case: Case) -> tuple[Mapping[str, str], ...]:
    """The fields of RFC 3464 where a server wrote them into its words instead of a part of their own."""
    text = case.message.text[:SCANNED]
    return tuple(blocks(text)) if "final-recipient:" in text.lower() else ()


def returned(case: Case) -> Bounce:
    """What came back with a complaint or a receipt: whose it was, and its ids. It says nothing about a failure."""
    fields = case.message.report_fields
    named = [fields.get(name, "") for name in ("original-rcpt-to", "original-recipient", "final-recipient")]
    found = [one.rpartition(";")[2].strip().strip("<>") for one in named]
    addresses = tuple(dict.fromkeys(one for one in found if "@" in one))
    return Bounce("", addresses, "", "", _original_ids(case), _signed_ids(case))


def signs(case: Case) -> Mapping[str, Evidence]:
    """The groups a to f of the policy that this message shows, and g: what came back was sent by whom this mail is addressed to.

    The body (e to g) is looked at only when the headers (a to d) show anything: without them it proves nothing.
    """
    return case.once(_signs)


def _signs(case: Case) -> dict[str, Evidence]:
    message = case.message
    found: dict[str, Evidence] = {}
    if is_daemon(message) or _is_servers_name(case):
        found["a"] = evidence("From", f"{message.sender.name} <{message.sender.address}>".strip())
    if message.return_path is not None and (not message.return_path or _DAEMON.match(message.return_path)):
        found["b"] = evidence("Return-Path", f"<{message.return_path}>")
    for name in _SERVER_HEADERS:
        value = case.header(name)
        if value is not None:
            found["c"] = evidence(name, value)
    submitted = case.header("Auto-Submitted")
    if submitted and _SUBMITTED_FAILURE.search(submitted[:200]):
        found["c"] = evidence("Auto-Submitted", submitted)
    if case.has_bounce_subject:
        found["d"] = evidence("Subject", message.subject)
    if not found:
        return found
    if message.returned:
        found["e"] = evidence("part", "a returned message")
    elif case.has_header_block:
        found["e"] = evidence("body", case.below.strip())
    if case.failure:
        found["f"] = evidence("body", case.failure)
    if "e" in found and (author := returned_to_its_author(case)):
        found["g"] = evidence("returned message", f"sent by {author}")
    return found


def is_daemon(message: ParsedMessage) -> bool:
    """Whether a mail server is named as the author, by an address or a name that no person has. Postmaster is also a person."""
    return _DAEMON.match(_local_part(message)) is not None or _PROGRAM.fullmatch(message.sender.name) is not None


def is_postmaster(message: ParsedMessage) -> bool:
    """Whether the author is a postmaster: a mail server, or who looks after it (RFC 5321, 4.5.1)."""
    return _POSTMASTER.match(_local_part(message)) is not None


def _is_servers_name(case: Case) -> bool:
    """Whether From may be a server: postmaster without a person's name, or a server's name where nobody could be answered."""
    message = case.message
    if is_postmaster(message):
        name = message.sender.name
        return not name or _OF_A_PROGRAM.search(name) is not None or message.return_path == "" or bool(by_program(case))
    by_name = _DAEMON_NAME.search(message.sender.name) is not None and is_nobody(message)
    return by_name or _DAEMON_NAME.search(_local_part(message)) is not None


def _local_part(message: ParsedMessage) -> str:
    return (message.sender.address.rpartition("@")[0] or message.sender.address).strip('"')


def is_report(case: Case) -> bool:
    """Whether a report's part in this mail is its own (RFC 6522), and not of a report that a person passes on.

    A report's root says so. Of other mail a part counts with a machine's sign, and without one where neither the subject is
    another mail's nor the part a file.
    """
    message = case.message
    if message.content_type.startswith(("multipart/report", "message/")) or by_program(case) or is_nobody(message):
        return True
    return bool(signs(case).keys() & set("abc")) or not (case.is_answer or "attached-report" in message.marks)


def writes_for_somebody(case: Case) -> bool:
    """Whether a form's program wrote this for a person elsewhere, who may tell of mail that failed: Reply-To or its fields say."""
    message = case.message
    home = message.sender.address.rpartition("@")[2].lower()
    elsewhere = (one.address for one in message.reply_to if one.address.rpartition("@")[2].lower() not in {home, ""})
    return any(not is_machine(address) for address in elsewhere) or forms.filled_in(case.spoken) is not None


def is_written_by_hand(case: Case) -> bool:
    """Whether a mail names the program that a person wrote it with: then what it holds of a report was put there."""
    return any(_CLIENT.search((case.header(name) or "")[:200]) for name in ("User-Agent", "X-Mailer"))


def opening_failure(case: Case) -> Evidence | None:
    """A text whose first sentence tells of a failure and lists an address on a line of its own: how servers begin.

    People who paste a bounce greet or say why first, in a paragraph of its own, and people whose parcel did not come sign with
    their address. It is neither the sender's, nor one of ours, nor where an answer goes to, and a server introduces or brackets it.
    """
    if is_written_by_hand(case):
        return None
    aside = {*map(str.lower, _aside(case)), *case.context.own_addresses, case.context.email_address.lower()}
    written = case.spoken.splitlines()
    places = [place for place, line in enumerate(written) if any(map(str.isalnum, line))][:5]
    lines = [written[place].strip()[:500] for place in places]
    goes_on = len(places) > 1 and places[1] == places[0] + 1
    for number, line in enumerate(lines[: 2 if goes_on else 1]):
        if phrases.FAILURE.search(line.lower()):
            for last in range(number, min(number + 3, len(lines))):
                address = recipients.listed(lines[last])
                if address and address.lower() not in aside and _is_introduced(lines[number : last + 1]):
                    return evidence("body", line)
    return None


def _is_introduced(lines: Sequence[str]) -> bool:
    """Whether the address in the last of these lines, of which the first tells of a failure, is listed as one that failed."""
    *before, entry = map(str.lower, lines)
    if entry.startswith("<") or phrases.SMTP_REPLY.search(entry):
        return True
    return lines[0].endswith((":", "：")) or any(map(_INTRODUCES.search, before))


def names_a_recipient(case: Case) -> bool:
    """Whether the text names an address that failed, as every report does that is for a person to read."""
    found = recipients.named(case.spoken, not_these=_aside(case))
    return bool(found.listed or found.told)


def _aside(case: Case) -> list[str]:
    """Addresses that stand in a report for other reasons: whom it is from, whom it is to, whom an answer goes to."""
    message = case.message
    return [
        message.sender.address,
        *(one.address for one in (*message.to, *message.reply_to)),
        message.return_path or "",
    ]


def _block_recipient(block: Mapping[str, str]) -> str:
    """The address the sender used (Original-Recipient, RFC 3461, 4.2) before the one it became; only one that mail can go to."""
    for name in ("original-recipient", "final-recipient", "x-actual-recipient"):
        kind, _, rest = block.get(name, "").rpartition(";")
        address = recipients.ADDRESS.search(rest.strip().strip("<>"))
        if address and not kind.strip().lower().startswith("x400") and "." in rest:
            return address[0]
    return ""


def _header_recipients(case: Case) -> Iterator[str]:
    for value in case.all_headers("X-Failed-Recipients"):
        for one in value.split(","):
            address = recipients.ADDRESS.search(one)
            if address:
                yield address[0]


def _spoken_recipients(case: Case) -> tuple[str, ...]:
    """Addresses in the words of the report, or whom the returned message was for, when one; at last the only address there is."""
    message = case.message
    found = recipients.named(
        case.spoken, not_these=_aside(case), local_domain=message.sender.address.rpartition("@")[2]
    )
    if found.surest:
        return found.surest
    ours = {one.address.lower() for one in message.to}
    for block in message.returned or (case.below,):
        to = _TO.search(block)
        addressed = recipients.ADDRESS.findall(to[1]) if to else []
        if len(addressed) == 1 and (addressed[0].lower() not in ours or returned_to_its_author(case)):
            return (addressed[0],)
    return found.alone


def _original_ids(case: Case) -> tuple[str, ...]:
    """Ids of what came back: of the returned part, of the report's own fields, in the body, and at last what the report answers."""
    message = case.message
    fields = [message.report_fields.get("original-message-id", "")]
    for block in message.delivery_status:
        fields += [
            block.get("original-message-id", ""),
            block.get("x-original-message-id", ""),
            block.get("message-id", ""),
        ]
    found = case.all_headers("X-Riferimento-Message-ID")[:1]
    found += [one for text in (*message.wrapped_returned, *message.returned) for one in _message_ids(text)]
    found += [*fields, case.header("X-Original-Message-ID") or "", *_message_ids(message.text[:SCANNED])]
    normal = [ids.normalise_message_id(one) for one in found]
    normal += [*message.in_reply_to, *message.references[::-1]]
    return tuple(dict.fromkeys(filter(None, normal)))[:_MOST_IDS]


def _message_ids(text: str) -> list[str]:
    """Ids of header lines; behind them those by which a list or a mailbox sent a message on (RFC 5322, 3.6.6)."""
    found = _MESSAGE_ID.findall(text)
    return [one for resent in (False, True) for mark, one in found if bool(mark) is resent]


def _signed_ids(case: Case) -> tuple[tuple[int, int], ...]:
    message = case.message
    fields = [value for block in message.delivery_status for value in block.values()]
    places = [
        *message.wrapped_returned,
        *message.returned,
        *fields,
        message.text[:SCANNED],
        *message.in_reply_to,
        *message.references,
    ]
    return ids.find_message_ids("\n".join(places), case.context.signing_key)


def returned_to_its_author(case: Case) -> str:
    """The address this mail is for, when the returned message names it as its sender."""
    authors = [line for text in (*case.message.returned, case.below[:5_000]) for line in _AUTHOR.findall(text)]
    named = " ".join(authors).lower()
    return next((one.address for one in case.message.to if one.address and one.address.lower() in named), "")


def _status(text: str) -> str:
    found = _STATUS.search(text)
    if found:
        return found[0]
    code = _REPLY_CODE.search(text)
    return f"{code[1]}.0.0" if code else ""


def _is_delay(case: Case) -> bool:
    if not (phrases.DELAY.search(case.subject_lower) or phrases.DELAY.search(case.spoken_lower)):
        return False
    return phrases.GIVEN_UP.search(case.spoken_lower) is None


def _kind(status: str, words: str) -> str:
    """Hard when the address will not work later either. A full mailbox and a policy are soft, whatever their class."""
    if status.startswith(("4", "5.2.2", "5.7.")) or _PASSING.search(words):
        return "soft"
    return "hard"
