"""Templates of auto-responses: `{{ ticket_number }}` and three more names, and nothing that runs.

A template with a tag in it is HTML: values are escaped there, and the result is sanitised like every HTML we send.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

from inboxops.errors import InvalidInput

VARIABLES = ("ticket_number", "org_name", "inbox_name", "sender_name")
LONGEST = 20_000  # characters

_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")


def check(template: str) -> None:
    """Raises InvalidInput for an unknown variable, naming the known ones, and for a template that is too long."""
    unknown = [name for name in map(str.strip, _PLACEHOLDER.findall(template)) if name not in VARIABLES]
    if unknown:
        raise InvalidInput(f"the template uses {unknown[0][:60]!r}", fix=f"Known variables: {', '.join(VARIABLES)}")
    if len(template) > LONGEST:
        raise InvalidInput(f"the template is longer than {LONGEST} characters")


def is_html(template: str) -> bool:
    return _TAG.search(template) is not None


def render(template: str, values: Mapping[str, str]) -> str:
    """The template with its values, escaped when it is HTML. A value is one line and is never read as a template."""
    escape = html.escape if is_html(template) else str
    return _PLACEHOLDER.sub(lambda found: escape(" ".join(values.get(found[1].strip(), "").split())), template)
