"""The rows in doubt as a CSV for a person to fill in. Knows neither the ledger nor the LMS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from worker.errors import UsageError
from worker.model import RowStatus
from worker.reports.csv_report import csv_report
from worker.reports.layout import lay_out
from worker.reports.lines import ReportLine

#: Ours, after the roster's own; the last is for the answer.
COLUMNS = ("_row", "_status", "_error", "_candidate_id", "_registration_id", "_resolve")


def write_doubtful(path: Path, headings: Sequence[str], lines: Callable[[], Iterator[ReportLine]]) -> int:
    """Write the rows in doubt to a new file and return how many; raises UsageError when that cannot be."""
    if path.suffix.casefold() != ".csv":
        raise UsageError(f"{path}: the list is a CSV; give a name that ends in .csv")
    if path.exists():
        raise UsageError(f"{path} is there already, perhaps with answers in it; give another name")
    doubtful = [line for line in lines() if line.status is RowStatus.IN_DOUBT]
    if not doubtful:
        raise UsageError("No row of this job is in doubt: there is nothing to fill in")
    layout = lay_out(headings, doubtful)
    own = (*layout.own, *COLUMNS)
    try:
        with csv_report(path, own) as report:
            for line in doubtful:
                ours = (line.row, line.status.value, line.error, line.candidate_id, line.registration_id, "")
                report.write(layout.own_cells(line.cells), ours)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}; choose another place") from None
    return len(doubtful)
