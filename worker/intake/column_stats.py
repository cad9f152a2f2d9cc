"""The first pass over a roster: what only a column as a whole can tell, before any row is read.

The order of day and month in each date column; signs of leading zeros that a spreadsheet took; and whether this
is a roster at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from worker.errors import UnreadableRoster
from worker.intake.columns import DATE_COLUMNS, PERSON_COLUMNS, REGISTRATION_COLUMN, ZERO_LED_COLUMNS
from worker.intake.dates import DateOrder, order_of, order_shown
from worker.intake.headers import Headings
from worker.intake.problems import quote
from worker.intake.roster_file import RosterFile
from worker.intake.text import clean

#: Below so many rows nobody can say that most of a file is garbage.
_FEWEST_ROWS = 20
#: A length that so large a share of an id column has is the length of its ids.
_COMMON_SHARE = 0.8
_SHORTEST_ID = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What the columns as a whole say."""

    orders: Mapping[str, DateOrder]
    warnings: tuple[str, ...]


@dataclass(slots=True)
class _IdColumn:
    """The lengths of an id column's all-digit values."""

    lengths: Counter[int] = field(default_factory=Counter)
    zero_led: Counter[int] = field(default_factory=Counter)

    def add(self, value: str) -> None:
        if value.isascii() and value.isdigit():
            (self.zero_led if value.startswith("0") else self.lengths)[len(value)] += 1

    def lost_zeros(self) -> bool:
        """Tell whether shorter values stand among longer ones that begin with zeros, or are of one length else."""
        if self.zero_led:
            return any(length < max(self.zero_led) for length in self.lengths)
        count, total = max(self.lengths.values(), default=0), self.lengths.total()
        length = max(self.lengths, default=0)
        is_common = self.lengths[length] == count and count >= _COMMON_SHARE * total
        return length >= _SHORTEST_ID and is_common and total - count > 0


def survey(file: RosterFile, headings: Headings) -> Survey:
    """Go over the whole file once; raise UnreadableRoster when most of its rows name nobody."""
    dates = [(column, at) for at, column in enumerate(headings.columns) if column in DATE_COLUMNS]
    ids = [(column, at) for at, column in enumerate(headings.columns) if column in ZERO_LED_COLUMNS]
    naming = {*PERSON_COLUMNS, REGISTRATION_COLUMN}
    naming_at = [at for at, column in enumerate(headings.columns) if column in naming]
    orders: dict[str, set[DateOrder]] = {str(column): set() for column, _ in dates}
    lengths = {str(column): _IdColumn() for column, _ in ids}
    rows = named = 0
    for row in file.rows():
        rows += 1
        named += any(row.cells[at] and clean(row.cells[at]) for at in naming_at)
        for column, at in dates:
            if row.cells[at] and (order := order_shown(clean(row.cells[at]))):
                orders[str(column)].add(order)
        for column, at in ids:
            lengths[str(column)].add(clean(row.cells[at]).removeprefix("'"))
    if rows >= _FEWEST_ROWS and named * 2 < rows:
        raise UnreadableRoster(
            f"{file.name}: {rows - named} of {rows} rows name nobody, so this does not look like a roster. Look "
            "whether the headings stand above the right columns."
        )
    return Survey(
        orders={column: order_of(seen) for column, seen in orders.items()},
        warnings=tuple(_warn(file, headings, lengths)),
    )


def _warn(file: RosterFile, headings: Headings, lengths: Mapping[str, _IdColumn]) -> Iterator[str]:
    for column, seen in lengths.items():
        name = quote(headings.heading_of(column))
        if seen.lost_zeros():
            yield (
                f"The ids under {name} differ in length, as when a spreadsheet has taken leading zeros away: look "
                "whether they are right; ids belong in cells formatted as text."
            )
        elif headings.columns.index(column) in file.bare_numbers:
            yield (
                f"The ids under {name} are numbers, and this kind of file does not show whether they began with "
                "zeros; if they did, save the roster as .xlsx."
            )
