"""Two cheap questions to an XLSX workbook: whether it holds what calamine does not show.

Asked of the bytes of its parts, in less time than calamine itself takes, so that few workbooks wait for openpyxl. A
yes too many costs time and nothing else.
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
#: The end of a cell, or an empty value.
_NOTHING = rb"\s*<(?:/(?:\w+:)?c>|(?:\w+:)?v(?:\s*/>|>\s*</))"
#: A formula, or any empty element, before it. Two patterns, since only one that begins with a literal is quick.
_PERHAPS_A_GAP = (re.compile(rb"f>" + _NOTHING), re.compile(rb"/>" + _NOTHING))
#: The whole cell, and none of type "str": the value of that is a text, which may be empty.
_GAP = re.compile(
    rb"""<(?:\w+:)?c\b(?![^<>]*\bt\s*=\s*["']str["'])[^<>]*>\s*<(?:\w+:)?f\b[^<>]*>[^<]*(?:</(?:\w+:)?f>)?"""
    + _NOTHING
)
_CHUNK = 2**20
#: More than the longest cell with a formula: Excel allows one 8192 characters.
_OVERLAP = 2**16


class Glance(NamedTuple):
    """What a workbook holds that calamine does not show, whichever sheet is read."""

    #: Number formats with leading zeros, error cells, or a document type: calamine passes over its entities.
    unseen: bool = False
    #: Formulas whose value was not saved.
    gaps: bool = False


def glance(path: Path) -> Glance:
    """Look through the parts of a workbook for what calamine does not show."""
    unseen = gaps = False
    with zipfile.ZipFile(path) as archive:
        for part in archive.namelist():
            name = posixpath.basename(part.replace("\\", "/")).lower()
            if name == "styles.xml":
                unseen = unseen or _has_zero_format(archive.read(part))
            elif name.endswith(".xml") and name != "sharedstrings.xml":
                for chunk in _chunks(archive, part):
                    unseen = unseen or _DOCUMENT_TYPE in chunk or bool(_ERROR.search(chunk))
                    gaps = gaps or _has_gap(chunk)
    return Glance(unseen, gaps)


def _has_zero_format(styles: bytes) -> bool:
    codes = (found[1] or found[2] or b"" for found in _FORMAT.finditer(styles))
    return any(zero_format(unescape(code.decode(errors="replace"))) for code in codes)


def _has_gap(chunk: bytes) -> bool:
    return any(pattern.search(chunk) for pattern in _PERHAPS_A_GAP) and bool(_GAP.search(chunk))


def _chunks(archive: zipfile.ZipFile, part: str) -> Iterator[bytes]:
    """Yield a part in pieces that overlap."""
    tail = b""
    with archive.open(part) as xml:
        while chunk := xml.read(_CHUNK):
            yield tail + chunk
            tail = chunk[-_OVERLAP:]
