"""What kind of file this is, by its content and never by its name; and whether it is safe to open.

Reads signatures and the directory of a ZIP archive; opens no cell.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from enum import StrEnum
from pathlib import Path

from worker.errors import UnreadableRoster


class Kind(StrEnum):
    """The kinds of file that we read; for spreadsheets, also the extension under which they are read."""

    TEXT = "csv"
    XLSX = "xlsx"
    XLSB = "xlsb"
    XLS = "xls"
    ODS = "ods"


#: Of a text file; some four million rows.
LARGEST_TEXT = 512 * 2**20
#: Of a spreadsheet before unpacking.
LARGEST_FILE = 256 * 2**20
#: Of a spreadsheet when unpacked; about two million rows.
LARGEST_UNPACKED = 2**30
LARGEST_UNSUSPICIOUS_PART = 10 * 2**20
LARGEST_RATIO = 100
MOST_PARTS = 10_000

_AS_WORKBOOK = "open it in a spreadsheet program and save it as an Excel workbook (.xlsx) or as CSV UTF-8"
_LOCKED = "it is protected by a password; save it without one"
_HTML = re.compile(rb"<(?:!doctype html|html|head|meta|body|table|style|div)\b", re.IGNORECASE)
_SPREADSHEET_2003 = re.compile(rb"<\?xml\b", re.IGNORECASE)
_HEAD = 4096
#: UTF-16, as the directory of an OLE file has it.
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
#: What the zipfile module raises for archives that are broken, or odd.
_DAMAGED = (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, ValueError, EOFError, KeyError)
_FOREIGN = (
    (b"%PDF", "it is a PDF document"),
    (b"\x1f\x8b", "it is a compressed archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "it is a compressed archive; unpack it first"),
    (b"Rar!", "it is a compressed archive; unpack it first"),
    (b"BZh", "it is a compressed archive; unpack it first"),
    (b"\x89PNG", "it is a picture"),
    (b"\xff\xd8\xff", "it is a picture"),
    (b"SQLite format 3\x00", "it is a database"),
    (b"{\\rtf", f"it is a text document; {_AS_WORKBOOK}"),
)


def admit(path: Path, *, name: str) -> Kind:
    """Return the kind of a file; raise UnreadableRoster when it is none of ours, locked, or too large."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise UnreadableRoster(f"{name}: cannot be opened ({error.strerror}).") from error
    if not head:
        raise UnreadableRoster(f"{name}: the file is empty.")
    if head.startswith(b"PK"):
        return _admit_archive(path, name=name, size=size)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return _admit_ole(path, name=name, size=size)
    return _admit_text(head, name=name, size=size)


def _admit_text(head: bytes, *, name: str, size: int) -> Kind:
    for signature, what in _FOREIGN:
        if head.startswith(signature):
            raise UnreadableRoster(f"{name}: this is not a spreadsheet: {what}.")
    start = head.removeprefix(b"\xef\xbb\xbf").replace(b"\x00", b"").lstrip(b"\xff\xfe \t\r\n")
    if _HTML.match(start):
        raise UnreadableRoster(f"{name}: this is a web page under a spreadsheet's name; {_AS_WORKBOOK}.")
    if _SPREADSHEET_2003.match(start):
        raise UnreadableRoster(f"{name}: this is an XML file (perhaps an XML Spreadsheet of 2003); {_AS_WORKBOOK}.")
    _hold_to(size, LARGEST_TEXT, name=name)
    return Kind.TEXT


def _admit_ole(path: Path, *, name: str, size: int) -> Kind:
    _hold_to(size, LARGEST_FILE, name=name)
    if _ENCRYPTED_PACKAGE in path.read_bytes():
        raise UnreadableRoster(f"{name}: {_LOCKED}.")
    return Kind.XLS


def _admit_archive(path: Path, *, name: str, size: int) -> Kind:
    _hold_to(size, LARGEST_FILE, name=name)
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            names = {part.filename.replace("\\", "/").lower() for part in parts}
            is_ods = "mimetype" in names and b"opendocument.spreadsheet" in archive.read("mimetype")[:_HEAD]
    except _DAMAGED as error:
        raise UnreadableRoster(f"{name}: the workbook is damaged or not complete; get it again.") from error
    _refuse_bombs(parts, name=name)
    return _workbook_kind(names, name=name, is_ods=is_ods)


def _refuse_bombs(parts: list[zipfile.ZipInfo], *, name: str) -> None:
    if any(part.flag_bits & 1 for part in parts):
        raise UnreadableRoster(f"{name}: {_LOCKED}.")
    suspicious = any(
        part.file_size > max(LARGEST_UNSUSPICIOUS_PART, LARGEST_RATIO * part.compress_size) for part in parts
    )
    if suspicious or len(parts) > MOST_PARTS or sum(part.file_size for part in parts) > LARGEST_UNPACKED:
        raise UnreadableRoster(
            f"{name}: the workbook unpacks to far more than a roster holds. Copy the rows that count into a new "
            "workbook and save that."
        )


def _workbook_kind(names: set[str], *, name: str, is_ods: bool) -> Kind:
    if is_ods:
        return Kind.ODS
    if any(part.endswith("workbook.bin") for part in names):
        return Kind.XLSB
    if any(part.endswith("workbook.xml") for part in names):
        return Kind.XLSX
    what = "an archive without a workbook in it; unpack it first"
    if any(part.startswith("word/") for part in names):
        what = f"a text document; {_AS_WORKBOOK}"
    elif any(part.startswith("index/") and part.endswith(".iwa") for part in names):
        what = f"an Apple Numbers file; {_AS_WORKBOOK}"
    raise UnreadableRoster(f"{name}: this is not a spreadsheet but {what}.")


def _hold_to(size: int, limit: int, *, name: str) -> None:
    if size > limit:
        raise UnreadableRoster(
            f"{name}: the file has {size // 2**20} MB, and {limit // 2**20} MB is the most we read; split it."
        )
