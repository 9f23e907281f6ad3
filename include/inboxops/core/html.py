"""HTML mail as plain text, for rules, search and threading. One pass over tags; what is not a tag is text."""

from __future__ import annotations

import html
import re

_BOUND = 300_000  # characters of HTML that are read
_TAG = re.compile(r"<!--|<(/?)([a-zA-Z][a-zA-Z0-9:-]{0,30})[^<>]*>")
_SKIPPED = frozenset({"script", "style", "head", "title", "template"})
_BLOCKS = frozenset({
    "p", "div", "br", "tr", "li", "ul", "ol", "table", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "pre", "blockquote", "section", "dd", "dt",
})  # fmt: skip
_SPACE = re.compile(r"[ \t\r\n\f\v\u00a0]+")
_BLANK_LINES = re.compile(r"\n{3,}")


def to_text(source: str) -> str:
    """Readable text; each level of <blockquote> becomes a leading `> `, so that quoted text is told apart as in plain mail."""
    source = source[:_BOUND]
    lines: list[str] = []
    line: list[str] = []
    depth = 0
    skipping = ""
    position = 0
    for found in _TAG.finditer(source):
        if found.start() < position:
            continue
        if not skipping:
            line.append(source[position : found.start()])
        position = found.end()
        if found[2] is None:
            position = max(source.find("-->", position) + 3, position)
            continue
        closing, name = bool(found[1]), found[2].lower()
        if skipping:
            skipping = "" if closing and name == skipping else skipping
        elif name in _SKIPPED and not closing and f"</{name}" in source[position:].lower()[:_BOUND]:
            skipping = name
        elif name in _BLOCKS:
            lines.append(_line(line, depth))
            line = []
            if name == "blockquote":
                depth = max(0, min(depth + (-1 if closing else 1), 20))
        elif name == "td":
            line.append(" ")
    if not skipping:
        line.append(source[position:])
    lines.append(_line(line, depth))
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


def _line(pieces: list[str], depth: int) -> str:
    return "> " * depth + _SPACE.sub(" ", html.unescape("".join(pieces))).strip()
