"""A report that a person has filled in: the rows with what they wrote into our columns, by row of the roster."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from worker.errors import UnreadableRoster
from worker.intake.roster_file import Record, RosterFile, open_roster
from worker.intake.text import clean

#: Our columns that are read, beside those of the roster itself.
ROW, RESOLVE, CANDIDATE, REGISTRATION = "_row", "_resolve", "_candidate_id", "_registration_id"
#: The sheet of our workbooks with a line per row.
SHEET = "Results"
_WHOLE = re.compile(r"(\d+)(?:\.0+)?")
_SHORTENED = re.compile(r"\d+([.,]\d+)?[eE]\+?\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledIn:
    """One line of such a file."""

    #: The number of the line in this file, and of the roster's row that it is about (None: it says none).
    line: int
    row: int | None
    #: What stands in our columns, by their name; a column that is not there is empty.
    ours: Mapping[str, str]
    #: The roster's own cells, by heading.
    own: Mapping[str, str]
    #: Our columns whose cells are damaged, or not what they seem.
    damaged: frozenset[str]


def read_filled_in(path: Path, *, encoding: str | None = None) -> Iterator[FilledIn]:
    """Yield the lines of a failed.csv, results.csv, results.xlsx or exported list.

    Raises UnreadableRoster when it cannot be read, or has no column `_row`.
    """
    file = _open(path, encoding)
    names = [clean(heading) for heading in file.headings]
    places = {name: names.index(name) for name in (ROW, RESOLVE, CANDIDATE, REGISTRATION) if name in names}
    if ROW not in places:
        raise UnreadableRoster(
            f"{path.name}: there is no column {ROW}, so nobody can tell which rows are meant; "
            "fill in the failed.csv or the results of the job, or the list that was exported for it"
        )
    return (_as_filled_in(record, names, places) for record in file.records())


def _open(path: Path, encoding: str | None) -> RosterFile:
    """Open the file; of our own workbook the sheet of the results, which is not its first."""
    try:
        return open_roster(path, name=path.name, sheet=SHEET, encoding=encoding)
    except UnreadableRoster as error:
        if "there is no sheet" not in str(error):
            raise
        return open_roster(path, name=path.name, encoding=encoding)


def _as_filled_in(record: Record, names: list[str], places: Mapping[str, int]) -> FilledIn:
    cells = [clean(cell) for cell in record.raw.cells]
    ours = {name: _as_typed(cells[place]) for name, place in places.items()}
    number = ours.pop(ROW)
    damaged = {
        name for name, place in places.items() if place in record.flaws or _SHORTENED.fullmatch(cells[place])
    }
    return FilledIn(
        line=record.raw.row,
        row=int(number) if number.isdecimal() else None,
        ours=ours,
        own={name: cell for name, cell in zip(names, cells, strict=False) if not name.startswith("_")},
        damaged=frozenset(damaged),
    )


def _as_typed(cell: str) -> str:
    """Return an id without the point that a spreadsheet gives to whole numbers."""
    whole = _WHOLE.fullmatch(cell)
    return whole[1] if whole else cell
