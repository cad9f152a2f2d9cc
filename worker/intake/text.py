"""The text of a cell as a value: what nobody sees is taken off, nothing else is changed."""

from __future__ import annotations

import re
import unicodedata

GUARD = "'"
#: Blanks that a spreadsheet passes over before it looks for the sign of a formula.
_BLANKS = r"[\s\u00ad\u200b-\u200f\u2060\ufeff]"
_RUNS = re.compile(rf"{_BLANKS}*[=+\-@\uff1d\uff0b\uff0d\uff20]|[ \u00a0]*[\t\r\n]")


def guard(text: str) -> str:
    """Return the text with a `'` before it when a spreadsheet would run it as a formula."""
    return GUARD + text if _RUNS.match(text) else text


def unguard(text: str) -> str:
    """Return the text without the `'` that `guard` puts before a formula; other quotation marks stay."""
    return text[1:] if text.startswith(GUARD) and _RUNS.match(text, 1) else text


#: Characters that nobody sees and that make two equal values differ.
INVISIBLE = "\u00ad\u200b\u200e\u200f\u2060\ufeff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
#: They are letters' work within a Persian or Indic word, and dirt at the ends of a cell.
JOINERS = "\u200c\u200d"
_CONTROLS = "".join(map(chr, (*range(9), *range(14, 32), *range(127, 160))))
_CLEANED = str.maketrans(
    {**dict.fromkeys(INVISIBLE + _CONTROLS), **dict.fromkeys("\u00a0\u202f\u2007\t\r\n\v\f\x85", " ")}
)


def clean(text: str) -> str:
    """Return a cell's value: no guard, nothing invisible, no blanks around it, accents composed."""
    if text.isascii() and text.isprintable():
        return unguard(text).strip(" ")
    return unicodedata.normalize("NFC", unguard(text).translate(_CLEANED)).strip().strip(JOINERS)


def is_blank(text: str) -> bool:
    """Tell whether a cell holds nothing that anybody could see."""
    return not text or not text.translate(_CLEANED).strip()
