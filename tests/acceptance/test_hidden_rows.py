"""Rows that are hidden in a spreadsheet: somebody says whether they are sent."""

from __future__ import annotations

import io
import json

import pytest
import xlsxwriter

from tests.drop_folders import add_drop_folder, copy_into, files_in, message_in, serve, summary_in
from tests.schedules import make_due


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


def outcomes(summary):
    return {status: count for status, count in summary["by_status"].items() if count}


@pytest.mark.parametrize(
    ("decision", "expected"), [("send", {"registered": 4}), ("skip", {"registered": 2, "skipped": 2})]
)
def test_a_drop_folder_with_the_key_sends_hidden_rows_or_leaves_them_out(
    terminal, filtered, wait_until, decision, expected
):
    inbox = add_drop_folder(terminal, hidden_rows=decision)
    serve(terminal)
    copy_into(filtered, inbox)

    wait_until((inbox / "done" / "filtered.summary.json").exists)

    assert outcomes(summary_in(inbox / "done", "filtered")) == expected


def test_a_drop_folder_without_the_key_refuses_hidden_rows_and_names_it(lms, terminal, filtered, wait_until):
    inbox = add_drop_folder(terminal)
    serve(terminal)
    copy_into(filtered, inbox)

    wait_until(lambda: message_in(inbox / "failed", "filtered"))

    message = message_in(inbox / "failed", "filtered")
    assert "2 rows are hidden in the spreadsheet (rows 3, 5)" in message
    assert "--hidden-rows" in message
    assert "keys of [folders.NAME]" in message
    assert (lms.calls(), files_in(inbox / "done")) == (0, [])


@pytest.mark.parametrize(
    ("decision", "expected"), [("send", {"registered": 4}), ("skip", {"registered": 2, "skipped": 2})]
)
def test_a_schedule_with_the_option_sends_hidden_rows_or_leaves_them_out(
    terminal, filtered, wait_until, decision, expected
):
    words = ("nightly", "--cron", "0 2 * * *", filtered.name, "--hidden-rows", decision, "--report", "nightly")
    assert terminal.type("schedule", "add", *words).code == 0
    serve(terminal)
    make_due(terminal, "nightly")

    wait_until((terminal.folder / "nightly" / "filtered.summary.json").exists)

    assert outcomes(summary_in(terminal.folder / "nightly", "filtered")) == expected


def test_a_schedule_without_the_option_refuses_hidden_rows_and_says_so(lms, terminal, filtered, wait_until):
    terminal.type("schedule", "add", "nightly", "--cron", "0 2 * * *", filtered.name)
    serve(terminal)
    make_due(terminal, "nightly")

    wait_until(lambda: [job["state"] for job in terminal.jobs()] == ["invalid"])

    assert "2 rows are hidden in the spreadsheet (rows 3, 5)" in terminal.status(1)["reason"]
    assert lms.calls() == 0
