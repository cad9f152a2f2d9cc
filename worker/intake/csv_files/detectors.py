"""The encoding of a text that is not Unicode, from its foreign names alone: two detectors must read the same.

Detectors break down on files that are mostly ASCII, and rosters are; so one of them is given only the fields that
are not. With a short list of encodings it is good at Western files, with a long one at the others; the second
opinion, on the raw bytes, keeps either from guessing.
"""

from __future__ import annotations

import re
import unicodedata
from typing import BinaryIO

import cchardet
import chardet

_WEST = ("utf-8", "cp1252", "mac-roman")
_WIDE = (
    *(
        "utf-8",
        "utf-16-le",
        "utf-16-be",
        "cp1252",
        "iso8859-15",
        "cp1250",
        "iso8859-2",
        "cp1251",
        "koi8-r",
        "cp866",
    ),
    *("cp1253", "cp1254", "cp1257", "cp932", "euc-jp", "gb18030", "big5hkscs", "cp949", "mac-roman"),
)
_CENTRAL_EUROPE = frozenset({"windows-1250", "cp1250", "iso-8859-2"})
#: Letters common in Western names, at whose places Central European encodings have rare or only Polish letters; and
#: a Polish text would show symbols amid its letters, were it Western.
_WESTERN_LETTERS = frozenset("ñåêàãÑÅÊÀÃ")
_FEWEST_LETTERS = 2
_SAMPLE = 16 * 2**20
_FIELDS = 2**16
_NAMES_SHOWN = 3
_LONGEST_NAME = 40
_SEPARATORS = re.compile(rb"[,;\t|\r\n]+")


def sample(file: BinaryIO) -> tuple[bytes, bytes]:
    """Return the fields of a file that are not ASCII, one a line, and the raw bytes of its beginning."""
    raw = file.read(_SAMPLE)
    fields = b"\n".join(field for field in _SEPARATORS.split(raw) if not field.isascii())
    # Cut after a whole field, lest it ends within a letter of several bytes.
    return fields if len(fields) <= _FIELDS else fields[: fields.rfind(b"\n", 0, _FIELDS)], raw


def agree(fields: bytes, raw: bytes) -> str | None:
    """Return the encoding on which the detectors agree; None when they do not, or when both may well be wrong."""
    for first, second in _opinions(fields, raw):
        reading = _read(fields, first)
        if reading and reading == _read(fields, second) and not _may_be_western(fields, first, reading):
            return first.lower()
    return None


def readings(fields: bytes, raw: bytes) -> dict[str, str]:
    """Return a few names as each candidate encoding reads them."""
    shown: dict[str, str] = {}
    for codec in (*(codec for pair in _opinions(fields, raw) for codec in pair), "cp1252", "mac-roman", "cp1250"):
        lines = (_read(fields, codec) or "").split("\n")[:_NAMES_SHOWN]
        names = " · ".join(_printable(line)[:_LONGEST_NAME] for line in lines)
        if names and names not in shown.values():
            shown[codec.lower()] = names
    return shown


def _opinions(fields: bytes, raw: bytes) -> list[tuple[str, str]]:
    second = cchardet.detect(raw)["encoding"] or ""
    return [
        (chardet.detect(fields, prefer_superset=True, include_encodings=names)["encoding"] or "", second)
        for names in (_WEST, _WIDE)
    ]


def _read(fields: bytes, codec: str) -> str | None:
    """Decode the fields; None when the codec cannot, or finds control characters in them."""
    try:
        text = fields.decode(codec)
    except (UnicodeError, LookupError):
        return None
    return None if any("\x7f" <= letter < "\xa0" for letter in text) else text


def _may_be_western(fields: bytes, codec: str, reading: str) -> bool:
    """Tell whether a text read as Central European may be a Western one: è → č and ñ → ń are silent otherwise."""
    western = _read(fields, "cp1252")
    if western is None or codec.lower() not in _CENTRAL_EUROPE:
        return False
    differing = {here for here, there in zip(western, reading, strict=True) if here != there}
    if not differing or any(unicodedata.category(letter)[0] != "L" for letter in differing):
        return False
    return bool(differing & _WESTERN_LETTERS) or len(set("".join(differing).casefold())) < _FEWEST_LETTERS


def _printable(line: str) -> str:
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in line).strip(" \"'")
