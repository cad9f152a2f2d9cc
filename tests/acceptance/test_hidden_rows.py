"""Rows that are hidden in a spreadsheet: somebody says whether they are sent."""

from __future__ import annotations

import io
import json

import pytest
import xlsxwriter


@pytest.fixture
def lms(sandbox):
    return sandbox()


@pytest.fixture
def terminal(office, lms):
    return office(lms)


@pytest.fixture
def filtered(terminal):
    """A roster of four people of whom a filter hides two, and a hidden column."""
    content = io.BytesIO()
    book = xlsxwriter.Workbook(content, {"in_memory": True})
    sheet = book.add_worksheet("Roster")
    sheet.write_row(0, 0, ("email", "first_name", "last_name", "course_id", "attending"))
    for at, name in enumerate(("Ana", "Ben", "Cam", "Dee"), start=1):
        sheet.write_row(at, 0, (f"{name.lower()}@example.com", name, "Example", 58, "no" if at % 2 == 0 else "yes"))
    sheet.autofilter(0, 0, 4, 4)
    sheet.filter_column("E", "x == yes")
    for at in (2, 4, 9):
        sheet.set_row(at, None, None, {"hidden": True})
    sheet.set_column(4, 4, None, None, {"hidden": True})
    book.close()
    path = terminal.folder / "filtered.xlsx"
    path.write_bytes(content.getvalue())
    return path


@pytest.mark.parametrize("command", ["run", "check"])
def test_without_a_decision_nothing_is_sent_and_the_rows_are_named(lms, terminal, filtered, command):
    result = terminal.type(command, filtered.name)
    assert result.code == 2, result.err
    assert lms.calls() == 0
    assert "2 rows are hidden in the spreadsheet (rows 3, 5)" in result.err
    assert "--hidden-rows send" in result.err
    assert "--hidden-rows skip" in result.err


def test_hidden_rows_are_sent_like_the_others_when_asked(lms, terminal, filtered):
    result = terminal.type("run", filtered.name, "--hidden-rows", "send", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["by_status"]["registered"] == 4


def test_hidden_rows_are_left_out_when_asked_and_the_report_says_so(lms, terminal, filtered):
    result = terminal.type("run", filtered.name, "--hidden-rows", "skip", "--json")
    assert result.code == 0, result.err
    summary = json.loads(result.out)
    assert (summary["by_status"]["registered"], summary["by_status"]["skipped"], summary["total"]) == (2, 2, 4)
    assert 'Hidden in the spreadsheet, this column is read like the others: "attending".' in summary["warnings"]
    lines = (terminal.folder / "reports" / "filtered.results.csv").read_text("utf-8-sig").splitlines()
    assert [("hidden_row" in line, "The row is hidden" in line) for line in lines[1:]] == [
        (False, False),
        (True, True),
        (False, False),
        (True, True),
    ]


def test_another_word_is_refused(terminal, filtered):
    result = terminal.type("run", filtered.name, "--hidden-rows", "maybe")
    assert (result.code, "send" in result.err) == (2, True)
