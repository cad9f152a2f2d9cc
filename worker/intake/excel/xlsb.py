"""Read from an XLSB workbook what calamine does not return: errors, number formats, hidden and merged cells.

Record types and fields as in [MS-XLSB]: Excel Binary File Format.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

from worker.intake.excel.layout import CellNote, CellNotes, Layout, Merged, Span
from worker.intake.excel.number_format import BUILTIN_FORMATS, changes_numbers
from worker.intake.excel.xml_parts import UnknownStructure, find_part, open_part, sheet_part

_ROW, _CELL_RK, _CELL_ERROR, _CELL_REAL, _FORMULA_NUMBER, _FORMULA_ERROR = 0, 2, 3, 5, 9, 11
_FORMAT, _XF, _COLUMN, _WORKBOOK_PROPERTIES, _SHEET, _MERGE = 44, 47, 60, 153, 156, 176
_BEGIN_CELL_XFS, _END_CELL_XFS = 617, 618
_ERRORS = {
    0x00: "#NULL!",
    0x07: "#DIV/0!",
    0x0F: "#VALUE!",
    0x17: "#REF!",
    0x1D: "#NAME?",
    0x24: "#NUM!",
    0x2A: "#N/A",
    0x2B: "#GETTING_DATA",
}
_HIDDEN_ROW_BIT, _HIDDEN_COLUMN_BIT, _IS_1904_BIT = 0x10, 1, 1
_ROW_FLAGS_AT, _ROW_HEIGHT_AT = 11, 8
_SEVEN_BITS = 0x7F
_MORE = 0x80
_DAMAGED = (struct.error, IndexError, UnicodeDecodeError)


def read_sheet_parts(path: Path, sheet: str) -> tuple[CellNotes, Layout, bool]:
    """Return the notes on cells of a sheet, its layout, and whether serial numbers begin in 1904."""
    try:
        with zipfile.ZipFile(path) as archive:
            workbook = find_part(archive, "workbook.bin")
            relations, is_1904 = _read_workbook(_read(archive, workbook))
            if sheet not in relations:
                raise UnknownStructure("the workbook does not list the sheet")
            reading = _Sheet(_read_formats(archive))
            reading.read(_read(archive, sheet_part(archive, workbook, relations[sheet])))
    except _DAMAGED as error:
        raise UnknownStructure(str(error)) from None
    return reading.notes, reading.layout, is_1904


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    with open_part(archive, name) as part:
        return part.read()


def _records(data: bytes) -> Iterator[tuple[int, memoryview]]:
    """Yield the type and the content of each record."""
    view, at = memoryview(data), 0
    while at < len(view):
        kind = view[at]
        at += 1
        if kind & _MORE:
            kind = (kind & _SEVEN_BITS) | (view[at] << 7)
            at += 1
        size = shift = 0
        while True:
            byte = view[at]
            at += 1
            size |= (byte & _SEVEN_BITS) << shift
            shift += 7
            if not byte & _MORE:
                break
        yield kind, view[at : at + size]
        at += size


def _text(record: memoryview, at: int) -> tuple[str, int]:
    """Return a text with its length before it, and where it ends."""
    (length,) = struct.unpack_from("<I", record, at)
    end = at + 4 + 2 * length
    return bytes(record[at + 4 : end]).decode("utf-16-le"), end


def _read_workbook(data: bytes) -> tuple[dict[str, str], bool]:
    """Return the relation of each sheet, and whether serial numbers begin in 1904."""
    relations, is_1904 = {}, False
    for kind, record in _records(data):
        if kind == _SHEET:
            relation, end = _text(record, 8)
            relations[_text(record, end)[0]] = relation
        elif kind == _WORKBOOK_PROPERTIES:
            is_1904 = bool(record[0] & _IS_1904_BIT)
    return relations, is_1904


def _read_formats(archive: zipfile.ZipFile) -> list[str]:
    """Return the number format of each cell style."""
    try:
        data = _read(archive, find_part(archive, "styles.bin"))
    except UnknownStructure:
        return []
    own: dict[int, str] = {}
    styles: list[int] = []
    is_in_cell_styles = False
    for kind, record in _records(data):
        if kind == _FORMAT:
            own[struct.unpack_from("<H", record)[0]] = _text(record, 2)[0]
        elif kind in {_BEGIN_CELL_XFS, _END_CELL_XFS}:
            is_in_cell_styles = kind == _BEGIN_CELL_XFS
        elif kind == _XF and is_in_cell_styles:
            styles.append(struct.unpack_from("<H", record, 2)[0])
    return [own.get(number) or BUILTIN_FORMATS.get(number, "General") for number in styles]


class _Sheet:
    """Collects the notes and the layout of one sheet."""

    def __init__(self, formats: list[str]) -> None:
        self.notes: CellNotes = {}
        self.layout = Layout()
        self._formats = [code if changes_numbers(code) else "" for code in formats]
        self._row = 0

    def read(self, data: bytes) -> None:
        """Take up all records of the sheet."""
        for kind, record in _records(data):
            if kind in {_CELL_RK, _CELL_REAL, _FORMULA_NUMBER}:
                self._add_number(kind, record)
            elif kind in {_CELL_ERROR, _FORMULA_ERROR}:
                self._note(record, CellNote(error=_ERRORS.get(record[8], "#N/A")))
            elif kind == _ROW:
                self._add_row(record)
            elif kind == _COLUMN:
                first, last, _, _, flags = struct.unpack_from("<IIIIH", record)
                if flags & _HIDDEN_COLUMN_BIT:
                    self.layout.hidden_columns.append(Span(first, last))
            elif kind == _MERGE:
                top, bottom, left, right = struct.unpack_from("<IIII", record)
                self.layout.merged.append(Merged(top, left, bottom, right))

    def _add_row(self, record: memoryview) -> None:
        (self._row,) = struct.unpack_from("<I", record)
        (height,) = struct.unpack_from("<H", record, _ROW_HEIGHT_AT)
        if record[_ROW_FLAGS_AT] & _HIDDEN_ROW_BIT or height == 0:
            self.layout.hide_rows(self._row, self._row)

    def _add_number(self, kind: int, record: memoryview) -> None:
        style = int.from_bytes(record[4:7], "little")
        code = self._formats[style] if style < len(self._formats) else ""
        if code:
            number = _rk(record) if kind == _CELL_RK else struct.unpack_from("<d", record, 8)[0]
            self._note(record, CellNote(number=number, number_format=code))

    def _note(self, record: memoryview, note: CellNote) -> None:
        (column,) = struct.unpack_from("<I", record)
        self.notes.setdefault(self._row, {})[column] = note


def _rk(record: memoryview) -> float:
    """Return the number of an RkNumber: 30 bits of an integer or of a double, perhaps in hundredths."""
    (bits,) = struct.unpack_from("<i", record, 8)
    if bits & 2:
        number = float(bits >> 2)
    else:
        (number,) = struct.unpack("<d", b"\0\0\0\0" + struct.pack("<i", bits & ~3))
    return number / 100 if bits & 1 else number
