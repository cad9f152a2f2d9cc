"""Add what openpyxl reads in an XLSX workbook and calamine does not: leading zeros, errors, formulas without value.

It takes ten times as long, so `scan_workbook` checks first whether that is needed. The rows stay calamine's:
openpyxl's are compared with them cell by cell, because it reads some workbooks only in part, without an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import cast

from openpyxl import load_workbook
from openpyxl.cell.read_only import EMPTY_CELL, EmptyCell, ReadOnlyCell

from worker.intake.excel.cells import RowTexts, format_cell, format_with_zeros, zero_format
from worker.intake.problems import ProblemCode
from worker.intake.text import is_blank

_Cell = ReadOnlyCell | EmptyCell
_Row = tuple[_Cell, ...]


class ReadersDisagree(ValueError):
    """The two readers of a workbook have read different cells."""


def correct(
    rows: Iterable[RowTexts], path: Path, sheet: str, *, left: int, missing_values: bool
) -> Iterator[RowTexts]:
    """Yield calamine's rows with what openpyxl adds to them; the rows lack the `left` blank columns before them.

    Formulas without value are searched for only with `missing_values`, because openpyxl then reads the sheet twice.
    Raises ReadersDisagree when openpyxl does not read the same cells.
    """
    for shown, seen in zip_longest(rows, _read(path, sheet, missing_values=missing_values)):
        texts, flaws = shown or ([], {})
        values, formulas = seen or ((), ())
        if not all(map(_is_blank, values[:left])):
            raise ReadersDisagree
        corrected = [
            _correct(text or "", value or EMPTY_CELL, formula or EMPTY_CELL)
            for text, value, formula in zip_longest(texts, values[left:], formulas[left:])
        ]
        flaws |= {column: flaw for column, (_, flaw) in enumerate(corrected) if flaw}
        yield [text for text, _ in corrected], flaws


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


def _correct(text: str, cell: _Cell, formula: _Cell) -> tuple[str, str | None]:
    """Return what a cell shows and what is wrong with it, given calamine's text for it."""
    value = cell.value
    if value == text:
        return text, None
    if not text and cell.data_type == "e":
        return str(value or "#N/A"), ProblemCode.EXCEL_ERROR.value
    # The value of a formula of type "str" is a text; an empty one comes as None.
    if not text and value is None and formula.data_type == "f" and cell.data_type != "str":
        return "", ProblemCode.FORMULA_WITHOUT_VALUE.value
    if is_blank(text) != _is_blank(cell):
        raise ReadersDisagree
    if cell.data_type != "n" or not isinstance(value, int | float):
        return text, None
    return _with_zeros(text, float(value), cell.number_format), None


def _with_zeros(text: str, number: float, number_format: str) -> str:
    code = zero_format(number_format)
    if not code:
        return text
    if text != format_cell(number)[0]:
        raise ReadersDisagree
    return format_with_zeros(int(number), code) if number.is_integer() else text


def _is_blank(cell: _Cell) -> bool:
    return cell.value is None or (isinstance(cell.value, str) and is_blank(cell.value))
