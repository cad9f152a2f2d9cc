"""Read workbooks with calamine, and add what it leaves out: errors, number formats, hidden and merged cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from worker.intake.excel.cells import RowCells, format_cell
from worker.intake.excel.layout import Layout, apply_notes
from worker.intake.excel.repair import with_ods_type, without_foreign_sheets
from worker.intake.excel.workbook import SheetContent, SheetName
from worker.intake.file_type import FileType
from worker.intake.text import is_blank


class CalamineReader:
    """An open workbook of a type that calamine reads."""

    def __init__(self, path: Path, kind: FileType) -> None:
        self._kind = kind
        self._path, self._book = _open(path, kind)
        self._parsed: CalamineSheet | None = None

    @property
    def sheets(self) -> Sequence[SheetName]:
        """Return the worksheets, in the order of the workbook."""
        return [
            SheetName(sheet.name, is_visible=sheet.visible is SheetVisibleEnum.Visible)
            for sheet in self._book.sheets_metadata
            if sheet.typ is SheetTypeEnum.WorkSheet
        ]

    def _sheet(self, name: str) -> CalamineSheet:
        """Return a sheet; calamine parses it whole, so the last one is kept."""
        if self._parsed is None or self._parsed.name != name:
            self._parsed = self._book.get_sheet_by_name(name)
        return self._parsed

    def has_data(self, name: str) -> bool:
        """Return whether a sheet has a cell that is not blank."""
        rows = self._sheet(name).iter_rows()
        return any(not is_blank(format_cell(value)[0]) for row in rows for value in row)

    def read(self, name: str) -> SheetContent:
        """Return the content of a sheet."""
        sheet = self._sheet(name)
        rows, left = _rows(sheet), (sheet.start or (0, 0))[1]
        match self._kind:
            case FileType.XLSX:
                return self._read_xlsx(rows, name, left)
            case FileType.XLSB:
                from worker.intake.excel import xlsb as reader  # noqa: PLC0415 - only what the file needs
            case _:
                from worker.intake.excel import ods as reader  # type: ignore[no-redef]  # noqa: PLC0415 - as above
        notes, layout, is_1904 = reader.read_sheet_parts(self._path, name)
        return SheetContent(rows=apply_notes(rows, notes, left=left), layout=layout, left=left, is_1904=is_1904)

    def _read_xlsx(self, rows: Iterator[RowCells], name: str, left: int) -> SheetContent:
        from worker.intake.excel.scan import scan_workbook  # noqa: PLC0415 - only what the file needs

        seen, layout = scan_workbook(self._path), Layout()
        if seen.needs_second_reader:
            from worker.intake.excel import crosscheck  # noqa: PLC0415 - slow to load, seldom needed

            rows = crosscheck.correct(rows, self._path, name, left=left, seen=seen)
        if seen.has_layout:
            from worker.intake.excel.xlsx_layout import read_layout  # noqa: PLC0415 - seldom needed

            layout = read_layout(self._path, name)
        return SheetContent(rows=rows, layout=layout, left=left, is_1904=seen.is_1904)


def _open(path: Path, kind: FileType) -> tuple[Path, CalamineWorkbook]:
    """Open a workbook, or a copy that calamine can open, and return its path too. Raises CalamineError."""
    if kind is FileType.ODS:
        path = with_ods_type(path)
    try:
        return path, CalamineWorkbook.from_path(path)
    except PasswordError:
        raise
    except CalamineError:
        copy = without_foreign_sheets(path) if kind is FileType.XLSX else None
        if copy is None:
            raise
        return copy, CalamineWorkbook.from_path(copy)


def _rows(sheet: CalamineSheet) -> Iterator[RowCells]:
    for values in sheet.iter_rows():
        texts: list[str] = []
        flaws: dict[int, str] = {}
        for column, value in enumerate(values):
            # Nearly all cells are texts.
            if value.__class__ is str:
                texts.append(value)
                continue
            text, flaw = format_cell(value)
            texts.append(text)
            if flaw:
                flaws[column] = flaw
        yield RowCells(texts, flaws, {})
