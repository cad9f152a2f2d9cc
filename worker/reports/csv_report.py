"""A report as CSV: UTF-8 with BOM, CRLF line ends, nothing in it that a spreadsheet would run."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from worker.errors import UsageError
from worker.intake.text import escape_formula
from worker.model import RowStatus
from worker.reports.lines import OUR_COLUMNS, ReportLine, lay_out

#: How far to look for the end of the heading line.
_HEAD = 1_000_000


class CsvReport:
    """A CSV file being written."""

    def __init__(self, file: Iterator[str], headings: Sequence[str]) -> None:
        self._writer = csv.writer(file, lineterminator="\r\n")  # type: ignore[arg-type]
        self.write(headings, ())

    def write(self, own: Sequence[str], ours: Sequence[str | int]) -> None:
        """Write one line; whole numbers need no guard."""
        self._writer.writerow([escape_formula(cell) if isinstance(cell, str) else cell for cell in (*own, *ours)])


@contextmanager
def csv_report(path: Path, headings: Sequence[str]) -> Iterator[CsvReport]:
    """Open a CSV report and write its headings; it is whole when the block has ended."""
    # An LMS's words come from JSON, which can hold half a character; such a one is spelled out.
    with path.open("w", encoding="utf-8-sig", newline="", errors="backslashreplace") as file:
        yield CsvReport(file, headings)


def is_ours(path: Path) -> bool:
    """Tell whether a CSV file is a report of ours: its last headings are our columns.

    Excel may have saved it since, with the delimiter of its country.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            head = file.read(_HEAD)
        return any(_ends_in_our_columns(head, delimiter) for delimiter in ",;\t")
    except FileNotFoundError:
        return False


def _ends_in_our_columns(head: str, delimiter: str) -> bool:
    try:
        headings = next(csv.reader(head.splitlines(keepends=True), delimiter=delimiter), [])
    except csv.Error:
        return False
    return tuple(headings[-len(OUR_COLUMNS) :]) == OUR_COLUMNS


#: Ours, after the roster's own; the last is for the answer.
COLUMNS = ("_row", "_status", "_error", "_candidate_id", "_registration_id", "_resolve")


def write_unconfirmed(path: Path, headings: Sequence[str], lines: Callable[[], Iterator[ReportLine]]) -> int:
    """Write the rows in doubt to a new file and return how many; raises UsageError when that cannot be."""
    if path.suffix.casefold() != ".csv":
        raise UsageError(f"{path}: the list is a CSV; give a name that ends in .csv")
    if path.exists():
        raise UsageError(f"{path} is there already, perhaps with answers in it; give another name")
    unconfirmed = [line for line in lines() if line.status is RowStatus.IN_DOUBT]
    if not unconfirmed:
        raise UsageError("No row of this job is in doubt: there is nothing to fill in")
    layout = lay_out(headings, unconfirmed)
    own = (*layout.own, *COLUMNS)
    try:
        with csv_report(path, own) as report:
            for line in unconfirmed:
                ours = (line.row, line.status.value, line.error, line.candidate_id, line.registration_id, "")
                report.write(layout.own_cells(line.cells), ours)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}; choose another place") from None
    return len(unconfirmed)
