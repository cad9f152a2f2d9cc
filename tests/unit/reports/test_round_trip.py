"""Cell text comes back as it stood, whatever it is."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from openpyxl.utils.escape import unescape

from worker.intake.roster_file import open_roster
from worker.intake.text import escape_formula, unescape_formula
from worker.model import JobState, RowStatus
from worker.reports.lines import ReportLine, Summary
from worker.reports.write import write_reports

pytestmark = pytest.mark.usefixtures("forked_readers")

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
    "x;=",
    "x|'-",
    "x; @",
    "x\t+",
    "\n=",
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


#: What a file of either kind can hold.
READABLE = TEXT.map(lambda text: "".join(letter for letter in text if letter.isprintable()))
#: What XLSX has for characters that XML cannot hold, and texts that are written like it.
ESCAPES = [
    "<r>_x0008_</r>",
    "_x0008_",
    "_x005F_x0041_",
    "_x005f_x0041_",
    "x_x0041_x0042_y",
    "_xD83D__xDE00_",
    "_X0041_",
    "_x005F_x005F_x005F_",
]
#: Characters that XML cannot hold.
CONTROLS = ["<r>\x08</r>", "\x08", "_x0041\x08", "_x000D\r\n", "a\x1f_x0041_"]
HOSTILE = ["=1", "'=1", "''=1", "x;=cmd|' /C calc'!A0;y", "x;'=1", "x|  -1"]


def written(cells, ending, headings=None, error=""):
    """Write one row and give the path of the report, inside a folder that goes with the context."""
    folder = tempfile.TemporaryDirectory()
    line = ReportLine(cells=tuple(cells), row=2, status=RowStatus.REJECTED, error=error)
    summary = Summary(
        job=1, roster="r.csv", connection="c", state=JobState.FAILED, total=1, by_status={RowStatus.REJECTED: 1}
    )
    headings = headings or [f"h{number}" for number in range(len(cells))]
    write_reports(Path(folder.name), "r.csv", headings, lambda: iter([line]), summary)
    return folder, Path(folder.name) / f"r.{ending}"


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=12))
@example(["=1", "'=1", "''=1", "+44 20", "-5", "'012345", "O'Brien", ""])
def test_cells_of_a_csv_are_read_back_unchanged(cells):
    folder, path = written(cells, "failed.csv")
    with folder, path.open(encoding="utf-8-sig", newline="") as file:
        _, line = list(csv.reader(file, strict=True))

    assert line[: len(cells)] == [escape_formula(cell) for cell in cells]
    assert [unescape_formula(cell) for cell in line[: len(cells)]] == list(cells)


@settings(max_examples=60, deadline=None)
@given(st.lists(READABLE, min_size=1, max_size=6), st.sampled_from(["failed.csv", "results.csv", "results.xlsx"]))
@example(HOSTILE, "failed.csv")
@example(HOSTILE, "results.xlsx")
@example(ESCAPES, "results.xlsx")
def test_a_report_that_is_uploaded_again_has_the_very_text_of_cells_and_headings(cells, ending):
    headings = ["email", *(f"{cell}{number}" for number, cell in enumerate(cells))]
    folder, path = written(["ann@x.example", *cells], ending, headings)
    with folder:
        file = open_roster(path, name=path.name, sheet="Results" if ending.endswith("xlsx") else None)
        (row,) = file.rows()

    assert list(file.headings[: len(headings)]) == headings
    assert list(row.cells[: len(headings)]) == ["ann@x.example", *cells]


def test_a_workbook_is_read_again_with_the_very_characters_that_xml_cannot_hold():
    folder, path = written(["ann@x.example", *CONTROLS], "results.xlsx")
    with folder:
        file = open_roster(path, name=path.name, sheet="Results")
        (row,) = file.rows()

    assert list(row.cells[1 : 1 + len(CONTROLS)]) == CONTROLS


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=6), TEXT, st.sampled_from(",;\t|"))
@example(HOSTILE, "x;=1", ";")
def test_no_cell_of_a_report_starts_a_formula_under_any_list_separator(cells, error, separator):
    folder, path = written(cells, "failed.csv", [f"{cell}{number}" for number, cell in enumerate(cells)], error)
    with folder, path.open(encoding="utf-8-sig", newline="") as file:
        shown = [cell for row in csv.reader(file, delimiter=separator) for cell in row]

    assert [cell for cell in shown if cell.strip(" \xa0").startswith(("=", "+", "-", "@", "\uff1d", "\t"))] == []


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
