"""Format the value of a cell as the text that the spreadsheet shows."""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

from worker.intake.excel.number_format import (
    changes_numbers,
    changes_texts,
    display_number,
    display_text,
    general,
)
from worker.intake.problems import ProblemCode

#: A spreadsheet keeps fifteen digits of a number and writes zeros for the rest.
FIRST_INEXACT = 10.0**15

Cell = str | float | int | bool | date | datetime | time | timedelta | None


class RowCells(NamedTuple):
    """A row: the texts of its cells, what is wrong with some, and what their number formats do (by position)."""

    texts: list[str]
    #: Position → problem code.
    flaws: dict[int, str]
    #: Position → the exact number under a text that shows it otherwise; or the format that is not known.
    details: dict[int, str]

    def set_error(self, at: int, text: str) -> None:
        """Save that a cell shows an error of the spreadsheet."""
        self._extend(at)
        self.texts[at] = text
        self.flaws[at] = ProblemCode.EXCEL_ERROR.value

    def set_shown(self, at: int, shown: str) -> None:
        """Replace the exact number of a cell by the text that its format shows."""
        if shown != self.texts[at]:
            self.details[at] = self.texts[at]
            self.texts[at] = shown

    def apply_format(self, at: int, number: float, number_format: str) -> None:
        """Replace the exact number of a cell by what its format shows, or save that the format is not known."""
        if not changes_numbers(number_format):
            return
        shown = display_number(number, number_format)
        if shown is not None:
            self.set_shown(at, shown)
        elif at not in self.flaws:
            self.flaws[at] = ProblemCode.NUMBER_FORMAT.value
            self.details[at] = number_format

    def apply_text_format(self, at: int, number_format: str) -> None:
        """Replace the text of a cell by what its format shows, or save that the format hides it or is not known."""
        if not self.texts[at] or not changes_texts(number_format):
            return
        shown = display_text(self.texts[at], number_format)
        if shown is not None:
            self.set_shown(at, shown)
        elif at not in self.flaws:
            self.flaws[at] = ProblemCode.NUMBER_FORMAT.value
            self.details[at] = number_format

    def _extend(self, at: int) -> None:
        self.texts.extend("" for _ in range(at + 1 - len(self.texts)))


def format_cell(value: Cell) -> tuple[str, str | None]:
    """Return a cell's text, and the code of what is wrong with it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _format_number(value)
    return _format_other(value)


def _format_other(value: Cell) -> tuple[str, str | None]:
    match value:
        case None:
            return "", None
        case bool():
            return str(value).upper(), None
        case datetime():
            return _format_datetime(value), ProblemCode.DATE_CELL.value
        case date() | time():
            return value.isoformat(), ProblemCode.DATE_CELL.value
        case timedelta():
            return str(value), ProblemCode.DATE_CELL.value
        case _:
            return str(value), None


def _format_number(value: float) -> tuple[str, str | None]:
    if not math.isfinite(value):
        return "#NUM!", ProblemCode.EXCEL_ERROR.value
    return general(value), ProblemCode.LOST_DIGITS.value if abs(value) >= FIRST_INEXACT else None


def _format_datetime(value: datetime) -> str:
    if value.time() == time.min and value.tzinfo is None:
        return value.date().isoformat()
    return value.isoformat(" ", "seconds")
