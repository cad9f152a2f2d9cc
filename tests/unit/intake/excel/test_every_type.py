"""What a person sees is read in the same way from every type of workbook."""

import pytest

from tests import workbooks
from worker.intake.headers import match_headings
from worker.intake.rows import parse_rows
from worker.model import Action, RowRules

KMI = RowRules(actions=frozenset(Action), course_columns=frozenset({"course_id"}))
TYPES = dict(workbooks.types())


@pytest.fixture(params=TYPES)
def roster(request, open_bytes):
    return open_bytes(TYPES[request.param], f"roster.{request.param}")


def parse(file, **options):
    return list(parse_rows(file, match_headings(file.headings), rules=KMI, **options))


def test_ids_have_the_digits_that_their_format_shows(roster):
    assert [row.cells[0] for row in roster.rows()] == ["00007", "#N/A", "00009", "00010"]
    assert [row.row.candidate.external_id for row in parse(roster) if row.row][-1] == "00010"


def test_an_error_cell_is_refused_with_its_row_and_column(roster):
    row = parse(roster)[1]
    assert row.raw.row == 3
    assert [(problem.column, problem.code) for problem in row.problems] == [("external_id", "excel_error")]


def test_a_blank_cell_of_a_merged_range_has_the_value_of_the_range(roster):
    assert [row.cells[4] for row in roster.rows()] == ["59", "59", "58", "58"]


def test_a_hidden_row_is_marked(roster):
    assert [record.raw.row for record in roster.records() if record.is_hidden] == [4]


def test_a_percent_is_no_score_and_other_scores_are_the_stored_numbers(roster):
    rows = parse(roster, set_values={"action": "complete"})
    assert [(problem.column, problem.code) for problem in rows[0].problems] == [("score", "invalid_number")]
    assert [str(row.row.score) for row in rows[2:]] == ["71.5", "72"]


def test_letters_of_an_xls_beyond_its_code_page_are_read(open_bytes):
    file = open_bytes((workbooks.FILES / "wide_texts_under_code_page_1252.xls").read_bytes(), "roster.xls")
    assert [row.cells for row in file.rows()] == [
        ("A-1", "ana.alpha@example.com", "Łukasz", "O\u2019Neil"),
        ("A-2", "ben.beta@example.com", "Ben", "Beta"),
        ("Ż-3", "cam.gamma@example.com", "Cam", "Dvořák"),
    ]
