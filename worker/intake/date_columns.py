"""What a date column as a whole shows: the order of day and month, and what its numbers and texts mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from worker.intake.dates import DateOrder, InvalidDate, column_date_order, date_order_of, parse_date
from worker.intake.problems import ProblemCode, quote
from worker.quantities import counted

#: How many row numbers a note lists.
_LISTED_ROWS = 5
_LAST_MONTH = "12"
#: As the reader writes the dates of a spreadsheet; nearly every date is one.
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(slots=True)
class DateColumn:
    """Collects the values of one date column."""

    #: Whether its serial numbers begin in 1904; Roster does not read those.
    is_1904: bool = False
    orders: set[DateOrder] = field(default_factory=set)
    #: Rows with a serial number, with an ambiguous text, and with a text that shows the order of day and month.
    serials: list[int] = field(default_factory=list)
    ordered: list[int] = field(default_factory=list)
    ambiguous: int = 0
    #: How many values are certainly dates, how many are dates of the spreadsheet and not texts, and how many of
    #: these would be another date with day and month swapped.
    certain: int = 0
    cells: int = 0
    swappable: int = 0

    def add(self, row: int, text: str, flaw: str | None) -> None:
        """Add a value."""
        if _ISO.fullmatch(text):
            self._add_certain(text[5:7], text[8:], flaw)
            return
        order = date_order_of(text)
        try:
            read = parse_date(text, order or DateOrder.UNDECIDED)
        except InvalidDate as error:
            self.ambiguous += error.code is ProblemCode.AMBIGUOUS_DATE
            return
        if read.is_serial:
            self.serials.append(row)
            return
        self.certain += 1
        if order:
            self.orders.add(order)
            self.ordered.append(row)

    def _add_certain(self, month: str, day: str, flaw: str | None) -> None:
        self.certain += 1
        if flaw == ProblemCode.DATE_CELL:
            self.cells += 1
            self.swappable += day <= _LAST_MONTH and day != month

    @property
    def order(self) -> DateOrder:
        """Return the order of day and month that the dates of the column show."""
        return column_date_order(self.orders)

    @property
    def has_serials(self) -> bool:
        """Return whether five digits are the serial number of a date, because other values are dates."""
        return bool(self.serials and self.certain) and not self.is_1904

    def warnings(self, heading: str) -> Iterator[str]:
        """Yield what a person should check in the column."""
        if self.has_serials:
            numbers = "number was read as a date" if len(self.serials) == 1 else "numbers were read as dates"
            yield (
                f"Under {quote(heading)}, {len(self.serials):,} five-digit {numbers}, as Excel counts them "
                f"({_rows(self.serials)}); check them, or write them as YYYY-MM-DD."
            )
        if self.swappable and self.ordered and not self.ambiguous and len(self.orders) == 1:
            order = "day/month" if DateOrder.DAY_FIRST in self.orders else "month/day"
            cells = f"{counted(self.cells, 'cell')} {'has' if self.cells == 1 else 'have'}"
            texts = "1 text fits" if len(self.ordered) == 1 else f"{len(self.ordered):,} texts fit"
            yield (
                f"Under {quote(heading)}, {cells} a real date, and {texts} only {order} "
                f"({_rows(self.ordered)}). A spreadsheet with the other order may have swapped day and month in "
                "the real dates: compare them with their source."
            )


def _rows(rows: list[int]) -> str:
    more = ", …" if len(rows) > _LISTED_ROWS else ""
    return f"{'row' if len(rows) == 1 else 'rows'} {', '.join(map(str, rows[:_LISTED_ROWS]))}{more}"
