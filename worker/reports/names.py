"""What the files of a report are called: after the uploaded file, and safe on every file system."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import PurePosixPath

#: File names may have 255 bytes; the longest of our endings and a margin for others' prefixes go off.
MAX_BYTES = 200

_NOT_IN_NAMES = re.compile(r'[<>:"|?*]')
#: Windows takes these for devices, whatever the ending.
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
#: Line ends, control characters, halves of characters, and what turns the reading direction around.
_HIDDEN = {"Cc", "Cs", "Zl", "Zp"}
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def report_name(roster: str) -> str:
    """Return the uploaded file's name without path and extension: `in/spring.xlsx` gives `spring`."""
    stem = PurePosixPath(roster.replace("\\", "/")).stem
    name = "".join("_" if _is_hidden(letter) else letter for letter in _NOT_IN_NAMES.sub("_", stem)).lstrip(".")
    if not name.strip():
        return "roster"
    return _shortened(f"_{name}" if _DEVICE.match(name) else name)


def _is_hidden(letter: str) -> bool:
    return letter in _TURNS or unicodedata.category(letter) in _HIDDEN


def _shortened(name: str) -> str:
    """Cut a name that is too long; a few letters of its hash keep two long names apart."""
    raw = name.encode()
    if len(raw) <= MAX_BYTES:
        return name
    mark = f"-{hashlib.sha256(raw).hexdigest()[:8]}"
    return raw[: MAX_BYTES - len(mark)].decode(errors="ignore") + mark
