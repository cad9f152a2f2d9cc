"""Parse dates as people and spreadsheets write them; the column's consistent order separates day and month."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum, auto

from worker.intake.problems import ProblemCode, quote


class DateOrder(Enum):
    """The order of day and month in a column."""

    DAY_FIRST = auto()
    MONTH_FIRST = auto()
    #: Some values can only be day first and others only month first.
    CONTRADICTORY = auto()
    #: No value has a number above 12, which would decide it.
    UNDECIDED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedDate:
    """A date, and whether it was written as the number by which Excel counts days."""

    value: date
    is_serial: bool = False


class InvalidDate(ValueError):
    """The text is not a date, or could be two dates; `code` says which, and the message says how to fix it."""

    def __init__(self, message: str, code: ProblemCode = ProblemCode.INVALID_DATE) -> None:
        super().__init__(message)
        self.code = code


_TIME = (
    r"(?:[T ]+[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?\s*(?:[AaPp]\.?[Mm]\.?|Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_YEAR_FIRST = re.compile(rf"([0-9]{{4}})([-/.])([0-9]{{1,2}})\2([0-9]{{1,2}}){_TIME}")
_COMPACT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_SERIAL = re.compile(r"([0-9]{5})(?:\.[0-9]+)?")
_YEAR_LAST = re.compile(rf"([0-9]{{1,2}})\s?([-/.])\s?([0-9]{{1,2}})\s?\2\s?([0-9]{{2}}|[0-9]{{4}}){_TIME}")
_DAY_NAME = re.compile(
    rf"([0-9]{{1,2}})(?:st|nd|rd|th)?[\s\-/.,]*([a-z]+)[\s\-/.,]*([0-9]{{2}}|[0-9]{{4}}){_TIME}", re.IGNORECASE
)
_NAME_DAY = re.compile(
    rf"([a-z]+)[\s\-/.,]*([0-9]{{1,2}})(?:st|nd|rd|th)?[\s\-/.,]+([0-9]{{4}}){_TIME}", re.IGNORECASE
)
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
           "november", "december")  # fmt: skip
_MIN_MONTH_LETTERS = 3
_MONTHS_PER_YEAR = 12
_YEAR_DIGITS = 4
EARLIEST_YEAR = 1900
#: Excel's day 0, for every date after its false 29 February 1900.
_EPOCH = date(1899, 12, 30)
_REMEDY = "write it as YYYY-MM-DD"


def column_date_order(shown: AbstractSet[DateOrder]) -> DateOrder:
    """Return the order of day and month in a column, given the orders that its dates show."""
    if len(shown) > 1:
        return DateOrder.CONTRADICTORY
    return next(iter(shown), DateOrder.UNDECIDED)


def date_order_of(text: str) -> DateOrder | None:
    """Return the order of day and month that one date shows by itself, or None."""
    found = _YEAR_LAST.fullmatch(text)
    if not found or found[2] == "." or len(found[4]) < _YEAR_DIGITS:
        return None
    first, second = int(found[1]), int(found[3])
    if first > _MONTHS_PER_YEAR >= second:
        return DateOrder.DAY_FIRST
    return DateOrder.MONTH_FIRST if second > _MONTHS_PER_YEAR >= first else None


def parse_date(text: str, order: DateOrder = DateOrder.UNDECIDED) -> ParsedDate:
    """Parse a date; raise InvalidDate with the remedy."""
    if found := _YEAR_FIRST.fullmatch(text):
        return ParsedDate(value=_date(text, found[1], found[3], found[4]))
    if found := _COMPACT.fullmatch(text):
        return ParsedDate(value=_date(text, *found.groups()))
    if found := _SERIAL.fullmatch(text):
        return ParsedDate(value=_EPOCH + timedelta(days=int(found[1])), is_serial=True)
    if found := _YEAR_LAST.fullmatch(text):
        return ParsedDate(value=_year_last(text, found, order))
    if found := _DAY_NAME.fullmatch(text):
        return ParsedDate(value=_date(text, found[3], _month(text, found[2]), found[1]))
    if found := _NAME_DAY.fullmatch(text):
        return ParsedDate(value=_date(text, found[3], _month(text, found[1]), found[2]))
    raise InvalidDate(f"{quote(text)} is not a date; {_REMEDY}.")


def _year_last(text: str, found: re.Match[str], order: DateOrder) -> date:
    first, separator, second, year = found[1], found[2], found[3], found[4]
    if separator == ".":
        return _date(text, year, second, first)
    shown = date_order_of(text)
    if shown is None and _is_ambiguous(int(first), int(second)) and len(year) == _YEAR_DIGITS:
        if order not in {DateOrder.DAY_FIRST, DateOrder.MONTH_FIRST}:
            raise _ambiguous(text, order)
        shown = order
    month, day = (first, second) if shown is DateOrder.MONTH_FIRST else (second, first)
    return _date(text, year, month, day)


def _is_ambiguous(first: int, second: int) -> bool:
    return first != second and 0 < first <= _MONTHS_PER_YEAR and 0 < second <= _MONTHS_PER_YEAR


def _ambiguous(text: str, order: DateOrder) -> InvalidDate:
    why = "no other date in the column shows the order of day and month"
    if order is DateOrder.CONTRADICTORY:
        why = "the column contains both orders of day and month"
    return InvalidDate(f"{quote(text)} can be read in two ways, and {why}; {_REMEDY}.", ProblemCode.AMBIGUOUS_DATE)


def _month(text: str, name: str) -> str:
    short = "september" if name.casefold() == "sept" else name.casefold()
    for number, month in enumerate(_MONTHS, start=1):
        if len(short) >= _MIN_MONTH_LETTERS and month.startswith(short):
            return str(number)
    raise InvalidDate(f"{quote(text)} does not contain an English month name; {_REMEDY}.")


def _date(text: str, year: str, month: str, day: str) -> date:
    if len(year) < _YEAR_DIGITS:
        raise InvalidDate(f"{quote(text)} has a two-digit year; {_REMEDY}.")
    if not int(month) or not int(day):
        raise InvalidDate(
            f"{quote(text)} is not a date: a spreadsheet formatted another number as a date; {_REMEDY}."
        )
    try:
        value = date(int(year), int(month), int(day))
    except ValueError:
        raise InvalidDate(f"{quote(text)} is not a valid date; {_REMEDY}.") from None
    if value.year < EARLIEST_YEAR:
        raise InvalidDate(f"{quote(text)} is before {EARLIEST_YEAR}; {_REMEDY}.")
    return value
