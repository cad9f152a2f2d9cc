import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.intake.text import clean, escape_formula, unescape_formula, without_guard

LIST_SEPARATORS = ",;\t|"
SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"
#: What a spreadsheet passes over before a formula.
BLANKS = "".join(letter for letter in map(chr, range(0x3001)) if letter.isspace() and letter not in "\t\r\n")
BLANKS += "\0\xad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
cells = st.text(st.sampled_from("'=+-@\t\r\n ;|,\"\u00a0\u200b\uff1d\0ab1é"), max_size=10) | st.text(max_size=20)


@pytest.mark.parametrize(
    "text", ["=1+1", "+44 20", "-5", "@SUM(A1)", "\rx", "\nx", "  =1", "\u00a0=1", "\uff1d1", "\0=1", "'=1", "''=1"]
)
def test_what_a_spreadsheet_would_run_is_guarded_and_comes_back(text):
    assert escape_formula(text) == "'" + text
    assert unescape_formula(escape_formula(text)) == text


@pytest.mark.parametrize(
    ("text", "guarded"),
    [
        ("x;=cmd|' /C calc'!A0;y", "x;'=cmd|' /C calc'!A0;y"),
        ("x\t+1", "x\t'+1"),
        ("x|@SUM(A1)", "x|'@SUM(A1)"),
        ("x; -1", "x; '-1"),
        ("x;\uff1d1", "x;'\uff1d1"),
        ("x;\ty", "x;'\ty"),
        ("x;'=1", "x;''=1"),
        ("x;''=1", "x;'''=1"),
        ('x;"=1', "x;\"'=1"),
        ("=1;=2;=3", "'=1;'=2;'=3"),
        ("\t=1", "'\t'=1"),
        ("first line\n=1", "first line\n'=1"),
    ],
)
def test_a_formula_after_another_list_separator_is_guarded_and_comes_back(text, guarded):
    assert escape_formula(text) == guarded
    assert unescape_formula(guarded) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Ann",
        "'Ann",
        "O'Brien",
        "a=b",
        "'012345",
        "58",
        " Ann ",
        "a;b",
        "a|b",
        "1 High St;\r\nTown",
        "a;b=c",
        "x;'y",
    ],
)
def test_what_no_spreadsheet_would_run_stays_as_it_is(text):
    assert escape_formula(text) == text
    assert unescape_formula(text) == text


@settings(max_examples=500, deadline=None)
@given(cells)
def test_the_very_text_comes_back(text):
    assert unescape_formula(escape_formula(text)) == text


@settings(max_examples=500, deadline=None)
@given(st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=3), st.sampled_from(LIST_SEPARATORS))
def test_no_cell_of_a_csv_starts_a_formula_under_any_list_separator(rows, separator):
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\r\n").writerows([map(escape_formula, row) for row in rows])
    file.seek(0)
    shown = [cell for row in csv.reader(file, delimiter=separator) for cell in row]
    assert [cell for cell in shown if cell.lstrip(BLANKS).startswith((*SIGNS, "\t"))] == []


@pytest.mark.parametrize("text", ["'=1", "'+44 20", "'-5", "'@x", "' =1"])
def test_the_guard_that_people_and_programs_write_is_no_part_of_a_value(text):
    assert without_guard(text) == text[1:]
    assert clean(text) == text[1:].strip()
