"""Read one spreadsheet in a process of its own, so that a hostile one cannot end the worker.

`python -I -m worker.intake.excel.process PATH TYPE SPOOL SHEET`: the spool is a descriptor; an empty sheet means
the first visible one with data. Rows go to the spool, a `SheetRead` or `SheetFailed` to standard output. A process
that needs too much memory ends without a response, and the parent reports that.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError

from worker.intake.excel.cells import RowTexts, format_cell
from worker.intake.excel.ipc import SheetFailed, SheetRead, SpoolRow, write_rows
from worker.intake.excel.scan import scan_workbook
from worker.intake.excel.sheets import SheetNotFound, choose_sheet
from worker.intake.file_type import FileType
from worker.intake.headers import column_letter
from worker.intake.limits import MAX_CELL_CHARACTERS, MAX_COLUMNS
from worker.intake.text import is_blank

MAX_MEMORY_BYTES = 2 * 2**30
MAX_SPOOL_BYTES = 4 * 2**30
_LOCKED = "it is password-protected; save it without a password."
_SAVE_AGAIN = "open it in a spreadsheet program and save it as an ordinary Excel workbook (.xlsx)"
#: The errors of openpyxl, and of the comparison with it, for a workbook that is not structured as Excel does it.
_UNUSUAL_LAYOUT = (LookupError, ValueError, TypeError, AttributeError, OverflowError, SyntaxError)


@dataclass(slots=True)
class SheetReader:
    """Read the rows of one sheet, and collect the width and the columns with numbers."""

    sheet: CalamineSheet
    width: int = 0
    #: Positions of the columns in which a number came without its number format.
    number_columns: set[int] = field(default_factory=set)

    def rows(self) -> Iterator[RowTexts]:
        """Yield every row as calamine reads it."""
        for values in self.sheet.iter_rows():
            texts, flaws = [], {}
            for column, value in enumerate(values):
                text, flaw = format_cell(value)
                texts.append(text)
                if flaw:
                    flaws[column] = flaw
                if text and isinstance(value, int | float):
                    self.number_columns.add(column)
            yield texts, flaws

    def spool_rows(self, rows: Iterable[RowTexts]) -> Iterator[SpoolRow]:
        """Yield the rows with data, with the spreadsheet's row numbers."""
        for number, (texts, flaws) in enumerate(rows, start=1):
            if flaws or not all(map(is_blank, texts)):
                while texts and not texts[-1] and len(texts) - 1 not in flaws:
                    texts.pop()
                check_row(number, texts)
                self.width = max(self.width, len(texts))
                yield SpoolRow(number, tuple(texts), flaws)


class RowTooLarge(Exception):
    """A row is larger than a spreadsheet program makes them; the message says which."""


def check_row(number: int, texts: Sequence[str]) -> None:
    """Raise RowTooLarge for a row with more columns or longer cells than Excel has."""
    if len(texts) > MAX_COLUMNS:
        raise RowTooLarge(f"row {number} has {len(texts)} cells; a roster has at most {MAX_COLUMNS} columns")
    if texts and max(map(len, texts)) > MAX_CELL_CHARACTERS:
        column = column_letter(next(at for at, text in enumerate(texts) if len(text) > MAX_CELL_CHARACTERS))
        raise RowTooLarge(f"a cell in row {number}, column {column} has more than {MAX_CELL_CHARACTERS} characters")


def read_sheet(path: Path, kind: FileType, spool: int, wanted: str) -> SheetRead:
    """Read a sheet into the spool."""
    sheet, others, hidden = choose_sheet(CalamineWorkbook.from_path(path), wanted)
    reading = SheetReader(sheet)
    rows = reading.rows()
    if kind is FileType.XLSX:
        rows = _crosscheck(rows, path, sheet)
    write_rows(spool, reading.spool_rows(rows))
    return SheetRead(
        sheet=sheet.name,
        others=others,
        hidden=hidden,
        width=reading.width,
        unformatted_columns=() if kind is FileType.XLSX else tuple(sorted(reading.number_columns)),
    )


def _crosscheck(rows: Iterator[RowTexts], path: Path, sheet: CalamineSheet) -> Iterator[RowTexts]:
    seen = scan_workbook(path)
    if not any(seen):
        return rows
    from worker.intake.excel import crosscheck  # noqa: PLC0415 - few workbooks need openpyxl, and it is slow to load

    left = (sheet.start or (0, 0))[1]
    return crosscheck.correct(rows, path, sheet.name, left=left, missing_values=seen.missing_values)


def try_read_sheet(path: Path, kind: FileType, spool: int, wanted: str) -> SheetRead | SheetFailed:
    """Read a sheet, or return in plain words why it cannot be read."""
    try:
        return read_sheet(path, kind, spool, wanted)
    except (SheetNotFound, RowTooLarge) as why:
        return SheetFailed(f"{why}.")
    except CalamineError as error:
        locked = isinstance(error, PasswordError)
        return SheetFailed(_LOCKED if locked else f"the workbook is damaged, or not a workbook; {_SAVE_AGAIN}.")
    except _UNUSUAL_LAYOUT:
        return SheetFailed(f"the workbook has a structure that cannot be read with certainty; {_SAVE_AGAIN}.")
    except BaseException as error:  # noqa: BLE001 - a panic of the reader is a BaseException; this process ends anyway
        return SheetFailed(f"the workbook cannot be read ({type(error).__name__}); {_SAVE_AGAIN}.")


def main() -> None:
    """Read the sheet that the command line names."""
    path, kind, spool, wanted = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_SPOOL_BYTES, MAX_SPOOL_BYTES))
    os.write(1, msgspec.json.encode(try_read_sheet(Path(path), FileType(kind), int(spool), wanted)))


if __name__ == "__main__":
    main()
