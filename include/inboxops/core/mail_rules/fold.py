"""Text as people compare it: whatever its case, accents, width of letters and spacing, in any language."""

from __future__ import annotations

import re
import unicodedata

_LETTERS = str.maketrans({"ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ı": "i", "ħ": "h"})
"""Letters that Unicode does not take for others with an accent, and people do."""

_LEFT_OUT = re.compile(
    "["
    "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"  # accents, of any script
    "\u0591-\u05c7"  # Hebrew points
    "\u064b-\u065f\u0670"  # Arabic vowels
    "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"  # soft hyphens, joiners, variants
    "\U000e0001-\U000e007f\U000e0100-\U000e01ef"  # tags, variants
    "]+"
)
"""Marks that are no letters, and characters that only say how to show others, with which words are hidden. In scripts that are
not named (Devanagari, Thai, kana) marks are letters of their own."""


def fold(text: str) -> str:
    """NFKC (Unicode Standard Annex 15) of the text in case-folded form, without accents, format characters and double spaces.

    The result of folding is folded: `fold(fold(x)) == fold(x)`.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    while (
        folded := _once(text)
    ) != text:  # a letter without its accent may fold again: it takes two rounds, rarely three
        text = folded
    return text


def _once(text: str) -> str:
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    joined = unicodedata.normalize("NFKC", _LEFT_OUT.sub("", apart).translate(_LETTERS))
    return " ".join(joined.split())
