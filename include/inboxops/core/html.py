"""HTML mail as plain text, for rules, search and threading. One pass over tags; what is not a tag is text."""

from __future__ import annotations

import html
import re

_BOUND = 300_000  # characters of HTML that are read
_MOST_LEVELS = 20
_TAG = re.compile(r"<!--|<(/?)([a-zA-Z!?][a-zA-Z0-9:-]{0,30})[^<>]*>")
_SKIPPED = frozenset({"script", "style", "head", "title", "template"})
_BLOCKS = frozenset({
    "p", "div", "br", "tr", "li", "ul", "ol", "table", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "pre", "blockquote",
    "section", "dd", "dt",
})  # fmt: skip
_SPACE = re.compile(r"[ \t\r\n\f\v\u00a0]+")
_BLANK_LINES = re.compile(r"\n{3,}")


def to_text(source: str) -> str:
    """Readable text; each level of <blockquote> becomes a leading `> `, so that quoted text is told apart as in plain mail."""
    source = source[:_BOUND]
    lowered = source.lower()
    ends: dict[str, int] = {}
    lines: list[str] = []
    line: list[str] = []
    depth = 0
    position = 0
    for found in _TAG.finditer(source):
        if found.start() < position:
            continue
        line.append(source[position : found.start()])
        position = found.end()
        closing, name = bool(found[1]), (found[2] or "--").lower()
        if name == "--" or (name in _SKIPPED and not closing):
            end = "-->" if name == "--" else f"</{name}"
            position = max(position, _next(lowered, end, position, ends))
        elif name in _BLOCKS:
            lines.append(_line(line, depth))
            line = []
            if name == "blockquote":
                depth = max(0, min(depth + (-1 if closing else 1), _MOST_LEVELS))
        elif name == "td":
            line.append(" ")
    line.append(source[position:])
    lines.append(_line(line, depth))
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


def _next(lowered: str, mark: str, position: int, known: dict[str, int]) -> int:
    """Where the next `mark` ends, or 0. Each stretch of text is searched for it once, however many openings want one."""
    at = known.get(mark, 0)
    if 0 <= at < position:
        at = known[mark] = lowered.find(mark, position)
    if at < 0:
        return 0
    return at + len(mark) if mark == "-->" else at


def _line(pieces: list[str], depth: int) -> str:
    return "> " * depth + _SPACE.sub(" ", html.unescape("".join(pieces))).strip()
