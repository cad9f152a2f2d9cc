"""Format the value of a cell as the text that the spreadsheet shows, leading zeros of number formats included."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, time, timedelta
from functools import cache

from worker.intake.problems import ProblemCode

#: A spreadsheet keeps fifteen digits of a number and writes zeros for the rest.
FIRST_INEXACT = 10.0**15

Cell = str | float | int | bool | date | datetime | time | timedelta | None
#: The texts of a row, and what is wrong with some of them (position → code).
RowTexts = tuple[list[str], dict[int, str]]

#: Only zeros, separated by nothing but literals: 00000000 or 00" "00.
_ZERO_FORMAT = re.compile(r'(?:0|\\.|"[^"]*"|[-\s/()])+')
_LITERAL = re.compile(r'\\(.)|"([^"]*)"|(0)|([-\s/()])')
_MIN_ZEROS = 2


def format_cell(value: Cell) -> tuple[str, str | None]:
    """Return a cell's text, and the code of what is wrong with it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _format_number(value)
    return _format_other(value), None


def _format_other(value: Cell) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).upper()
        case datetime():
            return _format_datetime(value)
        case date() | time():
            return value.isoformat()
        case _:
            return str(value)


def _format_number(value: float) -> tuple[str, str | None]:
    if not math.isfinite(value):
        return "#NUM!", ProblemCode.EXCEL_ERROR.value
    flaw = ProblemCode.LOST_DIGITS.value if abs(value) >= FIRST_INEXACT else None
    return (str(int(value)) if value == int(value) else format(value, ".15g")), flaw


def _format_datetime(value: datetime) -> str:
    if value.time() == time.min and value.tzinfo is None:
        return value.date().isoformat()
    return value.isoformat(" ", "seconds")


@cache
def zero_format(number_format: str) -> str | None:
    """Return a number format's part for positive numbers if all it does is show leading zeros; otherwise None."""
    code = number_format.split(";", maxsplit=1)[0]
    return code if _ZERO_FORMAT.fullmatch(code) and _zeros(code) >= _MIN_ZEROS else None


def _zeros(code: str) -> int:
    return sum(found[3] is not None for found in _LITERAL.finditer(code))


def format_with_zeros(number: int, code: str) -> str:
    """Return a number as a format of zeros and literals shows it."""
    digits = iter(str(abs(number)).zfill(_zeros(code)))
    surplus = len(str(abs(number))) - _zeros(code)
    text = "".join(next(digits) for _ in range(surplus))
    for found in _LITERAL.finditer(code):
        text += next(digits) if found[3] else found[1] or found[2] or found[4] or ""
    return f"-{text}" if number < 0 else text
