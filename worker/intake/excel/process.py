"""Read one spreadsheet in a process of its own, so that a hostile one cannot end the worker.

`python -I -m worker.intake.excel.process PATH TYPE SPOOL SHEET`: the spool is a descriptor; an empty sheet means
the first visible one with data. Rows go to the spool, a `SheetRead` or `SheetFailed` to standard output. A process
that needs too much memory ends without a response, and the parent reports that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from python_calamine import CalamineError, PasswordError

from worker.intake.excel.ipc import SheetFailed, SheetRead, SpoolRow, write_rows
from worker.intake.excel.layout import fill_merged
from worker.intake.excel.sheets import SheetNotFound, choose_sheet
from worker.intake.excel.workbook import DamagedWorkbook, LockedWorkbook, SheetContent, Workbook
from worker.intake.file_type import FileType
from worker.intake.headers import column_letter
from worker.intake.limits import MAX_CELL_CHARACTERS, MAX_COLUMNS, limit_this_process
from worker.intake.text import is_blank

_LOCKED = "it is password-protected; save it without a password."
_SAVE_AGAIN = "open it in a spreadsheet program and save it as an ordinary Excel workbook (.xlsx)"
_UNREADABLE = f"the workbook is damaged, or has a structure that Roster cannot read; {_SAVE_AGAIN}."
#: The errors of openpyxl, and of the comparison with it, for a workbook that is not structured as Excel does it.
_UNUSUAL_LAYOUT = (LookupError, ValueError, TypeError, AttributeError, OverflowError, SyntaxError)


def read_sheet(path: Path, kind: FileType, spool: int, wanted: str) -> SheetRead:
    """Read a sheet into the spool."""
    workbook = open_workbook(path, kind)
    name, others, hidden = choose_sheet(workbook, wanted)
    content = workbook.read(name)
    rows = _Rows(content)
    write_rows(spool, rows)
    return SheetRead(
        sheet=name,
        others=others,
        hidden=hidden,
        width=rows.width,
        is_1904=content.is_1904,
        has_hidden_rows=rows.has_hidden,
        hidden_columns=tuple(at for at in range(rows.width) if content.layout.hides_column(at + content.left)),
    )


def open_workbook(path: Path, kind: FileType) -> Workbook:
    """Open a workbook with the reader for its type."""
    if kind is FileType.XLS:
        from worker.intake.excel.xls import XlsWorkbook  # noqa: PLC0415 - only what the file needs

        return XlsWorkbook(path)
    from worker.intake.excel.calamine_workbook import CalamineReader  # noqa: PLC0415 - as above

    return CalamineReader(path, kind)


class _Rows:
    """The rows with data of a sheet, with the spreadsheet's row numbers.

    `width` is that of the longest so far, `has_hidden` whether one of them is hidden.
    """

    def __init__(self, content: SheetContent) -> None:
        self._content = content
        self.width = 0
        self.has_hidden = False

    def __iter__(self) -> Iterator[SpoolRow]:
        rows, layout = self._content.rows, self._content.layout
        if layout.merged:
            rows = fill_merged(rows, layout.merged, left=self._content.left)
        for number, (texts, flaws, details) in enumerate(rows, start=1):
            if flaws or not all(map(is_blank, texts)):
                while texts and not texts[-1] and len(texts) - 1 not in flaws:
                    texts.pop()
                check_row(number, texts)
                self.width = max(self.width, len(texts))
                is_hidden = bool(layout.hidden_rows) and layout.hides_row(number - 1)
                self.has_hidden |= is_hidden
                yield SpoolRow(number, tuple(texts), flaws, details, is_hidden)


class RowTooLarge(Exception):
    """A row is larger than a spreadsheet program makes them; the message says which."""


def check_row(number: int, texts: Sequence[str]) -> None:
    """Raise RowTooLarge for a row with more columns or longer cells than Excel has."""
    if len(texts) > MAX_COLUMNS:
        raise RowTooLarge(f"row {number} has {len(texts)} cells; a roster has at most {MAX_COLUMNS} columns")
    if texts and max(map(len, texts)) > MAX_CELL_CHARACTERS:
        column = column_letter(next(at for at, text in enumerate(texts) if len(text) > MAX_CELL_CHARACTERS))
        raise RowTooLarge(f"a cell in row {number}, column {column} has more than {MAX_CELL_CHARACTERS} characters")


def try_read_sheet(path: Path, kind: FileType, spool: int, wanted: str) -> SheetRead | SheetFailed:
    """Read a sheet, or return in plain words why it cannot be read."""
    try:
        return read_sheet(path, kind, spool, wanted)
    except (SheetNotFound, RowTooLarge) as why:
        return SheetFailed(f"{why}.")
    except (CalamineError, DamagedWorkbook, LockedWorkbook) as error:
        is_locked = isinstance(error, PasswordError | LockedWorkbook)
        return SheetFailed(_LOCKED if is_locked else _UNREADABLE)
    except _UNUSUAL_LAYOUT:
        return SheetFailed(f"the workbook has a structure that cannot be read with certainty; {_SAVE_AGAIN}.")
    except BaseException as error:  # noqa: BLE001 - a panic of the reader is a BaseException; this process ends anyway
        return SheetFailed(f"the workbook cannot be read ({type(error).__name__}); {_SAVE_AGAIN}.")


def main() -> None:
    """Read the sheet that the command line names."""
    path, kind, spool, wanted = sys.argv[1:]
    limit_this_process()
    os.write(1, msgspec.json.encode(try_read_sheet(Path(path), FileType(kind), int(spool), wanted)))


if __name__ == "__main__":
    main()
