from __future__ import annotations

from worker.reports.lines import REPORT_COLUMNS, lay_out


def test_the_rosters_columns_come_first_and_the_reports_after(a_line):
    layout = lay_out(("b", "a", "b"), [a_line("1", "2", "3")])

    assert layout.headings == ("b", "a", "b", *REPORT_COLUMNS)
    assert layout.roster_cells(("1", "2", "3")) == ["1", "2", "3"]


def test_a_short_row_is_filled_up(a_line):
    layout = lay_out(("a", "b", "c"), [a_line("1")])

    assert layout.roster_cells(("1",)) == ["1", "", ""]


def test_cells_beyond_the_last_heading_are_kept_under_empty_headings(a_line):
    layout = lay_out(("a",), [a_line("1"), a_line("1", "2", "3", "", "")])

    assert layout.roster_headings == ("a", "", "")
    assert layout.roster_cells(("1", "2", "3", "", "")) == ["1", "2", "3"]
    assert layout.roster_cells(("1",)) == ["1", "", ""]


def test_the_columns_of_an_earlier_report_are_not_repeated(a_line):
    cells = ("a@x.org", *(f"old {column}" for column in REPORT_COLUMNS), "surplus")
    layout = lay_out(("email", *REPORT_COLUMNS), [a_line(*cells)])

    assert layout.headings == ("email", "", *REPORT_COLUMNS)
    assert layout.roster_cells(cells) == ["a@x.org", "surplus"]


def test_a_users_own_column_that_begins_with_an_underscore_is_kept(a_line):
    layout = lay_out(("email", "_notes", "_status"), [a_line("a@x.org", "call her", "old")])

    assert layout.roster_headings == ("email", "_notes")


def test_a_roster_without_rows_has_columns_too():
    assert lay_out(("a", "b"), []).roster_headings == ("a", "b")
