"""HTML mail as plain text, for rules, search and threading. One pass over tags; what is not a tag is text."""

from __future__ import annotations

import html
import re
from collections import Counter

_BOUND = 300_000  # characters of HTML that are read
_MOST_LEVELS = 20
_TAG = re.compile(r"<!--|<(/?)([a-zA-Z!?][a-zA-Z0-9:-]{0,30})[^<>]*>")
_SKIPPED = frozenset({"script", "style", "head", "title", "template"})
_BLOCKS = frozenset({
    "p", "div", "br", "tr", "li", "ul", "ol", "table", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "pre", "blockquote",
    "section", "dd", "dt",
})  # fmt: skip
_OPENED = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
_END_THEMSELVES = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
    "p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "colgroup", "option", "html", "head", "body",
})  # fmt: skip
_FORMATS = frozenset({"a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"})
_MOST_STEPS = 25_000_000
_MOST_REFERENCES = 20_000
_SPACE = re.compile(r"[ \t\r\n\f\v\u00a0]+")
_BLANK_LINES = re.compile(r"\n{3,}")


def is_tangled(source: str) -> bool:
    """Whether a parser as HTML 13.2 has it would be at this for many seconds, which no person's mail and no newsletter asks for.

    At each tag it walks through what is open, and it opens what formats anew in each paragraph. So a megabyte of `<div>` takes
    minutes, and of `<b><p>` all memory. Character references go into one text, which is copied at each.
    """
    steps = deep = formats = 0
    still_open = Counter[str]()
    for found in _OPENED.finditer(source):
        name = found[2].lower()
        if name not in _END_THEMSELVES and (not found[1] or still_open[name]):
            change = -1 if found[1] else 1
            still_open[name] += change
            deep += change
            formats += change * (name in _FORMATS)
        steps += deep + 25 * formats
        if steps > _MOST_STEPS:
            return True
    return source.count("&") > _MOST_REFERENCES


def to_text(source: str) -> str:
    """Readable text; each level of <blockquote> becomes a leading `> `, so that quoted text is told apart as in plain mail."""
    source = source[:_BOUND]
    lowered = source.lower()
    ends: dict[str, int] = {}
    lines: list[str] = []
    line: list[str] = []
    depth = 0
    position = 0
    is_pre = False
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
            lines += _written(line, depth, is_pre=is_pre)
            line = []
            is_pre = not closing if name == "pre" else is_pre
            if name == "blockquote":
                depth = max(0, min(depth + (-1 if closing else 1), _MOST_LEVELS))
        elif name == "td":
            line.append(" ")
    line.append(source[position:])
    lines += _written(line, depth, is_pre=is_pre)
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


def _next(lowered: str, mark: str, position: int, known: dict[str, int]) -> int:
    """Where the next `mark` ends, or 0. Each stretch of text is searched for it once, however many openings want one."""
    at = known.get(mark, 0)
    if 0 <= at < position:
        at = known[mark] = lowered.find(mark, position)
    if at < 0:
        return 0
    return at + len(mark) if mark == "-->" else at


def _written(pieces: list[str], depth: int, *, is_pre: bool) -> list[str]:
    """The lines of a block: one, but in <pre>, where line ends and spaces are the author's."""
    text = html.unescape("".join(pieces))
    lines = (
        [one.replace("\u00a0", " ").rstrip() for one in text.split("\n")] if is_pre else [_SPACE.sub(" ", text).strip()]
    )
    return ["> " * depth + line for line in lines]
