"""Read XLS workbooks with xlrd: calamine misreads some texts in them, and returns neither errors nor formats."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from pathlib import Path

import xlrd
from xlrd.compdoc import CompDocError
from xlrd.sheet import Cell as XlsCell
from xlrd.sheet import Sheet

from worker.intake.excel.cells import RowCells, format_cell
from worker.intake.excel.layout import Layout, Merged, Span
from worker.intake.excel.workbook import DamagedWorkbook, LockedWorkbook, SheetContent, SheetName
from worker.intake.text import is_blank

_VISIBLE = 0
#: What xlrd raises for files that are damaged.
_DAMAGED = (CompDocError, struct.error, LookupError, ValueError, AssertionError, TypeError, AttributeError)


class XlsWorkbook:
    """An open XLS workbook."""

    def __init__(self, path: Path) -> None:
        try:
            self._book = _open(path)
        except xlrd.XLRDError as error:
            raise (LockedWorkbook if "encrypted" in str(error) else DamagedWorkbook)(str(error)) from None
        except _DAMAGED as error:
            raise DamagedWorkbook(str(error)) from None

    @property
    def sheets(self) -> Sequence[SheetName]:
        """Return the worksheets, in the order of the workbook."""
        return [
            SheetName(sheet.name, is_visible=sheet.visibility == _VISIBLE)
            for sheet in map(self._sheet, self._names)
        ]

    @property
    def _names(self) -> list[str]:
        return list(self._book.sheet_names())

    def _sheet(self, name: str) -> Sheet:
        return self._book.sheet_by_name(name)

    def has_data(self, name: str) -> bool:
        """Return whether a sheet has a cell that is not blank."""
        return any(not is_blank(text) for row in self._rows(self._sheet(name)) for text in row.texts)

    def read(self, name: str) -> SheetContent:
        """Return the content of a sheet."""
        sheet = self._sheet(name)
        return SheetContent(rows=self._rows(sheet), layout=_layout(sheet), is_1904=self._book.datemode == 1)

    def _rows(self, sheet: Sheet) -> Iterator[RowCells]:
        for number in range(sheet.nrows):
            row = RowCells([], {}, {})
            for at, cell in enumerate(sheet.row(number)):
                self._add(row, at, cell)
            yield row

    def _add(self, row: RowCells, at: int, cell: XlsCell) -> None:
        match cell.ctype:
            case xlrd.XL_CELL_TEXT:
                row.texts.append(cell.value)
                row.apply_text_format(at, self._format_of(cell))
            case xlrd.XL_CELL_NUMBER:
                text, flaw = format_cell(cell.value)
                row.texts.append(text)
                row.flaws.update({at: flaw} if flaw else {})
                row.apply_format(at, cell.value, self._format_of(cell))
            case xlrd.XL_CELL_DATE:
                text, flaw = self._date(cell.value)
                row.texts.append(text)
                row.flaws.update({at: flaw} if flaw else {})
            case xlrd.XL_CELL_BOOLEAN:
                row.texts.append(str(bool(cell.value)).upper())
            case xlrd.XL_CELL_ERROR:
                row.set_error(at, xlrd.error_text_from_code.get(cell.value, "#N/A"))
            case _:
                row.texts.append("")

    def _format_of(self, cell: XlsCell) -> str:
        style = self._book.xf_list[cell.xf_index] if cell.xf_index is not None else None
        known = self._book.format_map.get(style.format_key) if style else None
        return str(known.format_str) if known else "General"

    def _date(self, number: float) -> tuple[str, str | None]:
        try:
            value = xlrd.xldate.xldate_as_datetime(number, self._book.datemode)
        except (ValueError, OverflowError):
            return format_cell(number)
        return format_cell(_without_day(value) if 0 <= number < 1 else value)


def _without_day(value: datetime) -> time | date:
    return value.time() if value.time() != time.min else value.date()


def _open(path: Path) -> xlrd.Book:
    def read(*, ignore: bool) -> xlrd.Book:
        # xlrd prints warnings to standard output, which is for the response.
        return xlrd.open_workbook(
            str(path),
            logfile=io.StringIO(),
            formatting_info=True,
            ragged_rows=True,
            ignore_workbook_corruption=ignore,
        )

    try:
        return read(ignore=False)
    except CompDocError:
        # Some programs write sectors that overlap, which Excel does not mind.
        return read(ignore=True)


def _layout(sheet: Sheet) -> Layout:
    layout = Layout(
        hidden_columns=[Span(at, at) for at, info in sorted(sheet.colinfo_map.items()) if info.hidden],
        merged=[Merged(top, left, bottom - 1, right - 1) for top, bottom, left, right in sheet.merged_cells],
    )
    for number, info in sorted(sheet.rowinfo_map.items()):
        if info.hidden or info.height == 0:
            layout.hide_rows(number, number)
    return layout
