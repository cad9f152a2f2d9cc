"""Detect the type of a file from its content, never from its name, and reject files that are not safe to open.

Reads signatures and the directory of a ZIP archive, but no cells.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from enum import StrEnum
from pathlib import Path

from worker.errors import UnreadableRoster


class FileType(StrEnum):
    """The types of file that can be read; for spreadsheets, also the extension under which they are read."""

    TEXT = "csv"
    XLSX = "xlsx"
    XLSB = "xlsb"
    XLS = "xls"
    ODS = "ods"


#: The size of a text file with about four million rows.
MAX_TEXT_BYTES = 512 * 2**20
#: The size of a spreadsheet before it is unpacked.
MAX_FILE_BYTES = 256 * 2**20
#: The size of an unpacked spreadsheet with about two million rows.
MAX_UNPACKED_BYTES = 2**30
MAX_UNCHECKED_PART_BYTES = 10 * 2**20
MAX_COMPRESSION_RATIO = 100
MAX_PARTS = 10_000

_SAVE_AS = "open it in a spreadsheet program and save it as an Excel workbook (.xlsx) or as CSV UTF-8"
_LOCKED = "it is password-protected; save it without a password"
_HTML = re.compile(rb"<(?:!doctype html|html|head|meta|body|table|style|div)\b", re.IGNORECASE)
_SPREADSHEET_2003 = re.compile(rb"<\?xml\b", re.IGNORECASE)
_HEAD_BYTES = 4096
#: UTF-16, as the directory of an OLE file has it.
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
#: What the zipfile module raises for archives that are damaged or unusual.
_DAMAGED = (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, ValueError, EOFError, KeyError)
_OTHER_SIGNATURES = (
    (b"%PDF", "it is a PDF document"),
    (b"\x1f\x8b", "it is a compressed archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "it is a compressed archive; unpack it first"),
    (b"Rar!", "it is a compressed archive; unpack it first"),
    (b"BZh", "it is a compressed archive; unpack it first"),
    (b"\x89PNG", "it is an image"),
    (b"\xff\xd8\xff", "it is an image"),
    (b"SQLite format 3\x00", "it is a database"),
    (b"{\\rtf", f"it is a text document; {_SAVE_AS}"),
)


def detect_file_type(path: Path, *, name: str) -> FileType:
    """Return the type of a file; raise UnreadableRoster when it is unsupported, password-protected or too large."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise UnreadableRoster(f"{name}: cannot be opened ({error.strerror}).") from error
    if not head:
        raise UnreadableRoster(f"{name}: the file is empty.")
    if head.startswith(b"PK"):
        return _detect_archive(path, name=name, size=size)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return _detect_ole(path, name=name, size=size)
    return _detect_text(head, name=name, size=size)


def _detect_text(head: bytes, *, name: str, size: int) -> FileType:
    for signature, what in _OTHER_SIGNATURES:
        if head.startswith(signature):
            raise UnreadableRoster(f"{name}: this is not a spreadsheet: {what}.")
    start = head.removeprefix(b"\xef\xbb\xbf").replace(b"\x00", b"").lstrip(b"\xff\xfe \t\r\n")
    if _HTML.match(start):
        raise UnreadableRoster(f"{name}: this is a web page with the name of a spreadsheet; {_SAVE_AS}.")
    if _SPREADSHEET_2003.match(start):
        raise UnreadableRoster(f"{name}: this is an XML file (perhaps XML Spreadsheet 2003); {_SAVE_AS}.")
    _check_size(size, MAX_TEXT_BYTES, name=name)
    return FileType.TEXT


def _detect_ole(path: Path, *, name: str, size: int) -> FileType:
    _check_size(size, MAX_FILE_BYTES, name=name)
    if _ENCRYPTED_PACKAGE in path.read_bytes():
        raise UnreadableRoster(f"{name}: {_LOCKED}.")
    return FileType.XLS


def _detect_archive(path: Path, *, name: str, size: int) -> FileType:
    _check_size(size, MAX_FILE_BYTES, name=name)
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            names = {part.filename.replace("\\", "/").lower() for part in parts}
            is_ods = _is_ods(archive, names)
    except _DAMAGED as error:
        raise UnreadableRoster(
            f"{name}: the workbook is damaged or incomplete; download or export it again."
        ) from error
    _reject_zip_bombs(parts, name=name)
    return _workbook_type(names, name=name, is_ods=is_ods)


def _is_ods(archive: zipfile.ZipFile, names: set[str]) -> bool:
    """Return whether an archive says that it is an ODS document; some programs leave out its own file for that."""
    if "mimetype" in names:
        return b"opendocument.spreadsheet" in _read_head(archive, "mimetype")
    return "content.xml" in names and any(
        b"opendocument.spreadsheet" in _read_head(archive, part.filename)
        or b"<office:spreadsheet" in _read_head(archive, part.filename)
        for part in archive.infolist()
        if part.filename in {"META-INF/manifest.xml", "content.xml"}
    )


def _read_head(archive: zipfile.ZipFile, part: str) -> bytes:
    """Return the beginning of a part, of which the rest may unpack to any size."""
    with archive.open(part) as file:
        return file.read(_HEAD_BYTES)


def _reject_zip_bombs(parts: list[zipfile.ZipInfo], *, name: str) -> None:
    if any(part.flag_bits & 1 for part in parts):
        raise UnreadableRoster(f"{name}: {_LOCKED}.")
    suspicious = any(
        part.file_size > max(MAX_UNCHECKED_PART_BYTES, MAX_COMPRESSION_RATIO * part.compress_size) for part in parts
    )
    if suspicious or len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED_BYTES:
        raise UnreadableRoster(
            f"{name}: the workbook unpacks to far more data than a roster has. Copy the rows that you need into a "
            "new workbook and save that."
        )


def _workbook_type(names: set[str], *, name: str, is_ods: bool) -> FileType:
    if is_ods:
        return FileType.ODS
    if any(part.endswith("workbook.bin") for part in names):
        return FileType.XLSB
    if any(part.endswith("workbook.xml") for part in names):
        return FileType.XLSX
    what = "an archive without a workbook; unpack it first"
    if any(part.startswith("word/") for part in names):
        what = f"a text document; {_SAVE_AS}"
    elif any(part.startswith("index/") and part.endswith(".iwa") for part in names):
        what = f"an Apple Numbers file; {_SAVE_AS}"
    raise UnreadableRoster(f"{name}: this is not a spreadsheet but {what}.")


def _check_size(size: int, limit: int, *, name: str) -> None:
    if size > limit:
        raise UnreadableRoster(
            f"{name}: the file has {size // 2**20} MB; the limit is {limit // 2**20} MB. Split it."
        )
