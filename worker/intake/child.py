"""The process that reads one spreadsheet, so that a hostile one can end nobody else.

`python -I -m worker.intake.child PATH KIND SPOOL SHEET`: the spool is a descriptor; an empty sheet means the first
visible one with data. Rows go to the spool, a `SheetRead` or `SheetFailed` to standard output. A process that wants
too much memory dies without an answer, which is one too.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from worker.intake.admission import Kind
from worker.intake.careful import look_again
from worker.intake.cells import show
from worker.intake.frames import SheetFailed, SheetRead, SpoolRow, write_rows
from worker.intake.sheet_scan import Marked, Unsure
from worker.intake.text import is_blank

MOST_MEMORY = 2 * 2**30
LARGEST_SPOOL = 4 * 2**30
_LOCKED = "it is protected by a password; save it without one."
_SAVE_ANEW = "open it in a spreadsheet program and save it as an ordinary Excel workbook (.xlsx)"


class NoSuchSheet(Exception):
    """The sheet asked for is not there, or none has data."""


@dataclass(slots=True)
class Reading:
    """The rows of one sheet on their way to the spool, and what was learnt on the way."""

    sheet: CalamineSheet
    marked: dict[tuple[int, int], Marked]
    width: int = 0
    #: Positions of the columns in which a number came without its looks.
    numbers: set[int] = field(default_factory=set)

    def rows(self) -> Iterator[SpoolRow]:
        """Yield the rows with data under the spreadsheet's own numbers."""
        left = (self.sheet.start or (0, 0))[1]
        marks: dict[int, dict[int, Marked]] = {}
        for (row, column), mark in self.marked.items():
            marks.setdefault(row, {})[column - left] = mark
        for row, values in enumerate(self.sheet.iter_rows()):
            cells, flaws = [], {}
            for column, value in enumerate(values):
                text, flaw = show(value)
                cells.append(text)
                if flaw:
                    flaws[column] = flaw
                if text and isinstance(value, int | float):
                    self.numbers.add(column)
            if row in marks:
                self._apply(marks.pop(row), cells, flaws)
            if flaws or not all(map(is_blank, cells)):
                while cells and not cells[-1] and len(cells) - 1 not in flaws:
                    cells.pop()
                self.width = max(self.width, len(cells))
                yield SpoolRow(row + 1, tuple(cells), flaws)
        if any(mark.text for left_over in marks.values() for mark in left_over.values()):
            raise Unsure

    def _apply(self, marks: dict[int, Marked], cells: list[str], flaws: dict[int, str]) -> None:
        for column, mark in marks.items():
            if not 0 <= column < len(cells):
                if mark.text:
                    raise Unsure
                continue
            if cells[column] != (mark.number or "") and mark.flaw is None:
                raise Unsure
            cells[column] = mark.text
            if mark.flaw:
                flaws[column] = mark.flaw


def read_sheet(path: Path, kind: Kind, spool: int, wanted: str) -> SheetRead:
    """Read a sheet into the spool."""
    workbook = CalamineWorkbook.from_path(path)
    names = [item.name for item in workbook.sheets_metadata if item.typ is SheetTypeEnum.WorkSheet]
    visible = {item.name for item in workbook.sheets_metadata if item.visible is SheetVisibleEnum.Visible}
    sheet = _named(workbook, names, wanted) if wanted else _first_with_data(workbook, names, visible)
    reading = Reading(sheet, look_again(path, sheet.name) if kind is Kind.XLSX else {})
    write_rows(spool, reading.rows())
    others = tuple(name for name in names if name != sheet.name)
    return SheetRead(
        sheet=sheet.name,
        others=tuple(name for name in others if name in visible),
        hidden=tuple(name for name in others if name not in visible),
        width=reading.width,
        bare_numbers=() if kind is Kind.XLSX else tuple(sorted(reading.numbers)),
    )


def _named(workbook: CalamineWorkbook, names: list[str], wanted: str) -> CalamineSheet:
    found = [name for name in names if name == wanted] or [
        name for name in names if name.strip().casefold() == wanted.strip().casefold()
    ]
    if not found:
        listed = ", ".join(f'"{name}"' for name in names) or "none"
        raise NoSuchSheet(f'there is no sheet "{wanted}"; the workbook has {listed}. Give one of them with --sheet')
    return workbook.get_sheet_by_name(found[0])


def _first_with_data(workbook: CalamineWorkbook, names: list[str], visible: set[str]) -> CalamineSheet:
    for name in names:
        sheet = workbook.get_sheet_by_name(name) if name in visible else None
        if sheet and any(not is_blank(show(value)[0]) for row in sheet.iter_rows() for value in row):
            return sheet
    hidden = ", ".join(f'"{name}"' for name in names if name not in visible)
    raise NoSuchSheet(
        f"no visible sheet has data; the hidden ones are {hidden}: show them, or give one with --sheet"
        if hidden
        else "the workbook holds no data"
    )


def answer(path: Path, kind: Kind, spool: int, wanted: str) -> SheetRead | SheetFailed:
    """Read a sheet, or say in plain words why not."""
    try:
        return read_sheet(path, kind, spool, wanted)
    except NoSuchSheet as why:
        return SheetFailed(f"{why}.")
    except CalamineError as error:
        locked = isinstance(error, PasswordError)
        return SheetFailed(_LOCKED if locked else f"the workbook is damaged, or is none; {_SAVE_ANEW}.")
    except (Unsure, KeyError, ValueError, OverflowError, SyntaxError):
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
