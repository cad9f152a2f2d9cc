"""Cell text comes back as it stood, whatever it is."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from openpyxl.utils.escape import unescape

from worker.intake.text import escape_formula, unescape_formula
from worker.model import JobState, RowStatus
from worker.reports.lines import ReportLine, Summary
from worker.reports.write import write_reports

STARTS = [
    "",
    "",
    "'",
    "''",
    "=",
    "'=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    " =",
    "\u00a0=",
    "\uff1d",
    "_x0041_",
    "<r>",
    "</r>",
]
ODD = st.sampled_from(
    ["\r\n", '"', ",", ";", "\x00", "\x1b", "\u2028", "\x85", "_x000D_", "😀", "\ufffe", "#N/A", "1E5"]
)
TEXT = st.builds("".join, st.tuples(st.sampled_from(STARTS), st.text() | ODD, st.text(), st.sampled_from(STARTS)))


def written(cells, ending):
    """Write one row and give the path of the report, inside a folder that goes with the context."""
    folder = tempfile.TemporaryDirectory()
    line = ReportLine(cells=tuple(cells), row=2, status=RowStatus.REJECTED)
    summary = Summary(
        job=1, roster="r.csv", connection="c", state=JobState.FAILED, total=1, by_status={RowStatus.REJECTED: 1}
    )
    headings = [f"h{number}" for number in range(len(cells))]
    write_reports(Path(folder.name), "r.csv", headings, lambda: iter([line]), summary)
    return folder, Path(folder.name) / f"r.{ending}"


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=12))
@example(["=1", "'=1", "''=1", "+44 20", "-5", "'012345", "O'Brien", ""])
def test_cells_of_a_csv_are_read_back_unchanged(cells):
    folder, path = written(cells, "failed.csv")
    with folder, path.open(encoding="utf-8-sig", newline="") as file:
        _, line = list(csv.reader(file, strict=True))

    # A cell that already had the guard keeps the one it had; its value is the same before and after.
    assert line[: len(cells)] == [escape_formula(cell) for cell in cells]
    assert [unescape_formula(cell) for cell in line[: len(cells)]] == [unescape_formula(cell) for cell in cells]


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=12))
@example(["=1", "<r><t>x</t></r>", "<r></r>", "_x0041_", "a\r\nb", " x ", "#N/A", "007", "http://x.org", "1E5"])
def test_cells_of_a_workbook_are_read_back_unchanged(cells):
    folder, path = written(cells, "results.xlsx")
    with folder:
        row = next(load_workbook(path)["Results"].iter_rows(min_row=2))[: len(cells)]

    assert {cell.data_type for cell in row} <= {"s", "inlineStr", "n"}
    assert all(cell.data_type != "n" for cell, text in zip(row, cells, strict=True) if text)
    expected = [text.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd") for text in cells]
    assert [unescape(cell.value or "") for cell in row] == expected
