from __future__ import annotations

import json
import os

import pytest

from worker import errors
from worker.intake.text import unescape_formula
from worker.model import JobState, RowStatus
from worker.reports.lines import REPORT_COLUMNS
from worker.reports.write import write_reports

BOM = b"\xef\xbb\xbf"


def test_every_row_has_its_line_in_the_rosters_order(written, a_line, ours):
    report = written(
        a_line("z@x.org", "7", row=2),
        a_line("a@x.org", "8", row=3, status=RowStatus.INVALID),
        a_line("m@x.org", "7", row=5, status=RowStatus.SKIPPED),
    )

    headings, *rows = report.table()

    assert headings == ["email", "course_id", *REPORT_COLUMNS]
    assert [row[0] for row in rows] == ["z@x.org", "a@x.org", "m@x.org"]
    assert [ours(row)["_row"] for row in rows] == ["2", "3", "5"]
    assert [ours(row)["_status"] for row in rows] == ["registered", "invalid", "skipped"]


def test_a_csv_has_a_bom_and_the_line_ends_of_windows(written, a_line):
    raw = written(a_line("Zoë", "7")).path("results.csv").read_bytes()

    assert raw.startswith(BOM)
    assert raw.count(BOM) == 1
    assert raw.count(b"\r\n") == raw.count(b"\n") == 2


def test_the_failed_rows_are_in_a_file_that_can_be_run_again(written, a_line):
    report = written(
        a_line(" 007", "a;b", "x,\ny", row=2, status=RowStatus.REJECTED),
        a_line("done", "", "", row=3),
        a_line("first", "", "", row=4, status=RowStatus.IN_DOUBT),
        a_line("first", "", "", row=5, status=RowStatus.SKIPPED),
        headings=("Id*", "Course", "Ünused"),
    )

    headings, *rows = report.table("failed.csv")

    assert headings == ["Id*", "Course", "Ünused", *REPORT_COLUMNS]
    assert [row[:3] for row in rows] == [[" 007", "a;b", "x,\ny"], ["first", "", ""]]


def test_a_failed_file_that_is_run_again_gives_a_report_with_the_same_columns(written, a_line):
    first = written(a_line("=1+1", "7", status=RowStatus.INVALID, error="Once."))
    headings, cells = first.table("failed.csv")

    again = written(
        a_line(*map(unescape_formula, cells), status=RowStatus.INVALID, error="Twice."),
        headings=headings,
        roster="spring-intake.failed.csv",
    )

    assert again.table("failed.csv")[0] == headings
    assert again.table("failed.csv")[1][:2] == ["'=1+1", "7"]
    assert "Once." not in again.path("failed.csv").read_text("utf-8")


def test_without_failed_rows_there_is_no_failed_file(written, a_line):
    report = written(a_line("a@x.org", "7"), a_line("a@x.org", "7", row=3, status=RowStatus.SKIPPED))

    assert not report.path("failed.csv").exists()
    assert [os.path.basename(path) for path in report.summary.reports] == [  # noqa: PTH119
        "spring-intake.results.csv",
        "spring-intake.results.xlsx",
        "spring-intake.summary.json",
    ]


def test_the_failed_file_of_an_earlier_run_is_removed(written, a_line):
    report = written(a_line("a@x.org", "7", status=RowStatus.REJECTED))
    assert report.path("failed.csv").exists()

    written(a_line("a@x.org", "7"))

    assert not report.path("failed.csv").exists()


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_an_earlier_failed_file_is_recognised_even_after_excel_has_saved_it(written, a_line, tmp_path, delimiter):
    saved = tmp_path / "spring-intake.failed.csv"
    saved.write_text(delimiter.join(["Straße", *REPORT_COLUMNS]) + "\r\nx", "cp1252")

    written(a_line("a@x.org", "7"))

    assert not saved.exists()


