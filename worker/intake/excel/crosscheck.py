"""Add what openpyxl reads in an XLSX workbook and calamine does not: leading zeros, errors, formulas without value.

It takes ten times as long, so `scan_workbook` checks first whether that is needed. The rows stay calamine's:
openpyxl's are compared with them cell by cell, because it reads some workbooks only in part, without an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import cast

from openpyxl import load_workbook
from openpyxl.cell.read_only import EMPTY_CELL, EmptyCell, ReadOnlyCell

from worker.intake.excel.cells import RowCells, format_cell
from worker.intake.excel.number_format import changes_numbers, display_number
from worker.intake.excel.scan import ScanResult
from worker.intake.problems import ProblemCode
from worker.intake.text import is_blank

_Cell = ReadOnlyCell | EmptyCell
_Row = tuple[_Cell, ...]
#: A character that XML cannot hold, as ECMA-376 Part 1, 22.4.2.4 has it; calamine leaves surrogates as they are.
_ESCAPED = re.compile("_x((?![Dd][89A-Fa-f])[0-9A-Fa-f]{4})_")


class ReadersDisagree(ValueError):
    """The two readers of a workbook have read different cells."""


def correct(rows: Iterable[RowCells], path: Path, sheet: str, *, left: int, seen: ScanResult) -> Iterator[RowCells]:
    """Yield calamine's rows with what openpyxl adds to them; the rows lack the `left` blank columns before them.

    Formulas without value are searched for only if the scan has seen some, because openpyxl then reads the sheet
    twice. Raises ReadersDisagree when openpyxl does not read the same cells.
    """
    for shown, read in zip_longest(rows, _read(path, sheet, missing_values=seen.missing_values)):
        row = shown or RowCells([], {}, {})
        values, formulas = read or ((), ())
        if not all(map(_is_blank, values[:left])):
            raise ReadersDisagree
        row.texts.extend("" for _ in range(max(len(values), len(formulas)) - left - len(row.texts)))
        for at, (value, formula) in enumerate(zip_longest(values[left:], formulas[left:])):
            _correct(row, at, value or EMPTY_CELL, formula or EMPTY_CELL)
        for at in range(max(len(values) - left, 0), len(row.texts)):
            _correct(row, at, EMPTY_CELL, EMPTY_CELL)
        if seen.inherited_space:
            _keep_spaces(row, values[left:])
        yield row


def _read(path: Path, sheet: str, *, missing_values: bool) -> Iterator[tuple[_Row, _Row]]:
    """Yield each row's values and its formulas; the values twice unless formulas without value are searched for."""
    values = _rows(path, sheet, data_only=True)
    return (
        zip(values, _rows(path, sheet, data_only=False), strict=True)
        if missing_values
        else ((row, row) for row in values)
    )


def _rows(path: Path, sheet: str, *, data_only: bool) -> Iterator[_Row]:
    with closing(load_workbook(path, read_only=True, data_only=data_only, keep_links=False)) as book:
        found = book[sheet]
        # The size that a workbook states may be wrong, and openpyxl would leave out the cells beyond it.
        found.reset_dimensions()
        yield from cast("Iterator[_Row]", found.rows)


def _correct(row: RowCells, at: int, cell: _Cell, formula: _Cell) -> None:
    """Add to one of calamine's cells what openpyxl reads in it."""
    text, value = row.texts[at], _value(cell)
    if value == text:
        if text and cell.data_type != "e":
            row.apply_text_format(at, cell.number_format)
        return
    if not text and cell.data_type == "e":
        row.set_error(at, str(value or "#N/A"))
    # The value of a formula of type "str" is a text; an empty one comes as None.
    elif not text and value is None and formula.data_type == "f" and cell.data_type != "str":
        row.flaws[at] = ProblemCode.FORMULA_WITHOUT_VALUE.value
    elif is_blank(text) != _is_blank(cell):
        raise ReadersDisagree
    elif cell.data_type == "n" and isinstance(value, int | float):
        _apply_format(row, at, float(value), cell.number_format)


def _apply_format(row: RowCells, at: int, number: float, number_format: str) -> None:
    if not changes_numbers(number_format):
        return
    if row.texts[at] == format_cell(number)[0]:
        row.apply_format(at, number, number_format)
    elif display_number(number, number_format) is not None:
        raise ReadersDisagree


def _keep_spaces(row: RowCells, values: _Row) -> None:
    """Take openpyxl's texts where they differ from calamine's in blanks alone."""
    for at, cell in enumerate(values[: len(row.texts)]):
        value = _value(cell)
        if isinstance(value, str) and "".join(value.split()) == "".join(row.texts[at].split()):
            row.texts[at] = value


def _is_blank(cell: _Cell) -> bool:
    value = _value(cell)
    return value is None or (isinstance(value, str) and is_blank(value))


def _value(cell: _Cell) -> object:
    """Return a cell's value; a text with the characters that openpyxl leaves escaped."""
    value = cell.value
    if isinstance(value, str) and "_x" in value:
        return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), value)
    return value
