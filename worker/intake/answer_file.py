"""Read an answer file: a report in which a person has filled in `_resolve` or the ids of the LMS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from worker.errors import UnreadableRoster
from worker.intake.roster_file import RESULTS_SHEET, Record, RosterFile, open_roster
from worker.intake.text import clean

#: The report columns that are read, in addition to those of the roster.
ROW, RESOLVE, CANDIDATE, REGISTRATION = "_row", "_resolve", "_candidate_id", "_registration_id"
#: Of the number of a row.
_MAX_DIGITS = 9
_WHOLE_NUMBER = re.compile(r"(\d+)(?:\.0+)?")
_SCIENTIFIC_NOTATION = re.compile(r"\d+([.,]\d+)?[eE]\+?\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRow:
    """One line of an answer file."""

    #: The number of the line in this file, and of the row of the roster that it is about (None: it names none).
    line: int
    row: int | None
    #: The cells of the report columns by name; a column that is missing is empty.
    report_cells: Mapping[str, str]
    #: The roster's own cells, by heading.
    roster_cells: Mapping[str, str]
    #: The report columns whose cells are damaged, or not what they seem.
    damaged: frozenset[str]


def read_answer_file(path: Path, *, encoding: str | None = None) -> Iterator[AnswerRow]:
    """Yield the lines of a failed.csv, results.csv, results.xlsx or exported list.

    Raises UnreadableRoster when it cannot be read, or has no column `_row`.
    """
    file = _open_answer_file(path, encoding)
    names = [clean(heading) for heading in file.headings]
    places = {name: names.index(name) for name in (ROW, RESOLVE, CANDIDATE, REGISTRATION) if name in names}
    if ROW not in places:
        raise UnreadableRoster(
            f"{path.name}: the column {ROW} is missing, so the rows cannot be identified; "
            "fill in the failed.csv, the results or the exported list of the job"
        )
    return (_parse_answer(record, names, places) for record in file.records())


def _open_answer_file(path: Path, encoding: str | None) -> RosterFile:
    """Open the file; in a results workbook, open the sheet of the results, which is not its first."""
    try:
        return open_roster(path, name=path.name, sheet=RESULTS_SHEET, encoding=encoding)
    except UnreadableRoster as error:
        if "there is no sheet" not in str(error):
            raise
        return open_roster(path, name=path.name, encoding=encoding)


def _parse_answer(record: Record, names: list[str], places: Mapping[str, int]) -> AnswerRow:
    cells = [clean(cell) for cell in record.raw.cells]
    ours = {name: _without_decimals(cells[place]) for name, place in places.items()}
    number = ours.pop(ROW)
    damaged = {
        name
        for name, place in places.items()
        if place in record.flaws or _SCIENTIFIC_NOTATION.fullmatch(cells[place])
    }
    return AnswerRow(
        line=record.raw.row,
        row=int(number) if number.isdecimal() and len(number) <= _MAX_DIGITS else None,
        report_cells=ours,
        roster_cells={name: cell for name, cell in zip(names, cells, strict=False) if not name.startswith("_")},
        damaged=frozenset(damaged),
    )


def _without_decimals(cell: str) -> str:
    """Return an id without the `.0` that a spreadsheet adds to whole numbers."""
    whole = _WHOLE_NUMBER.fullmatch(cell)
    return whole[1] if whole else cell
