"""Scan the bytes of an XLSX workbook for content that calamine does not return, in less time than calamine takes.

Only such workbooks are then cross-checked with openpyxl. A false positive costs only time.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import NamedTuple

from worker.intake.excel.cells import zero_format

_FORMAT = re.compile(rb"""formatCode\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_ERROR = re.compile(rb"""t\s*=\s*["']e["']""")
_DOCUMENT_TYPE = b"<!DOCTYPE"
#: What follows a formula without value: the end of the cell, or an empty value.
_EMPTY_VALUE = rb"\s*<(?:/(?:\w+:)?c>|(?:\w+:)?v(?:\s*/>|>\s*</))"
#: A formula, or any empty element, before it. Two patterns, since only those that begin with a literal are fast.
_MAYBE_MISSING_VALUE = (re.compile(rb"f>" + _EMPTY_VALUE), re.compile(rb"/>" + _EMPTY_VALUE))
#: The whole cell, unless it is of type "str": the value of that is a text, which may be empty.
_MISSING_VALUE = re.compile(
    rb"""<(?:\w+:)?c\b(?![^<>]*\bt\s*=\s*["']str["'])[^<>]*>\s*<(?:\w+:)?f\b[^<>]*>[^<]*(?:</(?:\w+:)?f>)?"""
    + _EMPTY_VALUE
)
_CHUNK = 2**20
#: More than the longest cell with a formula: Excel allows 8192 characters in one.
_OVERLAP = 2**16


class ScanResult(NamedTuple):
    """What a workbook contains, in any of its sheets, that calamine does not return."""

    #: Number formats with leading zeros, error cells, or a document type, whose entities calamine ignores.
    hidden_content: bool = False
    #: Formulas whose value was not saved.
    missing_values: bool = False


def scan_workbook(path: Path) -> ScanResult:
    """Scan the parts of a workbook for content that calamine does not return."""
    unseen = gaps = False
    with zipfile.ZipFile(path) as archive:
        for part in archive.namelist():
            name = posixpath.basename(part.replace("\\", "/")).lower()
            if name == "styles.xml":
                unseen = unseen or _has_zero_format(archive.read(part))
            elif name.endswith(".xml") and name != "sharedstrings.xml":
                for chunk in _chunks(archive, part):
                    unseen = unseen or _DOCUMENT_TYPE in chunk or bool(_ERROR.search(chunk))
                    gaps = gaps or _has_missing_value(chunk)
    return ScanResult(unseen, gaps)


def _has_zero_format(styles: bytes) -> bool:
    codes = (found[1] or found[2] or b"" for found in _FORMAT.finditer(styles))
    return any(zero_format(unescape(code.decode(errors="replace"))) for code in codes)


def _has_missing_value(chunk: bytes) -> bool:
    return any(pattern.search(chunk) for pattern in _MAYBE_MISSING_VALUE) and bool(_MISSING_VALUE.search(chunk))


def _chunks(archive: zipfile.ZipFile, part: str) -> Iterator[bytes]:
    """Yield a part in overlapping chunks."""
    tail = b""
    with archive.open(part) as xml:
        while chunk := xml.read(_CHUNK):
            yield tail + chunk
            tail = chunk[-_OVERLAP:]
