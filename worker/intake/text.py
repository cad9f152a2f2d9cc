"""Clean the text of a cell, which removes only what is invisible; and escape what a spreadsheet would run."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal

from worker.intake.limits import MAX_MARKS

FORMULA_PREFIX = "'"
#: Blanks that a spreadsheet ignores before the sign of a formula.
_BLANKS = r"[\s\u00ad\u200b-\u200f\u2060\ufeff]"
_FORMULA = re.compile(rf"{_BLANKS}*[=+\-@\uff1d\uff0b\uff0d\uff20]|[ \u00a0]*[\t\r\n]")


def escape_formula(text: str) -> str:
    """Return the text, with a leading `'` if a spreadsheet would run it as a formula."""
    return FORMULA_PREFIX + text if _FORMULA.match(text) else text


def unescape_formula(text: str) -> str:
    """Return the text without the leading `'` of `escape_formula`; other quotation marks stay."""
    return text[1:] if text.startswith(FORMULA_PREFIX) and _FORMULA.match(text, 1) else text


#: Invisible characters that make two equal values differ.
INVISIBLE = "\u00ad\u200b\u200e\u200f\u2060\ufeff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
#: They have a meaning within a Persian or Indic word, but none at the ends of a cell.
JOINERS = "\u200c\u200d"
_CONTROLS = "".join(map(chr, (*range(9), *range(14, 32), *range(127, 160))))
_CLEANING = str.maketrans(
    {**dict.fromkeys(INVISIBLE + _CONTROLS), **dict.fromkeys("\u00a0\u202f\u2007\t\r\n\v\f\x85", " ")}
)


def clean(text: str) -> str:
    """Return a cell's value without the formula prefix, invisible characters and outer blanks; in NFC."""
    if text.isascii() and text.isprintable():
        return unescape_formula(text).strip(" ")
    return normalize(unescape_formula(text).translate(_CLEANING)).strip().strip(JOINERS)


#: Letters that become marks when differences of form are removed.
_KANA_MARKS = "\uff9e\uff9f"


def normalize(text: str, form: Literal["NFC", "NFKC", "NFKD"] = "NFC") -> str:
    """Return a text in a normal form of Unicode, in time that grows with its length and no faster.

    A run of more than MAX_MARKS marks is normalized in parts, because sorting it takes the square of its length.
    """
    if len(text) <= MAX_MARKS:
        return unicodedata.normalize(form, text)
    return "".join(unicodedata.normalize(form, part) for part in _divide_marks(text))


def _divide_marks(text: str) -> Iterator[str]:
    start = marks = 0
    for at, letter in enumerate(text):
        marks = marks + 1 if letter in _KANA_MARKS or unicodedata.category(letter)[0] == "M" else 0
        if marks == MAX_MARKS:
            yield text[start : at + 1]
            start, marks = at + 1, 0
    yield text[start:]


def is_blank(text: str) -> bool:
    """Return whether a cell has no visible character."""
    return not text or not text.translate(_CLEANING).strip()