@pytest.mark.parametrize("text", ["email,course\r\nmine,7\r\n", "", '"', "_row,_status"])
def test_a_file_that_roster_did_not_write_is_kept(written, a_line, tmp_path, text):
    theirs = tmp_path / "spring-intake.failed.csv"
    theirs.write_text(text)

    written(a_line("a@x.org", "7"))

    assert theirs.read_text() == text.replace("\r\n", "\n")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "\u00a0=", "\uff1d"])
def test_no_cell_of_a_csv_runs_as_a_formula(written, a_line, start):
    text = f"{start}cmd|' /C calc'!A0"

    report = written(
        a_line(text, "7", error=text, candidate_id=text, status=RowStatus.REJECTED), headings=(text, "course")
    )

    for ending in ("results.csv", "failed.csv"):
        cells = [cell for line in report.table(ending) for cell in line]
        assert cells.count(f"'{text}") == 4
        assert text not in cells


def test_a_cell_that_was_escaped_in_the_roster_gets_another_guard_so_that_it_comes_back(written, a_line):
    (_, cells) = written(a_line("'=1+1", "'0012")).table()

    assert cells[:2] == ["''=1+1", "'0012"]


def test_a_lone_surrogate_in_a_message_of_an_lms_does_no_harm(written, a_line, ours):
    report = written(a_line("a", "b", error="bad \ud800 text", status=RowStatus.REJECTED), reason="\ud800")

    assert ours(report.table()[1])["_error"] == "bad \\ud800 text"
    assert "bad \ufffd text" in report.sheet()[1]
    json.loads(report.path("summary.json").read_text("utf-8"))


def test_the_summary_file_says_the_same_as_the_summary(written, a_line, tmp_path):
    report = written(a_line("Zoë", "7", status=RowStatus.REJECTED), reason="Größe")
    text = report.path("summary.json").read_text("utf-8")

    assert json.loads(text) == report.summary.to_json()
    assert json.loads(text)["reports"] == [
        str(tmp_path / f"spring-intake.{ending}")
        for ending in ("results.csv", "results.xlsx", "failed.csv", "summary.json")
    ]
    assert "Größe" in text
    assert '\n  "job": 7,\n' in text


def test_a_missing_folder_is_created(written, a_line, tmp_path):
    report = written(a_line("a", "b"), folder=tmp_path / "reports" / "today")

    assert report.path("results.csv").exists()


def test_a_roster_without_rows_has_reports_too(written):
    report = written(state=JobState.INVALID)

    assert len(report.table()) == 1
    assert report.summary.total == 0


def test_fewer_lines_than_rows_raise_an_error(tmp_path, a_line, a_summary):
    lines = [a_line("a", "b", row=2), a_line("c", "d", row=3)]

    with pytest.raises(errors.RosterError, match=r"2 rows counted .*, 1 line to write"):
        write_reports(tmp_path, "x.csv", ("a", "b"), lambda: iter(lines[:1]), a_summary(lines))

    assert list(tmp_path.iterdir()) == []


def test_outcomes_that_differ_from_the_summary_of_an_ended_job_raise_an_error(tmp_path, a_line, a_summary):
    summary = a_summary(total=1, by_status={RowStatus.REGISTERED: 1})

    with pytest.raises(errors.RosterError, match="does not balance"):
        write_reports(tmp_path, "x.csv", ("a",), lambda: iter([a_line("a", status=RowStatus.INVALID)]), summary)


def test_the_report_of_a_running_job_counts_the_lines_it_has(tmp_path, a_line, a_summary):
    summary = a_summary(state=JobState.RUNNING, total=1, by_status={RowStatus.NOT_ATTEMPTED: 1})

    summary = write_reports(tmp_path, "x.csv", ("a",), lambda: iter([a_line("a")]), summary)

    assert summary.by_status == {RowStatus.REGISTERED: 1}
    assert json.loads((tmp_path / "x.summary.json").read_text())["by_status"]["registered"] == 1
