"""A report as CSV: UTF-8 with BOM, CRLF line ends, formulas escaped."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from worker.errors import UsageError
from worker.intake.text import escape_formula
from worker.model import RowStatus
from worker.reports.lines import REPORT_COLUMNS, ReportLine, lay_out

#: How many of the report's columns a report may have: all, or those before `_stage` and `_job` were added.
_COLUMN_COUNTS = (len(REPORT_COLUMNS), REPORT_COLUMNS.index("_stage"))
#: The heading line is searched in this many characters.
_MAX_HEADING_CHARACTERS = 1_000_000


class CsvReport:
    """A CSV file being written."""

    def __init__(self, file: Iterator[str], headings: Sequence[str]) -> None:
        self._writer = csv.writer(file, lineterminator="\r\n")  # type: ignore[arg-type]
        self.write(headings, ())

    def write(self, roster_cells: Sequence[str], report_cells: Sequence[str | int]) -> None:
        """Write one line; only texts are escaped."""
        self._writer.writerow(
            [escape_formula(cell) if isinstance(cell, str) else cell for cell in (*roster_cells, *report_cells)]
        )


@contextmanager
def csv_report(path: Path, headings: Sequence[str]) -> Iterator[CsvReport]:
    """Open a CSV report and write its headings; it is complete when the block has ended."""
    # A message of an LMS comes from JSON, which can hold a lone surrogate; it is written as an escape.
    with path.open("w", encoding="utf-8-sig", newline="", errors="backslashreplace") as file:
        yield CsvReport(file, headings)


def is_own_report(path: Path) -> bool:
    """Return whether a CSV file is a report of Roster: its last headings are the report's columns.

    Excel may have saved it since, with the delimiter of its locale.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            head = file.read(_MAX_HEADING_CHARACTERS)
        return any(_ends_in_report_columns(head, delimiter) for delimiter in ",;\t")
    except FileNotFoundError:
        return False


def _ends_in_report_columns(head: str, delimiter: str) -> bool:
    try:
        headings = next(csv.reader(head.splitlines(keepends=True), delimiter=delimiter), [])
    except csv.Error:
        return False
    return any(tuple(headings[-count:]) == REPORT_COLUMNS[:count] for count in _COLUMN_COUNTS)


#: The columns after the roster's own; the last is for the answer.
UNCONFIRMED_COLUMNS = ("_row", "_status", "_error", "_candidate_id", "_registration_id", "_resolve")


def write_unconfirmed(path: Path, headings: Sequence[str], lines: Callable[[], Iterator[ReportLine]]) -> int:
    """Write the rows in doubt to a new file and return their number. Raises UsageError when that fails."""
    if path.suffix.casefold() != ".csv":
        raise UsageError(f"{path}: the list is a CSV file; give a name that ends in .csv")
    if path.exists():
        raise UsageError(f"{path} already exists, perhaps with answers in it; give another name")
    unconfirmed = [line for line in lines() if line.status is RowStatus.IN_DOUBT]
    if not unconfirmed:
        raise UsageError("No row of this job is unconfirmed: there is nothing to fill in")
    layout = lay_out(headings, unconfirmed)
    own = (*layout.roster_headings, *UNCONFIRMED_COLUMNS)
    try:
        with csv_report(path, own) as report:
            for line in unconfirmed:
                ours = (line.row, line.status.value, line.error, line.candidate_id, line.registration_id, "")
                report.write(layout.roster_cells(line.cells), ours)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}; choose another place") from None
    return len(unconfirmed)
