"""Names of dropped files: which are rosters, which are still being written, and which name is free. Pure."""

from __future__ import annotations

import hashlib
import itertools
import unicodedata
from collections.abc import Collection
from pathlib import PurePath

#: What intake reads; it looks at the content, so a wrong ending among these does no harm.
ROSTERS = frozenset({".csv", ".tsv", ".txt", ".xlsx", ".xlsm", ".xls", ".xlsb", ".ods"})
#: What browsers, SFTP programs and editors call a file that is not whole yet.
_PASSING = (
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
_HIDDEN = ("~$", ".", "~")
#: Beside an empty file of the same name, these say that a browser is still fetching it.
_FETCHING = (".part", ".crdownload")
#: File names may have 255 bytes; a number, the endings of reports and a margin go off.
_LONGEST = 200


def is_passing(name: str) -> bool:
    """Tell whether a name says that the file is not there to stay: `x.csv.part`, `~$x.xlsx`, `.x.csv`."""
    return name.startswith(_HIDDEN) or name.casefold().endswith(_PASSING)


def is_roster(name: str) -> bool:
    """Tell whether a file of this name is to be taken."""
    return PurePath(name).suffix.casefold() in ROSTERS and not is_passing(name) and _can_be_written_down(name)


def is_being_fetched(name: str, size: int, others: Collection[str]) -> bool:
    """Tell whether an empty file only keeps the place for one that a browser is still fetching."""
    return size == 0 and any(f"{name}{ending}" in others for ending in _FETCHING)


def free_name(name: str, taken: Collection[str]) -> str:
    """Return the name, or the first numbered one, beside which neither the file nor its reports are in the way.

    The reports of `x.csv` are `x.results.csv` and so on, so whatever begins with `x.` is in its way.
    """
    path = PurePath(name)
    stem, ending = _shortened(path.stem), path.suffix
    there = [_folded(each) for each in taken]
    for number in itertools.count(1):
        free = stem if number == 1 else f"{stem}-{number}"
        whole = _folded(f"{free}{ending}")
        if not any(each == whole or each.startswith(f"{_folded(free)}.") for each in there):
            return f"{free}{ending}"
    raise AssertionError("numbers do not end")


def _folded(name: str) -> str:
    """Return what is the same for names that some file system takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _shortened(stem: str) -> str:
    raw = stem.encode()
    if len(raw) <= _LONGEST:
        return stem
    mark = f"-{hashlib.sha256(raw).hexdigest()[:8]}"
    return raw[: _LONGEST - len(mark)].decode(errors="ignore") + mark


def _can_be_written_down(name: str) -> bool:
    """Tell whether a name is text; on some systems it may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
