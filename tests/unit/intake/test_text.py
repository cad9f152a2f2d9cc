import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.intake.text import escape_formula, unescape_formula

cells = st.text(st.sampled_from("'=+-@\t\r\n \u00a0\u200b\uff1dab1é"), max_size=8) | st.text(max_size=20)


@pytest.mark.parametrize(
    "text", ["=1+1", "+44 20", "-5", "@SUM(A1)", "\t=1", "\rx", "\nx", "  =1", "\u00a0=1", "\uff1d1"]
)
def test_what_a_spreadsheet_would_run_is_guarded_and_comes_back(text):
    assert escape_formula(text) == "'" + text
    assert unescape_formula(escape_formula(text)) == text


@pytest.mark.parametrize("text", ["", "Ann", "'Ann", "O'Brien", "a=b", "'012345", "58", " Ann "])
def test_what_no_spreadsheet_would_run_stays_as_it_is(text):
    assert escape_formula(text) == text
    assert unescape_formula(text) == text


@given(cells)
def test_a_guard_comes_off_again(text):
    assert unescape_formula(escape_formula(text)) == unescape_formula(text)
    if not text.startswith("'"):
        assert unescape_formula(escape_formula(text)) == text


@given(cells)
def test_an_uploaded_report_never_gains_a_second_quotation_mark(text):
    assert escape_formula(escape_formula(text)) == escape_formula(text)
