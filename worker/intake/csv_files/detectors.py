"""Detect the encoding of a text that is not Unicode from its non-ASCII fields: two detectors must agree.

Detectors fail on files that are mostly ASCII, as rosters are; so one of them gets only the fields that are not.
With a short list of encodings it is good at Western files, with a long one at the others; the second detector, on
the raw bytes, confirms its result.
"""

from __future__ import annotations

import re
import unicodedata
from typing import BinaryIO

import cchardet
import chardet

from worker.intake.csv_files.codec_names import codec_name

_WESTERN_ENCODINGS = ("utf-8", "cp1252", "mac-roman")
_ALL_ENCODINGS = (
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
#: Letters common in Western names, at whose code points Central European encodings have rare or only Polish
#: letters; a Polish text read as Western would have symbols among its letters.
_WESTERN_LETTERS = frozenset("ñåêàãÑÅÊÀÃ")
_MIN_LETTERS = 2
_SAMPLE_BYTES = 16 * 2**20
_FIELD_BYTES = 2**16
_MAX_NAMES = 3
_MAX_NAME = 40
_SEPARATORS = re.compile(rb"[,;\t|\r\n]+")


def sample(file: BinaryIO) -> tuple[bytes, bytes]:
    """Return the non-ASCII fields of a file, one on each line, and the raw bytes of its beginning."""
    raw = file.read(_SAMPLE_BYTES)
    fields = b"\n".join(field for field in _SEPARATORS.split(raw) if not field.isascii())
    # Cut after a whole field, because a cut may fall within a letter of several bytes.
    return fields if len(fields) <= _FIELD_BYTES else fields[: fields.rfind(b"\n", 0, _FIELD_BYTES)], raw


def detect_encoding(fields: bytes, raw: bytes) -> str | None:
    """Return the encoding on which the detectors agree; None when they do not, or when both may be wrong."""
    for first, second in _guesses(fields, raw):
        reading = _decode(fields, first)
        if reading and reading == _decode(fields, second) and not _may_be_western(fields, first, reading):
            return first.lower()
    return None


def decode_samples(fields: bytes, raw: bytes) -> dict[str, str]:
    """Return a few names as each candidate encoding decodes them."""
    shown: dict[str, str] = {}
    for codec in (*(codec for pair in _guesses(fields, raw) for codec in pair), "cp1252", "mac-roman", "cp1250"):
        lines = (_decode(fields, codec) or "").split("\n")[:_MAX_NAMES]
        names = " · ".join(_printable(line)[:_MAX_NAME] for line in lines)
        if names and names not in shown.values():
            shown[codec.lower()] = names
    return shown


def _guesses(fields: bytes, raw: bytes) -> list[tuple[str, str]]:
    second = cchardet.detect(raw)["encoding"] or ""
    return [
        (chardet.detect(fields, prefer_superset=True, include_encodings=names)["encoding"] or "", second)
        for names in (_WESTERN_ENCODINGS, _ALL_ENCODINGS)
    ]


def _decode(fields: bytes, codec: str) -> str | None:
    """Return the decoded fields; None when the codec cannot decode them, or they contain control characters."""
    try:
        text = fields.decode(codec_name(codec) or "undefined")
    except UnicodeError:
        return None
    return None if any("\x7f" <= letter < "\xa0" for letter in text) else text


def _may_be_western(fields: bytes, codec: str, reading: str) -> bool:
    """Return whether a text read as Central European may be Western: è → č and ñ → ń would not be noticed."""
    western = _decode(fields, "cp1252")
    if western is None or codec.lower() not in _CENTRAL_EUROPE:
        return False
    differing = {here for here, there in zip(western, reading, strict=True) if here != there}
    if not differing or any(unicodedata.category(letter)[0] != "L" for letter in differing):
        return False
    return bool(differing & _WESTERN_LETTERS) or len(set("".join(differing).casefold())) < _MIN_LETTERS


def _printable(line: str) -> str:
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in line).strip(" \"'")
