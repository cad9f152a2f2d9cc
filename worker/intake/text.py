"""Clean the text of a cell, which removes only what is invisible; and escape what a spreadsheet would run."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal

from worker.intake.limits import MAX_MARKS

#: Invisible characters that make two equal values differ.
INVISIBLE = "\u00ad\u200b\u200e\u200f\u2060\ufeff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
#: They have a meaning within a Persian or Indic word, but none at the ends of a cell.
JOINERS = "\u200c\u200d"

FORMULA_GUARD = "'"
_SIGNS = r"=+\-@\uff1d\uff0b\uff0d\uff20"
#: What a spreadsheet passes over before a formula; not what may begin another cell.
_BLANK = rf"[^\S\t\r\n]|[\x00-\x08\x0e-\x1f{INVISIBLE}{JOINERS}]"
_START = re.compile(rf"(?:{_BLANK})*[{_SIGNS}\t\r\n]")
#: A spreadsheet whose list separator is no comma begins a cell here; and after a line end, since a quotation mark
#: within a line means nothing to it.
_SEPARATOR = re.compile(r"[;|\t\r\n]")
_SKIPPED = rf'(?:{_BLANK}|")*'
_BEFORE = (
    rf"[;|\r\n]{_SKIPPED}{{guard}}(?='*(?:[{_SIGNS}\t]|\r(?!\n)))"
    rf"|\t{_SKIPPED}{{guard}}(?='*[{_SIGNS}])"
)
_UNGUARDED, _GUARDED = (re.compile(_BEFORE.format(guard=guard)) for guard in ("", FORMULA_GUARD))


def is_formula(text: str) -> bool:
    """Return whether a spreadsheet would run the text of a cell as a formula."""
    return bool(_START.match(text))


def escape_formula(text: str) -> str:
    """Return the text with a `'` wherever a formula begins a cell under any list separator of a spreadsheet.

    One that is there already gets another, so that `unescape_formula` returns the very text.
    """
    if _SEPARATOR.search(text):
        text = _UNGUARDED.sub(rf"\g<0>{FORMULA_GUARD}", text)
    return FORMULA_GUARD + text if _START.match(text.lstrip(FORMULA_GUARD)) else text


def unescape_formula(text: str) -> str:
    """Return the text that `escape_formula` was given."""
    if FORMULA_GUARD not in text:
        return text
    if text.startswith(FORMULA_GUARD) and _START.match(text.lstrip(FORMULA_GUARD)):
        text = text[1:]
    return _GUARDED.sub(lambda found: found[0][:-1], text) if _SEPARATOR.search(text) else text


def without_guard(text: str) -> str:
    """Return a cell's text without the `'` that people and programs write before a formula."""
    return text[1:] if text.startswith(FORMULA_GUARD) and _START.match(text, 1) else text


_CONTROLS = "".join(map(chr, (*range(9), *range(14, 32), *range(127, 160))))
_CLEANING = str.maketrans(
    {**dict.fromkeys(INVISIBLE + _CONTROLS), **dict.fromkeys("\u00a0\u202f\u2007\t\r\n\v\f\x85", " ")}
)


#: `="00123"`: how exports keep zeros from a spreadsheet program, which shows 00123; also with quotes doubled again.
_QUOTED_AS_FORMULA = re.compile(r'=\s*(?:"((?:[^"]|"")*)"|""([^"]*)"")')


def _unquote_formula(text: str) -> str:
    found = _QUOTED_AS_FORMULA.fullmatch(without_guard(text).strip())
    return (found[1] or found[2] or "").replace('""', '"') if found else text


def clean(text: str, *, unwrap: bool = True) -> str:
    """Return a cell's value without the formula prefix, invisible characters and outer blanks; in NFC.

    With `unwrap`, of `="00123"` the text within.
    """
    if unwrap and '"' in text and "=" in text[:4]:
        text = _unquote_formula(text)
    if text.isascii() and text.isprintable():
        return without_guard(text).strip(" ")
    return normalize(without_guard(text).translate(_CLEANING)).strip().strip(JOINERS)


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
    # The fast path, for nearly every text.
    if text.isascii() and text.isprintable():
        return not text or text.isspace()
    return not text.translate(_CLEANING).strip()
