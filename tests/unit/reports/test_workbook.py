from __future__ import annotations

from datetime import UTC, datetime

import pytest

from worker import errors
from worker.model import JobState, RowStatus
from worker.reports.labels import STATUS_INFO
from worker.reports.lines import REPORT_COLUMNS
from worker.reports.workbook_format import ERROR_FILL, check_result, fit_cell


def fill(cell):
    return f"#{cell.fill.fgColor.rgb[2:]}" if cell.fill.fill_type else None


def words(report, sheet):
    return "\n".join(str(cell) for row in report.sheet(sheet) for cell in row if cell is not None)


def test_the_summary_comes_first_and_the_results_after(written, a_line):
    report = written(a_line("a@x.org", "7"))

    assert report.book().sheetnames == ["Summary", "Results"]
    assert report.sheet()[0] == ["email", "course_id", *REPORT_COLUMNS]
    assert report.sheet()[1][:4] == ["a@x.org", "7", 2, "registered"]


def test_only_the_reports_own_numbers_are_written_as_numbers(written, a_line, ours):
    report = written(
        a_line("007", "1E5", row=9, attempts=3, http_status=404, candidate_id="12", registration_id="3")
    )

    cells = report.sheet()[1]

    assert cells[:2] == ["007", "1E5"]
    assert {name: value for name, value in ours(cells).items() if not isinstance(value, str)} == {
        "_row": 9,
        "_error": None,
        "_error_code": None,
        "_column": None,
        "_attempts": 3,
        "_http_status": 404,
        "_stage": None,
        "_job": None,
    }


def test_headings_are_frozen_and_have_filters(written, a_line):
    sheet = written(a_line("a", "b"), a_line("c", "d")).book()["Results"]

    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == "A1:O3"
    assert sheet["A1"].font.bold


def test_columns_are_as_wide_as_their_content(written, a_line):
    sheet = written(a_line("somebody.with.a.long.name@example.org", "7", error="x" * 500)).book()["Results"]

    assert 38 <= sheet.column_dimensions["A"].width <= 42
    assert sheet.column_dimensions["E"].width <= 61


@pytest.mark.parametrize("status", RowStatus)
def test_each_status_has_its_fill_and_its_name(written, a_line, status):
    row = written(a_line("a", "b", status=status)).book()["Results"][2]

    assert row[3].value == status
    assert fill(row[3]) == STATUS_INFO[status].fill
    assert fill(row[0]) == (None if status.is_done else STATUS_INFO[status].fill)


def test_cells_with_errors_are_highlighted_even_when_empty(written, a_line):
    report = written(
        a_line("", "=7", status=RowStatus.INVALID, column="email; course_id; no such"), a_line("", "8", row=3)
    )

    first, second = report.book()["Results"].iter_rows(min_row=2, max_col=2)

    assert [fill(cell) for cell in first] == [ERROR_FILL, ERROR_FILL]
    assert [cell.value for cell in first] == [None, "=7"]
    assert [fill(cell) for cell in second] == [None, None]


def test_text_that_looks_like_a_formula_is_text_and_stays_so_when_edited(written, a_line):
    row = written(a_line("=1+1", "@SUM(1)", error="=2")).book()["Results"][2]

    assert [row[0].value, row[1].value, row[4].value] == ["=1+1", "@SUM(1)", "=2"]
    assert all(row[column].data_type != "f" and row[column].quotePrefix for column in (0, 1, 4))


def test_past_a_sheets_last_row_the_results_continue_in_another_sheet(written, a_line):
    report = written(*(a_line(f"p{row}", "7", row=row) for row in range(2, 9)), rows_per_sheet=3)

    book = report.book()

    assert book.sheetnames == ["Summary", "Results", "Results 2", "Results 3"]
    assert [row[0] for name in book.sheetnames[1:] for row in report.sheet(name)[1:]] == [
        f"p{n}" for n in range(2, 9)
    ]
    for name, ref in (("Results 2", "A1:O4"), ("Results 3", "A1:O2")):
        assert report.sheet(name)[0] == ["email", "course_id", *REPORT_COLUMNS]
        assert book[name].auto_filter.ref == ref
        assert book[name].freeze_panes == "A2"


