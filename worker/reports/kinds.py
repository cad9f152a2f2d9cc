"""The files of a report: one table of their kinds, and their names."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

#: File names may have 255 bytes; the longest ending and a margin for prefixes are subtracted.
MAX_BYTES = 200
_NOT_IN_NAMES = re.compile(r'[<>:"|?*]')
#: Windows treats these as devices, with any ending.
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
#: Unicode categories of line ends, control characters and lone surrogates; and characters that change direction.
_HIDDEN = {"Cc", "Cs", "Zl", "Zp"}
_DIRECTION_MARKS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def report_name(roster: str) -> str:
    """Return the uploaded file's name without path and extension: `in/spring.xlsx` gives `spring`."""
    stem = PurePosixPath(roster.replace("\\", "/")).stem
    name = "".join("_" if _is_hidden(letter) else letter for letter in _NOT_IN_NAMES.sub("_", stem)).lstrip(".")
    if not name.strip():
        return "roster"
    return _shortened(f"_{name}" if _DEVICE.match(name) else name)


def _is_hidden(letter: str) -> bool:
    return letter in _DIRECTION_MARKS or unicodedata.category(letter) in _HIDDEN


def _shortened(name: str) -> str:
    """Cut a name that is too long; a part of its hash keeps two long names distinct."""
    raw = name.encode()
    if len(raw) <= MAX_BYTES:
        return name
    suffix = f"-{hashlib.sha256(raw).hexdigest()[:8]}"
    return raw[: MAX_BYTES - len(suffix)].decode(errors="ignore") + suffix


_CSV = "text/csv; charset=utf-8"
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

#: The plain message next to a file in `failed/`.
MESSAGE = "message.txt"


class ReportKind(StrEnum):
    """A file of a report; the value is what follows the roster's name."""

    RESULTS = "results.csv"
    WORKBOOK = "results.xlsx"
    FAILED = "failed.csv"
    #: The rows that `roster verify` found changed at the LMS.
    DIFFERS = "differs.csv"
    SUMMARY = "summary.json"

    @property
    def media_type(self) -> str:
        """Return the media type of the file."""
        return _PROPERTIES[self].media_type

    @property
    def is_partial(self) -> bool:
        """Return whether the file holds only some of the rows, and is absent when there are none."""
        return _PROPERTIES[self].is_partial

    @property
    def is_download(self) -> bool:
        """Return whether the API serves the file from those that were written."""
        return _PROPERTIES[self].is_download


@dataclass(frozen=True, slots=True, kw_only=True)
class _Properties:
    media_type: str = _CSV
    is_partial: bool = False
    is_download: bool = True


_PROPERTIES = {
    ReportKind.RESULTS: _Properties(),
    ReportKind.WORKBOOK: _Properties(media_type=_XLSX),
    ReportKind.FAILED: _Properties(is_partial=True),
    ReportKind.DIFFERS: _Properties(is_partial=True),
    ReportKind.SUMMARY: _Properties(media_type="application/json", is_download=False),
}

_ENDINGS = tuple(f".{kind}" for kind in (*ReportKind, MESSAGE))


def file_name(roster: str, kind: ReportKind, number: int = 1) -> str:
    """Return the name of a file of a roster's report: `spring.csv` and FAILED give `spring.failed.csv`.

    With a `number` from 2 on, when that name must be left to another file: `spring-2.failed.csv`.
    """
    return f"{report_name(roster)}{f'-{number}' if number > 1 else ''}.{kind}"


def is_report(name: str) -> bool:
    """Return whether a file is called like a report, so that it is not a new roster. Case does not matter."""
    return name.casefold().endswith(_ENDINGS)
