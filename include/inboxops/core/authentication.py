"""Authentication-Results (RFC 8601): what the receiving server found out about who sent a mail.

Read by the grammar, since every part of such a header may quote what a stranger wrote: his address, his reasons. `authres` on
PyPI (1.2.0, of 2019) raises for a third of the tests' cases, Exchange Online's and a quoted server's name among them, and takes
the first of two words that contradict each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inboxops.errors import InvalidInput

if TYPE_CHECKING:
    from inboxops.core.headers import Raw  # with a parser of dates, which DAG files must not load

UNNAMED = "(none)"
"""In place of an authserv-id: a server that writes none, as Exchange Online does, whose header is known by standing on top."""

_GOOGLE, _MICROSOFT = frozenset({"mx.google.com"}), frozenset({UNNAMED})
_CLOUDS: Mapping[str, frozenset[str]] = {"gmail": _GOOGLE, "microsoft": _MICROSOFT}
_HOSTS: Mapping[str, frozenset[str]] = {"imap.gmail.com": _GOOGLE, "outlook.office365.com": _MICROSOFT}
"""Connection type, or host of an IMAP inbox -> the servers that write on top of each mail that comes in there."""

HOLDS = frozenset({"pass", "bestguesspass"})
"""Results of DMARC that vouch for From. `bestguesspass` is Microsoft's: the domain asks for nothing, and would have passed."""

