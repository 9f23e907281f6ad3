"""HTML mail as a page of its own: made safe, inline images found, quotations folded, remote images off until asked for.

It is shown in a frame that runs no script, under a policy that loads nothing but images. Any one of the three would do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from urllib.parse import unquote

import nh3

from inboxops.core.html import is_tangled, to_text

_SIDES = ("top", "right", "bottom", "left")
_STYLES = {
    *("background-color", "color", "direction", "display", "float", "vertical-align", "white-space", "word-break"),
    *("font", "font-family", "font-size", "font-style", "font-variant", "font-weight", "letter-spacing", "line-height"),
    *("text-align", "text-decoration", "text-indent", "text-transform", "word-spacing", "word-wrap", "overflow-wrap"),
    *("width", "min-width", "max-width", "height", "min-height", "max-height", "table-layout", "list-style-type"),
    *("border", "border-collapse", "border-color", "border-radius", "border-spacing", "border-style", "border-width"),
    *("margin", "padding", *(f"{box}-{side}" for box in ("margin", "padding", "border") for side in _SIDES)),
    *(f"border-{side}-{what}" for side in _SIDES for what in ("color", "style", "width")),
}
_LAID_OUT = {"align", "bgcolor", "border", "cellpadding", "cellspacing", "height", "valign", "width"}
_ATTRIBUTES: dict[str, set[str]] = {
    **{tag: set(attributes) for tag, attributes in nh3.ALLOWED_ATTRIBUTES.items()},
    "*": {"style", "dir", "lang", "title"},
    "font": {"color", "face", "size"},
}
for _tag in ("table", "tbody", "thead", "tfoot", "tr", "td", "th", "div", "p", "hr", "col", "colgroup"):
    _ATTRIBUTES.setdefault(_tag, set()).update(_LAID_OUT)
_TAGS = (set(nh3.ALLOWED_TAGS) - {"area", "map", "details", "summary"}) | {"font", "tfoot"}
_QUOTE = re.compile(r"<(/?)blockquote\b[^>]*>")
_REMOTE = ("http:", "https:", "//")
_REACHES_OUT = re.compile(r"[\\@]|(?:url|image|image-set|element|cross-fade|expression|var|env)\s*\(", re.IGNORECASE)
"""Of a declaration: it names something elsewhere, or hides that it does. No property that is kept could use it."""

POLICY = (
    "default-src 'none'; script-src 'none'; style-src 'unsafe-inline'; img-src {images}; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox allow-same-origin allow-popups allow-popups-to-escape-sandbox"
)

_DOCUMENT = """\
<!doctype html>
<html lang="und" data-remote="{remote}">
<meta charset="utf-8">
<title>Message</title>
<style>
html {{ color-scheme: light; }}
body {{ margin: 0; padding: 16px; background: #fff; color: #1c2024; overflow-wrap: anywhere;
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }}
img {{ max-width: 100%; height: auto; }}
table {{ max-width: 100%; }}
pre {{ white-space: pre-wrap; }}
a {{ color: #0b5cad; }}
blockquote {{ margin: 8px 0; padding-left: 12px; border-left: 3px solid #d5dae0; color: #555d66; }}
summary {{ display: inline-block; margin: 8px 0; padding: 1px 10px; border-radius: 6px; background: #e8ebef; color: #3c444d;
  cursor: pointer; list-style: none; letter-spacing: 1px; }}
summary::-webkit-details-marker {{ display: none; }}
</style>
<body>{body}</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class MailView:
    """A document, the policy to serve it under, and how many remote images it names."""

    html: str
    policy: str
    remote: int


@dataclass(frozen=True, slots=True)
class Safe:
    """HTML that runs nothing, in any page, and how many remote images were taken out of it."""

    html: str
    remote: int = 0


def view(html: str, inline: Mapping[str, str], *, with_remote: bool) -> MailView:
    """As `safe`, with quotations folded, as a document."""
    body = safe(html, inline, with_remote=with_remote)
    images = "'self' https: http:" if with_remote else "'self'"
    return MailView(
        _DOCUMENT.format(remote=body.remote, body=_folded(body.html)), POLICY.format(images=images), body.remote
    )


def safe(html: str, inline: Mapping[str, str], *, with_remote: bool = False) -> Safe:
    """inline: Content-ID without brackets -> URL of ours. with_remote: load images from wherever the sender says.

    What would keep a core busy for minutes whenever somebody looks at it comes as its text.
    """
    if is_tangled(html):
        return Safe(f"<pre>{escape(to_text(html), quote=False)}</pre>")
    blocked: list[str] = []
    ours = set(inline.values())
    cleaned = nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_sources(inline, blocked, with_remote),
        url_schemes={"http", "https", "mailto", "tel", "cid"},
        url_relative=lambda url: url if url in ours else None,
        filter_style_properties=_STYLES,
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
    return Safe(cleaned, len(blocked))


def _sources(inline: Mapping[str, str], blocked: list[str], with_remote: bool) -> Callable[[str, str, str], str | None]:
    def filter_(tag: str, attribute: str, value: str) -> str | None:
        if attribute == "style":
            return ";".join(one for one in value.split(";") if not _REACHES_OUT.search(one))
        if tag != "img" or attribute != "src":
            return value
        source = value.strip()
        if source.lower().startswith("cid:"):
            return inline.get(unquote(source[4:]))
        if not source.lower().startswith(_REMOTE):
            return None
        if with_remote:
            return source
        blocked.append(source)
        return None

    return filter_


def _folded(body: str) -> str:
    """Each outermost quotation behind a button; a message that is nothing but a quotation stays open."""
    pieces, depth, done, start = [], 0, 0, 0
    for found in _QUOTE.finditer(body):
        if not found[1]:
            if depth == 0:
                start = found.start()
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                quotation = body[start : found.end()]
                pieces += [
                    body[done:start],
                    f"<details><summary title='Quoted text'>•••</summary>{quotation}</details>",
                ]
                done = found.end()
    outside = re.sub(r"<[^>]*>|\s|&nbsp;", "", "".join(pieces[::2]) + body[done:])
    return "".join([*pieces, body[done:]]) if outside else body
