"""Collect statistics of the columns in a first pass over a roster, before any row is parsed.

They show the order of day and month in each date column, ids that have probably lost leading zeros, and whether
the file is a roster at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from worker.errors import UnreadableRoster
from worker.intake.cell_values import IDENTIFIERS, is_own_name, means_none, read_value
from worker.intake.columns import DATE_COLUMNS, PERSON_COLUMNS, REGISTRATION_COLUMN, ZERO_PADDED_COLUMNS
from worker.intake.date_columns import DateColumn
from worker.intake.dates import DateOrder
from worker.intake.headers import Headings
from worker.intake.problems import excel_error_code, quote
from worker.intake.roster_file import RosterFile, has_data
from worker.intake.text import clean
from worker.quantities import counted

#: A file with fewer rows is never rejected for rows without a person.
_MIN_ROWS = 20
#: A length that this share of an id column's values has is the length of its ids.
_COMMON_SHARE = 0.8
_MIN_ID_LENGTH = 5
_SHOWN_PLACEHOLDERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnStats:
    """What the columns as a whole show."""

    date_orders: Mapping[str, DateOrder]
    #: Date columns in which five digits are the serial number of a date.
    serial_columns: AbstractSet[str]
    warnings: tuple[str, ...]


@dataclass(slots=True)
class _IdLengths:
    """How many all-digit values of an id column have which length, with and without a leading zero."""

    lengths: Counter[int] = field(default_factory=Counter)
    padded_lengths: Counter[int] = field(default_factory=Counter)

    def add(self, value: str) -> None:
        if value.isascii() and value.isdigit():
            (self.padded_lengths if value.startswith("0") else self.lengths)[len(value)] += 1

    def has_lost_zeros(self) -> bool:
        """Return whether some values are shorter than those with leading zeros, or than nearly all others."""
        if self.padded_lengths:
            return any(length < max(self.padded_lengths) for length in self.lengths)
        count, total = max(self.lengths.values(), default=0), self.lengths.total()
        length = max(self.lengths, default=0)
        is_common = self.lengths[length] == count and count >= _COMMON_SHARE * total
        return length >= _MIN_ID_LENGTH and is_common and total - count > 0


class _Placeholders:
    """The values of a roster that say that there is none, by column of an identifier."""

    def __init__(self, headings: Headings) -> None:
        self._headings = headings
        columns = enumerate(headings.columns)
        self._found: dict[tuple[str, int], Counter[str]] = {
            (column, at): Counter() for at, column in columns if column in IDENTIFIERS
        }

    def add(self, cells: Sequence[str]) -> None:
        for (column, at), found in self._found.items():
            # No word for none ends in such a digit, and most ids do.
            value = read_value(column, cells[at]) if cells[at] and cells[at][-1] not in "123456789" else ""
            if not value or excel_error_code(value) or not means_none(column, value):
                continue
            if column != "email" or not self._is_own_name(value, cells):
                found[value] += 1

    def _is_own_name(self, address: str, cells: Sequence[str]) -> bool:
        named = zip(self._headings.columns, cells, strict=False)
        return is_own_name(address, {column: cell for column, cell in named if column is not None})

    def warnings(self) -> Iterator[str]:
        for (column, _), found in self._found.items():
            # An address could after all be somebody's, and notes outlive the personal data of a job.
            shown = [] if column == "email" else sorted(found)[:_SHOWN_PLACEHOLDERS]
            examples = f" ({', '.join(map(quote, shown))})" if shown else ""
            count, heading = found.total(), quote(self._headings.heading_of(column))
            if count:
                cells = "1 cell means" if count == 1 else f"{count:,} cells mean"
                yield f"{cells} that there is none under {heading}{examples}: read as empty."


def collect_column_stats(file: RosterFile, headings: Headings) -> ColumnStats:
    """Read the whole file once; raise UnreadableRoster when most of its rows do not identify a person."""
    dates = [(column, at) for at, column in enumerate(headings.columns) if column in DATE_COLUMNS]
    ids = [(column, at) for at, column in enumerate(headings.columns) if column in ZERO_PADDED_COLUMNS]
    naming = {*PERSON_COLUMNS, REGISTRATION_COLUMN}
    naming_at = [at for at, column in enumerate(headings.columns) if column in naming]
    columns = {str(column): DateColumn(is_1904=file.is_1904) for column, _ in dates}
    lengths = {str(column): _IdLengths() for column, _ in ids}
    placeholders = _Placeholders(headings)
    used = headings.used
    rows = named = unused = 0
    for record in file.records():
        if not has_data(record, used):
            unused += 1
            continue
        row = record.raw
        rows += 1
        named += any(row.cells[at] and clean(row.cells[at]) for at in naming_at)
        for column, at in dates:
            if row.cells[at]:
                columns[str(column)].add(row.row, read_value(str(column), row.cells[at]), record.flaws.get(at))
        placeholders.add(row.cells)
        for column, at in ids:
            lengths[str(column)].add(read_value(str(column), row.cells[at]))
    nameless = _explain_nameless(headings, naming_at, rows - named, rows) if named * 2 < rows else ""
    if nameless and rows >= _MIN_ROWS:
        raise UnreadableRoster(f"{file.name}: {nameless}")
    return ColumnStats(
        date_orders={column: seen.order for column, seen in columns.items()},
        serial_columns={column for column, seen in columns.items() if seen.has_serials},
        warnings=(
            *([nameless] if nameless and not named else []),
            *([_explain_unused(unused)] if unused else []),
            *_warn(headings, lengths),
            *(text for column, seen in columns.items() for text in seen.warnings(headings.heading_of(column))),
            *placeholders.warnings(),
        ),
    )


def _explain_nameless(headings: Headings, naming_at: Sequence[int], nameless: int, rows: int) -> str:
    """Return how many rows do not identify a person, and which columns should."""
    do = "does" if nameless == 1 else "do"
    names = ", ".join(f"{quote(headings.names[at])} ({headings.columns[at]})" for at in naming_at)
    where = f": {names}, by which Roster knows people, {'is' if len(naming_at) == 1 else 'are'} empty there"
    return (
        f"{nameless:,} of {counted(rows, 'row')} {do} not identify a person{where if names else ''}. Fill in a "
        'cell that does, or match one with --map "Heading=external_id".'
    )


def _explain_unused(count: int) -> str:
    have, are = ("has", "is") if count == 1 else ("have", "are")
    return f"{counted(count, 'row')} {have} nothing in an imported column and {are} not part of the roster."


def _warn(headings: Headings, lengths: Mapping[str, _IdLengths]) -> Iterator[str]:
    for column, seen in lengths.items():
        name = quote(headings.heading_of(column))
        if seen.has_lost_zeros():
            yield (
                f"The ids under {name} differ in length, so a spreadsheet may have removed leading zeros: check "
                "them; format the cells of ids as text."
            )
