"""Names of files in a drop folder: which are rosters, which are temporary, and which name is free. Pure."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection
from pathlib import PurePath

from worker.intake.text import normalize

#: What intake can read; it detects the type from the content, so a wrong one of these does no harm.
ROSTER_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".xlsx", ".xlsm", ".xls", ".xlsb", ".ods"})
#: What browsers, SFTP programs and editors append to a file that is not complete yet.
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
#: Lock files and copies of Office, and hidden files.
_TEMPORARY_PREFIXES = ("~$", ".", "~")
#: Next to an empty file of the same name, these mean that a browser is still downloading it.
_DOWNLOAD_SUFFIXES = (".part", ".crdownload")
#: File names may have 255 bytes, less a number, the suffixes of reports and a margin.
_MAX_STEM_BYTES = 200


def is_temporary(name: str) -> bool:
    """Return whether a name is that of a temporary file: `x.csv.part`, `~$x.xlsx`, `.x.csv`."""
    return name.startswith(_TEMPORARY_PREFIXES) or name.casefold().endswith(_TEMPORARY_SUFFIXES)


def is_roster(name: str) -> bool:
    """Return whether a file of this name is to be imported."""
    return PurePath(name).suffix.casefold() in ROSTER_SUFFIXES and not is_temporary(name) and _is_valid_text(name)


def is_download_placeholder(name: str, size: int, others: Collection[str]) -> bool:
    """Return whether an empty file is the placeholder of one that a browser is still downloading."""
    return size == 0 and any(f"{name}{ending}" in others for ending in _DOWNLOAD_SUFFIXES)


def free_name(name: str, taken: Collection[str]) -> str:
    """Return `name`, or `name-2`, `name-3` …, such that neither the file nor its reports collide with a taken name.

    The reports of `x.csv` are `x.results.csv` and so on, so every name that begins with `x.` collides.
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
    """Return a form that is the same for names that some file systems treat as equal."""
    return normalize(normalize(name).casefold())


def _shortened(stem: str) -> str:
    raw = stem.encode()
    if len(raw) <= _MAX_STEM_BYTES:
        return stem
    mark = f"-{hashlib.sha256(raw).hexdigest()[:8]}"
    return raw[: _MAX_STEM_BYTES - len(mark)].decode(errors="ignore") + mark


def _is_valid_text(name: str) -> bool:
    """Return whether a name is valid text; on some systems it may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
