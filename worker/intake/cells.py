"""The value of a spreadsheet's cell → the text that the spreadsheet shows for it."""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta

from worker.intake.problems import ProblemCode

#: A spreadsheet keeps fifteen digits of a number and puts zeros for the rest.
FIRST_INEXACT = 10.0**15

Cell = str | float | int | bool | date | datetime | time | timedelta | None


def show(value: Cell) -> tuple[str, str | None]:
    """Return a cell's text, and the code of what is wrong with it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _show_number(value)
    return _show_other(value), None


def _show_other(value: Cell) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).upper()
        case datetime():
            return _show_moment(value)
        case date() | time():
            return value.isoformat()
        case _:
            return str(value)


def _show_number(value: float) -> tuple[str, str | None]:
    if not math.isfinite(value):
        return "#NUM!", ProblemCode.EXCEL_ERROR.value
    flaw = ProblemCode.LOST_DIGITS.value if abs(value) >= FIRST_INEXACT else None
    return (str(int(value)) if value == int(value) else format(value, ".15g")), flaw


def _show_moment(value: datetime) -> str:
    if value.time() == time.min and value.tzinfo is None:
        return value.date().isoformat()
    return value.isoformat(" ", "seconds")
