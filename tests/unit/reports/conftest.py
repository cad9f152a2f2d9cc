"""Report lines and summaries with readable defaults."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import UTC, datetime

import pytest
from openpyxl import load_workbook
from openpyxl.utils.escape import unescape

from worker.model import JobState, RowStatus
from worker.reports.lines import REPORT_COLUMNS, ReportLine, Summary
from worker.reports.write import write_reports

HEADINGS = ("email", "course_id")


def make_line(*cells, row=2, status=RowStatus.REGISTERED, **more):
    more.setdefault("when", datetime(2026, 3, 1, 9, 30, tzinfo=UTC))
    return ReportLine(cells=cells, row=row, status=status, **more)


def make_summary(lines=(), **more):
    counts = Counter(line.status for line in lines)
    defaults = {
        "job": 7,
        "roster": "spring-intake.xlsx",
        "connection": "north",
        "state": JobState.COMPLETED_WITH_ERRORS,
        "total": counts.total(),
        "by_status": counts,
    }
    return Summary(**(defaults | more))


class Report:
    """The reports of a job, read back with another library than they were written with."""

    def __init__(self, folder, name, summary):
        self.folder, self.name, self.summary = folder, name, summary

    def path(self, ending):
        return self.folder / f"{self.name}.{ending}"

    def table(self, ending="results.csv"):
        with self.path(ending).open(encoding="utf-8-sig", newline="") as file:
            return list(csv.reader(file, strict=True))

    def book(self):
        return load_workbook(self.path("results.xlsx"))

    def sheet(self, name="Results"):
        # openpyxl leaves _xHHHH_ as it is in cells that carry their own text; Excel does not.
        rows = self.book()[name].iter_rows(values_only=True)
        return [[unescape(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]


@pytest.fixture
def a_line():
    return make_line


@pytest.fixture
def a_summary():
    return make_summary


@pytest.fixture
def written(tmp_path):
    """Write the reports of some lines, and return them for reading."""

    def write(*lines, headings=HEADINGS, roster="spring-intake.xlsx", folder=tmp_path, rows_per_sheet=None, **more):
        summary = make_summary(lines, roster=roster, **more)
        summary = write_reports(
            folder, roster, headings, lambda: iter(lines), summary, rows_per_sheet=rows_per_sheet
        )
        return Report(folder, roster.rpartition(".")[0], summary)

    return write


@pytest.fixture
def ours():
    """Return the report's own columns of a line, by name."""
    return lambda cells: dict(zip(REPORT_COLUMNS, cells[-len(REPORT_COLUMNS) :], strict=True))