_AGAINST = frozenset({"fail", "softfail", "hardfail", "permfail"})
_BOUND = 32_768  # characters of one value that are looked at
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|([();=/])|([^\s();=/"]+)|(\s+)|(.)', re.DOTALL)
_NAME = re.compile(r"[^\s()<>,;:\\\"/\[\]?=]{1,255}")
_METHOD = re.compile(r"[a-z][a-z0-9-]{0,30}", re.IGNORECASE)
_LAX = re.compile(r"(?<![\w.-])([a-z][a-z0-9-]{0,30})\s*(?:/\s*\d+\s*)?=\s*([a-z]+)", re.IGNORECASE)


def of_cloud(connection_type: str, host: str) -> frozenset[str]:
    """The servers of a mailbox whose provider is known, else none. host: "" where the connection names none."""
    return _CLOUDS.get(connection_type) or _HOSTS.get(host.lower(), frozenset())


def server_names(given: Iterable[str]) -> list[str]:
    """Authserv-ids as an inbox keeps them. Raises InvalidInput for what no server is called."""
    names = [one.strip().lower() for one in given]
    for name in names:
        if name != UNNAMED and not _NAME.fullmatch(name):
            raise InvalidInput(
                f"{name!r} is no name that a server gives itself (RFC 8601, 2.5)",
                fix=f"Write mx.acme.example, or {UNNAMED} for one that gives none",
            )
    return names


@dataclass(frozen=True, slots=True)
class Said:
    """One header. server: its authserv-id in lower case, `UNNAMED` where it has none. results: method -> result, lower-cased.

    broken: a quotation or a comment has no end, so that anybody may have written anything of it: `results` then holds what speaks
    against the mail, wherever it stands.
    """

    server: str
    results: Mapping[str, str]
    broken: bool = False


def read(value: str) -> Said:
    """What a header's value says, folded or not. Takes anything; of an unknown version (RFC 8601, 2.2) it says nothing."""
    text = value[:_BOUND]
    tokens = list(_tokens(text))
    is_broken = len(value) > _BOUND or (bool(tokens) and tokens[-1] == ("broken", ""))
    first, *rest = _parts(tokens)
    named, version = _server(first)
    if version != 1:
        return Said(named, {})
    if named == UNNAMED:
        rest = [first, *rest]
    return Said(named, _condemning(text) if is_broken else _joined(_result(part) for part in rest), is_broken)


def results(headers: Raw, trusted: frozenset[str]) -> dict[str, str]:
    """method -> result, by the word of a trusted server alone. headers: of the whole mail, in order.

    Its topmost header counts. Of those of its own right below, as two checks of one server write them, counts what speaks against
    the mail: a server has to delete what a stranger wrote in its name (RFC 8601, section 5), and where it did not, that
    makes no mail better.
    """
    known = {name.lower() for name in trusted}
    found: dict[str, str] | None = None
    is_topmost = True
    for name, value in headers:
        lowered = name.lower()
        if lowered == "received" and found is not None:
            break
        if lowered != "authentication-results":
            continue
        said = read(value)
        is_known = said.server in known and (said.server != UNNAMED or is_topmost)
        is_topmost = False
        if found is None:
            found = dict(said.results) if is_known else None
        elif not is_known:
            break
        else:
            against = {method: result for method, result in said.results.items() if result in _AGAINST}
            found |= {method: result for method, result in against.items() if method != "dkim"}
    return found or {}


def on_top(headers: Raw) -> str:
    """The server whose header is the topmost of a mail; "" where there is none."""
    top = next((value for name, value in headers if name.lower() == "authentication-results"), None)
    return "" if top is None else read(top).server


def is_forged(authentication: Mapping[str, str]) -> bool:
    """By DMARC (RFC 7489, 6.6.2) and Microsoft's composite where they decide; else when SPF fails and no DKIM signature holds.

    `none` and errors of DMARC decide nothing. No results at all say nothing.
    """
    if "fail" in (authentication.get("dmarc"), authentication.get("compauth")):
        return True
    if authentication.get("dmarc") in HOLDS:
        return False
    return authentication.get("spf") in _AGAINST and authentication.get("dkim") != "pass"


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """(kind, text) of words, quotations and marks, without comments (RFC 5322, 3.2.2). "broken" last: something has no end."""
    depth, position = 0, 0
    while position < len(text):
        if depth:  # in a comment nothing counts but brackets and what is escaped
            mark = text[position]
            depth += (mark == "(") - (mark == ")")
            position += 2 if mark == "\\" else 1
            continue
        found = _TOKEN.match(text, position)
        if found is None:  # unreachable: the last alternative takes any character
            return
        position = found.end()
        if found[2] == "(":
            depth = 1
        elif found[2] == ")" or found[5] is not None:
            yield "broken", ""
            return
        elif found[1] is not None:
            yield "quoted", re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL)
        elif found[2] is not None:
            yield found[2], found[2]
        elif found[3] is not None:
            yield "word", found[3]
    if depth:
        yield "broken", ""


def _parts(tokens: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    parts: list[list[tuple[str, str]]] = [[]]
    for token in tokens:
        if token[0] == ";":
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _server(part: list[tuple[str, str]]) -> tuple[str, int]:
    """(authserv-id, version) of the first part; `UNNAMED` where a result stands there."""
    kinds = [kind for kind, _ in part]
    if kinds[:1] not in (["word"], ["quoted"]) or "=" in kinds:
        return UNNAMED, 1
    rest = [text for kind, text in part[1:] if kind != "/"]
    return part[0][1].lower(), int(rest[0]) if rest and rest[0].isdecimal() and len(rest[0]) < 10 else 1


def _result(part: list[tuple[str, str]]) -> tuple[str, str] | None:
    """method and result; what follows them is reasons and properties."""
    kinds = [kind for kind, _ in part]
    if kinds[:4] == ["word", "/", "word", "="]:
        part, kinds = [part[0], *part[3:]], [kinds[0], *kinds[3:]]
    if kinds[:3] != ["word", "=", "word"] or not _METHOD.fullmatch(part[0][1]):
        return None
    return part[0][1].lower(), part[2][1].lower()


def _joined(found: Iterator[tuple[str, str] | None]) -> dict[str, str]:
    """Each method once: of several signatures one that holds is enough; else what speaks against the mail outweighs the rest."""
    joined: dict[str, str] = {}
    for method, result in filter(None, found):
        outweighs = result == "pass" if method == "dkim" else result in _AGAINST
        if method not in joined or outweighs:
            joined[method] = result
    return joined


def _condemning(text: str) -> dict[str, str]:
    found = ((method.lower(), result.lower()) for method, result in _LAX.findall(text))
    return {method: result for method, result in found if result in _AGAINST}
