"""What a person sees is read in the same way from every type of workbook."""

import io
from datetime import date

import openpyxl
import pytest

from tests import workbooks
from worker.intake.headers import match_headings
from worker.intake.rows import parse_rows
from worker.model import Action, RowRules

pytestmark = pytest.mark.usefixtures("forked_readers")

KMI = RowRules(actions=frozenset(Action), course_columns=frozenset({"course_id"}))
TYPES = dict(workbooks.types())


@pytest.fixture(params=TYPES)
def roster(request, open_bytes):
    return open_bytes(TYPES[request.param], f"roster.{request.param}")


def parse(file, **options):
    return list(parse_rows(file, match_headings(file.headings), rules=KMI, course="58", **options))


def test_ids_have_the_digits_that_their_format_shows(roster):
    assert [row.cells[0] for row in roster.rows()] == ["00007", "#N/A", "00009", "00010"]
    assert [row.row.candidate.external_id for row in parse(roster) if row.row][-1] == "00010"


def test_an_error_cell_is_refused_with_its_row_and_column(roster):
    notes: list[str] = []
    row = parse(roster, warnings=notes)[1]
    assert (row.raw.row, notes) == (3, [])
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


def test_real_dates_beside_texts_that_fit_one_order_alone_are_noted(open_bytes):
    book = openpyxl.Workbook()
    book.active.append(["email", "first_name", "last_name", "date_of_birth"])
    for name, day in (("a", date(1990, 5, 3)), ("b", "25/12/1990"), ("c", date(1991, 7, 1))):
        book.active.append([f"{name}@x.example", "Ana", "Alpha", day])
    notes: list[str] = []
    parse(open_bytes(saved(book), "roster.xlsx"), warnings=notes)
    (note,) = notes
    assert 'Under "date_of_birth", 2 cells have a real date, and 1 text fits only day/month (row 3).' in note


def test_a_bare_number_of_a_workbook_whose_dates_begin_in_1904_is_no_date(open_bytes):
    book = openpyxl.Workbook()
    book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    book.active.append(["external_id", "email", "first_name", "last_name", "date_of_birth"])
    book.active.append(["A-1", "a@x.example", "Ana", "Alpha", date(1990, 5, 3)])
    book.active.append(["A-2", "b@x.example", "Ben", "Beta", 31534])
    rows = parse(open_bytes(saved(book), "roster.xlsx"))
    assert rows[0].row.candidate.date_of_birth == date(1990, 5, 3)
    assert [problem.code for problem in rows[1].problems] == ["invalid_date"]


def test_a_date_in_a_column_of_ids_is_refused(open_bytes):
    book = openpyxl.Workbook()
    book.active.append(["external_id", "email", "first_name", "last_name"])
    book.active.append([date(2026, 1, 2), "a@x.example", "Ana", "Alpha"])
    (row,) = parse(open_bytes(saved(book), "roster.xlsx"))
    assert [(problem.column, problem.code) for problem in row.problems] == [("external_id", "date_cell")]


@pytest.mark.parametrize("number_format", ["# ?/?", "[DBNum1]0", "0,", "Q0"])
def test_an_id_of_a_format_that_is_not_known_is_refused_with_the_format(open_bytes, number_format):
    book = openpyxl.Workbook()
    book.active.append(["external_id", "email", "first_name", "last_name"])
    book.active.append([1234567, "a@x.example", "Ana", "Alpha"])
    book.active["A2"].number_format = number_format
    (row,) = parse(open_bytes(saved(book), "roster.xlsx"))
    assert [(problem.column, problem.code) for problem in row.problems] == [("external_id", "number_format")]
    assert number_format in row.problems[0].message


def test_a_value_that_is_merged_over_columns_is_refused_beyond_the_first(open_bytes):
    book = openpyxl.Workbook()
    book.active.append(["external_id", "first_name", "last_name", "email"])
    book.active.append(["A-1", "Ana Alpha", None, "a@x.example"])
    book.active.merge_cells("B2:C2")
    (row,) = parse(open_bytes(saved(book), "roster.xlsx"))
    assert [(problem.column, problem.code) for problem in row.problems] == [("last_name", "merged_cell")]


def test_a_row_with_nothing_but_a_part_of_a_merged_range_is_blank(open_bytes):
    book = openpyxl.Workbook()
    book.active.append(["email", "first_name", "last_name", "course_id"])
    book.active.append(["a@x.example", "Ana", "Alpha", 59])
    book.active.append(["b@x.example", "Ben", "Beta"])
    book.active.merge_cells("D2:D9")
    rows = parse(open_bytes(saved(book), "roster.xlsx"))
    assert [(row.raw.row, row.row.course.course_id) for row in rows] == [(2, "59"), (3, "59")]


def test_blanks_between_runs_are_kept_where_an_outer_element_asks_for_it(open_bytes, rewrite):
    content = workbooks.xlsx()
    runs = b"<si><r><t>Mary </t></r><r><t>Ann</t></r></si>"
    content = rewrite(
        content,
        "xl/sharedStrings.xml",
        lambda xml: xml.replace(b"<sst ", b'<sst xml:space="preserve" ').replace(b"<si><t>Ben</t></si>", runs),
    )
    assert [row.cells[2] for row in open_bytes(content, "roster.xlsx").rows()][1] == "Mary Ann"


def saved(book):
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def test_an_ods_document_without_its_type_is_opened(open_bytes):
    file = open_bytes(workbooks.ods(with_type=False), "roster.ods")
    assert [row.cells[0] for row in file.rows()] == ["00007", "#N/A", "00009", "00010"]


@pytest.mark.parametrize("kind", ["xlMacrosheet", "worksheet"])
def test_a_hidden_macro_sheet_or_a_sheet_without_part_does_not_keep_a_workbook_from_being_read(
    open_bytes, rewrite, kind
):
    relation = f'<Relationship Id="rId99" Type="http://x/{kind}" Target="macrosheets/sheet1.xml"/></Relationships>'
    content = rewrite(
        workbooks.xlsx(),
        "xl/workbook.xml",
        lambda xml: xml.replace(
            b"</sheets>", b'<sheet name="M" sheetId="9" state="hidden" r:id="rId99"/></sheets>'
        ),
    )
    content = rewrite(
        content, "xl/_rels/workbook.xml.rels", lambda xml: xml.replace(b"</Relationships>", relation.encode())
    )
    file = open_bytes(content, "roster.xlsm")
    assert [row.cells[0] for row in file.rows()] == ["00007", "#N/A", "00009", "00010"]
