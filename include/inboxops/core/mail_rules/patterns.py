"""Regular expressions that an admin writes and mail of strangers is matched with, in bounded time.

RE2 takes time in proportion to the text, whatever the pattern; a clock that stops a backtracking engine would let one rule decide
otherwise on a busy machine than on an idle one. The text is cut and the size of patterns bounded: the worst there is takes about
0.1 s for one pattern and 1 s for all of a tenant.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2

MOST_CHARACTERS = 10_000
"""Of a mail's text that one condition looks at."""

MOST_STEPS = 2_000
"""Instructions of a compiled pattern; `.{0,100}` has some 800."""

MOST_STEPS_IN_ALL = 20_000
"""Instructions of all patterns of a tenant."""

_MEMORY = 1 << 20  # bytes of a pattern's automaton at most


class BadPattern(ValueError):
    """Says what is wrong with a pattern."""


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        return re2.compile(pattern, options)
    except re2.error as exc:
        said = exc.args[0] if exc.args else ""
        raise BadPattern(said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)) from exc


def steps(pattern: str) -> int:
    """How large a pattern is. Raises BadPattern for one that is wrong or too large."""
    size = int(_compiled(pattern).programsize)
    if size > MOST_STEPS:
        raise BadPattern(f"too large: {size} steps, at most {MOST_STEPS}")
    return size


def found(pattern: str, text: str) -> str | None:
    """What the pattern, in any case, finds in the first MOST_CHARACTERS of a text."""
    match = _compiled(pattern).search(text[:MOST_CHARACTERS])
    return str(match.group()) if match else None
