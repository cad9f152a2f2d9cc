"""The process that reads one spreadsheet, so that a hostile one can end nobody else.

`python -I -m worker.intake.excel.process PATH KIND SPOOL SHEET`: the spool is a descriptor; an empty sheet means
the first visible one with data. Rows go to the spool, a `SheetRead` or `SheetFailed` to standard output. A process
that wants too much memory dies without an answer, which is one too.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError

from worker.intake.excel.cells import Shown, show
from worker.intake.excel.ipc import SheetFailed, SheetRead, SpoolRow, write_rows
from worker.intake.excel.scan import glance
from worker.intake.excel.sheets import NoSuchSheet, choose_sheet
from worker.intake.file_type import Kind
from worker.intake.text import is_blank

MOST_MEMORY = 2 * 2**30
LARGEST_SPOOL = 4 * 2**30
_LOCKED = "it is protected by a password; save it without one."
_SAVE_ANEW = "open it in a spreadsheet program and save it as an ordinary Excel workbook (.xlsx)"
#: What openpyxl, or the comparison with it, ends in when a workbook is not laid out as Excel does it.
_UNCERTAIN = (LookupError, ValueError, TypeError, AttributeError, OverflowError, SyntaxError)


@dataclass(slots=True)
class Reading:
    """The rows of one sheet on their way to the spool, and what was learnt on the way."""

    sheet: CalamineSheet
    width: int = 0
    #: Positions of the columns in which a number came without its looks.
    numbers: set[int] = field(default_factory=set)

    def shown(self) -> Iterator[Shown]:
        """Yield every row as calamine shows it."""
        for values in self.sheet.iter_rows():
            texts, flaws = [], {}
            for column, value in enumerate(values):
                text, flaw = show(value)
                texts.append(text)
                if flaw:
                    flaws[column] = flaw
                if text and isinstance(value, int | float):
                    self.numbers.add(column)
            yield texts, flaws

    def keep(self, rows: Iterable[Shown]) -> Iterator[SpoolRow]:
        """Yield the rows with data under the spreadsheet's own numbers."""
        for number, (texts, flaws) in enumerate(rows, start=1):
            if flaws or not all(map(is_blank, texts)):
                while texts and not texts[-1] and len(texts) - 1 not in flaws:
                    texts.pop()
                self.width = max(self.width, len(texts))
                yield SpoolRow(number, tuple(texts), flaws)


def read_sheet(path: Path, kind: Kind, spool: int, wanted: str) -> SheetRead:
    """Read a sheet into the spool."""
    sheet, others, hidden = choose_sheet(CalamineWorkbook.from_path(path), wanted)
    reading = Reading(sheet)
    rows = reading.shown()
    if kind is Kind.XLSX:
        rows = _look_again(rows, path, sheet)
    write_rows(spool, reading.keep(rows))
    return SheetRead(
        sheet=sheet.name,
        others=others,
        hidden=hidden,
        width=reading.width,
        bare_numbers=() if kind is Kind.XLSX else tuple(sorted(reading.numbers)),
    )


def _look_again(rows: Iterator[Shown], path: Path, sheet: CalamineSheet) -> Iterator[Shown]:
    seen = glance(path)
    if not any(seen):
        return rows
    from worker.intake.excel import crosscheck  # noqa: PLC0415 - few workbooks need openpyxl, and it is slow to load

    left = (sheet.start or (0, 0))[1]
    return crosscheck.correct(rows, path, sheet.name, left=left, gaps=seen.gaps)


def answer(path: Path, kind: Kind, spool: int, wanted: str) -> SheetRead | SheetFailed:
    """Read a sheet, or say in plain words why not."""
    try:
        return read_sheet(path, kind, spool, wanted)
    except NoSuchSheet as why:
        return SheetFailed(f"{why}.")
    except CalamineError as error:
        locked = isinstance(error, PasswordError)
        return SheetFailed(_LOCKED if locked else f"the workbook is damaged, or is none; {_SAVE_ANEW}.")
    except _UNCERTAIN:
        return SheetFailed(f"the workbook is laid out in a way that we cannot read with certainty; {_SAVE_ANEW}.")
    except BaseException as error:  # noqa: BLE001 - a panic of the reader is a BaseException; this process ends anyway
        return SheetFailed(f"the workbook cannot be read ({type(error).__name__}); {_SAVE_ANEW}.")


def main() -> None:
    """Read the sheet that the command line names."""
    path, kind, spool, wanted = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_SPOOL, LARGEST_SPOOL))
    os.write(1, msgspec.json.encode(answer(Path(path), Kind(kind), int(spool), wanted)))


if __name__ == "__main__":
    main()
