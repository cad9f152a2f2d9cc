"""Open a roster, whatever it is: its headings, its rows under the spreadsheet's own numbers, and what we noted.

Knows no column: what a heading means stands in headers.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from worker.errors import UnreadableRoster
from worker.intake.csv_files.reader import open_csv
from worker.intake.excel.reader import open_spreadsheet
from worker.intake.file_type import Kind, admit
from worker.intake.headers import count_known, names_a_person
from worker.intake.text import is_blank
from worker.model import RawRow

#: Titles and remarks may stand above the headings; further down nobody looks for them.
_ROWS_ABOVE = 20
_LEAST_HEADINGS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A row as it stood, and the cells that are not what they seem (position → a `ProblemCode`)."""

    raw: RawRow
    flaws: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterFile:
    """An opened roster; its rows can be gone over as often as one likes."""

    #: The file's original name, for messages.
    name: str
    headings: tuple[str, ...]
    #: The number of the row in which the headings stand.
    heading_row: int
    #: Plain sentences: the encoding taken, sheets passed over, …
    notes: tuple[str, ...]
    #: Positions of the columns with numbers whose leading zeros, if any, cannot be seen.
    bare_numbers: frozenset[int] = frozenset()
    #: The sheet that is read, and the others of the workbook; empty for a text file.
    sheet: str = ""
    other_sheets: tuple[str, ...] = ()
    source: Callable[[], Iterable[Record]]

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows with data, padded to the headings; longer only where a text file's row is."""
        return (record.raw for record in self.records())

    def records(self) -> Iterator[Record]:
        """Yield the rows with data, and what is wrong with single cells."""
        width = len(self.headings)
        for record in self.source():
            if record.raw.row > self.heading_row and not _is_empty(record):
                yield _fitted(record, width)


def open_roster(path: Path, *, name: str, sheet: str | None = None, encoding: str | None = None) -> RosterFile:
    """Open a roster by its content; `name` is the file's original name, for `path` may be a stored copy.

    Raises UnreadableRoster when it cannot be read with certainty, UsageError when `encoding` is none.
    """
    kind = admit(path, name=name)
    if kind is Kind.TEXT:
        return _open_text(path, name=name, sheet=sheet, encoding=encoding)
    workbook = open_spreadsheet(path, kind, name=name, sheet=sheet)

    def source() -> Iterator[Record]:
        for row in workbook.records():
            yield Record(raw=RawRow(row=row.row, cells=row.cells), flaws=row.flaws)

    found, notes = _find_headings(source(), name=name)
    return RosterFile(
        name=name,
        headings=found.cells + ("",) * (workbook.width - len(found.cells)),
        heading_row=found.row,
        notes=(*workbook.notes, *notes, *_ignored(encoding, "--encoding", "a spreadsheet has none to choose")),
        bare_numbers=workbook.bare_numbers,
        sheet=workbook.sheet,
        other_sheets=workbook.other_sheets,
        source=source,
    )


def _open_text(path: Path, *, name: str, sheet: str | None, encoding: str | None) -> RosterFile:
    text = open_csv(path, name=name, encoding=encoding)

    def source() -> Iterator[Record]:
        for number, cells in text.records():
            yield Record(raw=RawRow(row=number, cells=tuple(cells)))

    found, notes = _find_headings(source(), name=name)
    width = max((at for at, heading in enumerate(found.cells, start=1) if not is_blank(heading)), default=0)
    return RosterFile(
        name=name,
        headings=found.cells[:width],
        heading_row=found.row,
        notes=(*text.notes, *notes, *_ignored(sheet, "--sheet", "a text file has no sheets")),
        source=source,
    )


def _find_headings(records: Iterable[Record], *, name: str) -> tuple[RawRow, list[str]]:
    """Return the row of headings: the first row, unless a row just below it has headings that we know."""
    head = list(itertools.islice((record.raw for record in records if not _is_empty(record)), _ROWS_ABOVE))
    if not head:
        raise UnreadableRoster(f"{name}: the file holds no rows; put a row of headings at the top.")
    for row in head:
        if count_known(row.cells) >= _LEAST_HEADINGS and names_a_person(row.cells):
            above = f"The headings stand in row {row.row}; what is above them was not read."
            return row, [] if row is head[0] else [above]
    return head[0], []


def _ignored(value: str | None, option: str, why: str) -> list[str]:
    return [f"{option} was not used: {why}."] if value else []


def _is_empty(record: Record) -> bool:
    return not record.flaws and all(map(is_blank, record.raw.cells))


def _fitted(record: Record, width: int) -> Record:
    """Pad a short row, and cut blank cells beyond the headings."""
    row = record.raw
    if len(row.cells) == width:
        return record
    if len(row.cells) < width:
        cells = row.cells + ("",) * (width - len(row.cells))
    else:
        cells = row.cells if any(not is_blank(cell) for cell in row.cells[width:]) else row.cells[:width]
    return Record(raw=RawRow(row=row.row, cells=cells), flaws=record.flaws)
