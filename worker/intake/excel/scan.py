"""Scan the bytes of an XLSX workbook for content that calamine does not return, in less time than calamine takes.

Only such workbooks are then cross-checked with openpyxl. A false positive costs only time.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import NamedTuple

from worker.intake.excel.number_format import BUILTIN_FORMATS, changes_numbers, changes_texts

_FORMAT = re.compile(rb"<(?:\w+:)?numFmt\b[^<>]*>")
_CELL_STYLES = re.compile(rb"<(?:\w+:)?cellXfs\b")
_END_OF_CELL_STYLES = re.compile(rb"</(?:\w+:)?cellXfs\s*>")
_STYLE = re.compile(rb"<(?:\w+:)?xf\b[^<>]*>")
_ATTRIBUTE = re.compile(rb"""\b(\w+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_USED_STYLE = re.compile(rb"""\ss\s*=\s*["']([0-9]+)["']""")
_IS_1904 = re.compile(rb"""date1904\s*=\s*["'](?:1|true|on)["']""")
#: On another element than the text itself.
_INHERITED_SPACE = re.compile(rb"""<(?!(?:\w+:)?t\b)[^<>]*\bxml:space\s*=\s*["']preserve""")
#: What the parts of sheets have when rows, columns or cells are hidden or merged.
_LAYOUT = (b"hidden", b"mergeCell ", b"zeroHeight", b'ht="0"')
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
#: Where an attribute of the outermost elements is.
_HEAD = 2**14
#: More than the longest cell with a formula: Excel allows 8192 characters in one.
_OVERLAP = 2**16


class ScanResult(NamedTuple):
    """What a workbook contains, in any of its sheets, that calamine does not return."""

    #: Error cells, numbers with a format that shows them otherwise, or a document type, whose entities it ignores.
    hidden_content: bool = False
    #: Formulas whose value was not saved.
    missing_values: bool = False
    #: Blanks at the ends of texts that are kept because of an attribute of an outer element.
    inherited_space: bool = False
    #: Rows, columns or cells that are hidden or merged.
    has_layout: bool = False
    #: The serial numbers of dates begin in 1904.
    is_1904: bool = False

    @property
    def needs_second_reader(self) -> bool:
        """Return whether openpyxl must read the workbook too."""
        return self.hidden_content or self.missing_values or self.inherited_space


@dataclass(slots=True)
class _Scan:
    """Collects what the parts of a workbook contain."""

    #: The values of the attribute `s` of cells whose number format shows numbers otherwise.
    styles: frozenset[bytes]
    hidden_content: bool = False
    missing_values: bool = False
    inherited_space: bool = False
    has_layout: bool = False
    is_1904: bool = False

    def add(self, chunk: bytes, *, is_sheet: bool) -> None:
        """Add a chunk of a part."""
        if not self.hidden_content:
            self.hidden_content = _DOCUMENT_TYPE in chunk or bool(_ERROR.search(chunk)) or self._uses_style(chunk)
        self.missing_values = self.missing_values or _has_missing_value(chunk)
        self.has_layout = self.has_layout or (is_sheet and any(text in chunk for text in _LAYOUT))

    def _uses_style(self, chunk: bytes) -> bool:
        return bool(self.styles) and any(found[1] in self.styles for found in _USED_STYLE.finditer(chunk))


def scan_workbook(path: Path) -> ScanResult:
    """Scan the parts of a workbook for content that calamine does not return."""
    with zipfile.ZipFile(path) as archive:
        names = {part: posixpath.basename(part.replace("\\", "/")).lower() for part in archive.namelist()}
        styles = [archive.read(part) for part, name in names.items() if name == "styles.xml"]
        scan = _Scan(styles=frozenset().union(*map(_changing_styles, styles)))
        for part, name in names.items():
            if name == "sharedstrings.xml":
                with archive.open(part) as xml:
                    scan.inherited_space |= bool(_INHERITED_SPACE.search(xml.read(_HEAD)))
            elif name == "workbook.xml":
                content = archive.read(part)
                scan.is_1904 |= bool(_IS_1904.search(content))
                scan.add(content, is_sheet=False)
            elif name.endswith(".xml") and name != "styles.xml":
                _scan_part(scan, archive, part)
    return ScanResult(**{name: getattr(scan, name) for name in ScanResult._fields})


def _scan_part(scan: _Scan, archive: zipfile.ZipFile, part: str) -> None:
    for at, chunk in enumerate(_chunks(archive, part)):
        if not at:
            scan.inherited_space |= bool(_INHERITED_SPACE.search(chunk, 0, _HEAD))
        scan.add(chunk, is_sheet=True)


def _changing_styles(styles: bytes) -> frozenset[bytes]:
    """Return the numbers of the cell styles whose number format shows whole numbers or texts otherwise."""
    codes = dict(BUILTIN_FORMATS)
    for found in _FORMAT.finditer(styles):
        attributes = _attributes(found[0])
        if (number := attributes.get("numFmtId", "")).isdigit():
            codes[int(number)] = unescape(attributes.get("formatCode", ""))
    changing = set()
    for at, found in enumerate(_STYLE.finditer(_cell_styles(styles))):
        number = _attributes(found[0]).get("numFmtId", "0")
        code = codes.get(int(number), "General") if number.isdigit() else "General"
        if changes_numbers(code) or changes_texts(code):
            changing.add(str(at).encode())
    return frozenset(changing)


def _cell_styles(styles: bytes) -> bytes:
    """Return the list of cell styles; empty when there is none, or it has no end."""
    start = _CELL_STYLES.search(styles)
    end = _END_OF_CELL_STYLES.search(styles, start.end()) if start else None
    return styles[start.start() : end.end()] if start and end else b""


def _attributes(tag: bytes) -> dict[str, str]:
    return {
        found[1].decode(): (found[2] or found[3] or b"").decode(errors="replace")
        for found in _ATTRIBUTE.finditer(tag)
    }


def _has_missing_value(chunk: bytes) -> bool:
    return any(pattern.search(chunk) for pattern in _MAYBE_MISSING_VALUE) and bool(_MISSING_VALUE.search(chunk))


def _chunks(archive: zipfile.ZipFile, part: str) -> Iterator[bytes]:
    """Yield a part in overlapping chunks."""
    tail = b""
    with archive.open(part) as xml:
        while chunk := xml.read(_CHUNK):
            yield tail + chunk
            tail = chunk[-_OVERLAP:]