def test_a_full_last_sheet_has_no_empty_one_after_it(written, a_line):
    report = written(*(a_line(f"p{row}", "7", row=row) for row in range(2, 8)), rows_per_sheet=3)

    assert report.book().sheetnames == ["Summary", "Results", "Results 2"]


@pytest.mark.parametrize("letter", ["x", "😀"])
def test_text_too_long_for_a_cell_is_cut_and_says_so(written, a_line, letter):
    text = letter * 40_000
    report = written(a_line(text, "7"))

    cell = report.sheet()[1][0]

    assert cell.startswith(letter * 1000)
    assert cell.endswith(" … [cut by Roster: 40,000 characters do not fit into a cell; results.csv has them all]")
    assert len(cell.encode("utf-16-le")) // 2 in {32_766, 32_767}
    assert report.table()[1][0] == text


def test_text_that_just_fits_is_not_changed():
    assert fit_cell("x" * 32_767) == "x" * 32_767
    assert fit_cell("😀" * 16_383) == "😀" * 16_383


def test_a_cell_that_xlsxwriter_rejects_stops_the_report():
    with pytest.raises(errors.RosterError, match="rejected a cell"):
        check_result(-1)


def test_a_roster_wider_than_a_worksheet_is_complete_in_the_csv_and_the_summary_says_so(written, a_line):
    headings = [f"h{number}" for number in range(16_380)]
    report = written(a_line(*headings), headings=headings)

    assert report.table()[1][: len(headings)] == headings
    first = report.sheet()[0]
    assert len(first) == 16_384
    assert first[-len(REPORT_COLUMNS) :] == list(REPORT_COLUMNS)
    assert "see spring-intake.results.csv for its last 9 columns" in words(report, "Summary")


def test_the_summary_sheet_says_what_happened_and_what_to_do(written, a_line):
    report = written(
        a_line("a", "b"),
        a_line("c", "d", status=RowStatus.REJECTED, error_code="unknown_course"),
        reason="=cmd: the LMS knows no course 58.",
        calls={"create_candidate": 2, "register": 1},
        rate_limited=4,
        waited_seconds=3725.4,
        started_at=datetime(2026, 3, 1, 9, tzinfo=UTC),
        finished_at=datetime(2026, 3, 1, 10, 2, 5, tzinfo=UTC),
        duration_seconds=3725,
        warnings=("The heading “Frist name” is nearly first_name.",),
    )

    rows = {row[0]: row[1] for row in report.sheet("Summary")}
    said = words(report, "Summary")

    assert "spring-intake.xlsx: Completed with errors" in rows
    assert rows["Reason"] == "=cmd: the LMS knows no course 58."
    assert rows["Started"] == "2026-03-01T09:00:00Z"
    assert rows["Duration"] == "1 h 2 min"
    labels = {"Registered": 1, "Rejected by the LMS (rejected)": 1}
    assert {label: rows[label] for label in labels} == labels
    assert [label for label in rows if str(label).endswith("(in_doubt)")] == ["Unconfirmed (in_doubt)"]
    assert sum(rows[label] for label in list(rows)[list(rows).index("Status") + 1 : list(rows).index("total")]) == 2
    assert rows["total"] == 2
    assert rows["Calls to the LMS"] == 3
    assert rows["    register"] == 1
    assert "Fix it in spring-intake.failed.csv" in said
    assert "Frist name" in said


def test_the_codes_that_occur_are_explained(written, a_line):
    report = written(
        a_line("a", "b", status=RowStatus.INVALID, error_code="missing_value; invalid_email; missing_value"),
        a_line("c", "d", status=RowStatus.INVALID, error_code="invalid_email"),
        a_line("e", "f", status=RowStatus.REJECTED, error_code="made_up"),
    )

    _, *codes = report.sheet("Codes")

    assert [row[:2] for row in codes] == [["invalid_email", 2], ["made_up", 1], ["missing_value", 1]]
    assert "--set COLUMN=VALUE" in codes[2][2]


def test_a_job_without_rows_has_a_workbook_too(written):
    report = written(state=JobState.INVALID)

    assert report.book().sheetnames == ["Summary", "Results"]
