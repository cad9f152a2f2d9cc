"""Names of dropped files: which are rosters, which are still being written, and which name is free. Pure."""

from __future__ import annotations

import hashlib
import itertools
import unicodedata
from collections.abc import Collection
from pathlib import PurePath

#: What intake reads; it looks at the content, so a wrong ending among these does no harm.
ROSTER_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".xlsx", ".xlsm", ".xls", ".xlsb", ".ods"})
#: What browsers, SFTP programs and editors call a file that is not whole yet.
_TEMPORARY_SUFFIXES = (
    ".part",
    ".tmp",
    ".temp",
    ".filepart",
    ".partial",
    ".crdownload",
    ".download",
    ".upload",
    ".swp",
    ".lock",
)
#: Lock files and copies of Office, hidden files of everybody else.
_TEMPORARY_PREFIXES = ("~$", ".", "~")
#: Beside an empty file of the same name, these say that a browser is still fetching it.
_DOWNLOAD_SUFFIXES = (".part", ".crdownload")
#: File names may have 255 bytes; a number, the endings of reports and a margin go off.
_MAX_STEM_BYTES = 200


def is_temporary(name: str) -> bool:
    """Tell whether a name says that the file is not there to stay: `x.csv.part`, `~$x.xlsx`, `.x.csv`."""
    return name.startswith(_TEMPORARY_PREFIXES) or name.casefold().endswith(_TEMPORARY_SUFFIXES)


def is_roster(name: str) -> bool:
    """Tell whether a file of this name is to be taken."""
    return PurePath(name).suffix.casefold() in ROSTER_SUFFIXES and not is_temporary(name) and _is_valid_text(name)


def is_download_placeholder(name: str, size: int, others: Collection[str]) -> bool:
    """Tell whether an empty file only keeps the place for one that a browser is still fetching."""
    return size == 0 and any(f"{name}{ending}" in others for ending in _DOWNLOAD_SUFFIXES)


def free_name(name: str, taken: Collection[str]) -> str:
    """Return the name, or the first numbered one, beside which neither the file nor its reports are in the way.

    The reports of `x.csv` are `x.results.csv` and so on, so whatever begins with `x.` is in its way.
    """
    path = PurePath(name)
    stem, ending = _shortened(path.stem), path.suffix
    there = [_normalized(each) for each in taken]
    for number in itertools.count(1):
        free = stem if number == 1 else f"{stem}-{number}"
        whole = _normalized(f"{free}{ending}")
        if not any(each == whole or each.startswith(f"{_normalized(free)}.") for each in there):
            return f"{free}{ending}"
    raise AssertionError("numbers do not end")


def _normalized(name: str) -> str:
    """Return what is the same for names that some file system takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _shortened(stem: str) -> str:
    raw = stem.encode()
    if len(raw) <= _MAX_STEM_BYTES:
        return stem
    mark = f"-{hashlib.sha256(raw).hexdigest()[:8]}"
    return raw[: _MAX_STEM_BYTES - len(mark)].decode(errors="ignore") + mark


def _is_valid_text(name: str) -> bool:
    """Tell whether a name is text; on some systems it may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
