"""Find the two letters of a country by its code, or by its name in English, its own or another language."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

from worker.identity import without_accents

#: `GB GBR; United Kingdom; …` in each line; lines that begin with # are remarks.
_NAMES = Path(__file__).with_name("countries.txt")
#: Not the ISO code, and in wider use than it.
_OTHER_CODES = {"UK": "GB"}
_NO_LETTERS = re.compile(r"[\W_]+")
_CODE_LETTERS = 2
#: Longer than any name of a country.
_MAX_NAME = 100


@functools.lru_cache(maxsize=1024)
def country_code(text: str) -> str | None:
    """Return the ISO 3166 code of two letters; None for what is no country, or could be several."""
    known = _codes()
    if len(text) > _MAX_NAME:
        return None
    code = _OTHER_CODES.get(text.upper(), text.upper())
    if len(code) == _CODE_LETTERS and text.isascii():
        return code if code in known.values() else None
    return known.get(_folded(text)) or known.get(_folded(text).replace(" ", ""))


@functools.cache
def _codes() -> Mapping[str, str]:
    """Return the code by each name, folded."""
    found: dict[str, str] = {}
    for line in _NAMES.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            code, names = line.split(" ", 1)
            found |= {_folded(name): code for name in names.split("; ")}
    return found


def _folded(name: str) -> str:
    lowered = without_accents(name.lower().replace("&", " and ").casefold())
    return _NO_LETTERS.sub(" ", lowered).strip().removeprefix("the ")
