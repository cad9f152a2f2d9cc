"""What a cell is worth, by its column: apostrophes, `="00123"`, placeholders, lost letters, thousands."""

from __future__ import annotations

import pytest

from worker.intake.cell_values import means_none, read_value
from worker.intake.problems import excel_error_code
from worker.intake.text import clean
from worker.model import Action, RowRules

KMI = RowRules(
    actions=frozenset(Action),
    course_columns=frozenset({"course_id", "course_name", "course_external_id"}),
    required_to_create=(),
)


def row_of(read, column, cell):
    cells = {"email": "ana@x.example", "first_name": "Ana", "last_name": "Li", "course_id": "58"} | {column: cell}
    line = ",".join('"' + text.replace('"', '""') + '"' for text in cells.values())
    (parsed,) = read(f"{','.join(cells)}\n{line}\n", rules=KMI)
    return parsed


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        ("email", "'ana@x.example", "ana@x.example"),
        ("email", "\u2019ana@x.example", "ana@x.example"),
        ("email", "an\u200da@x\u3164.example", "ana@x.example"),
        ("external_id", "'A00123", "A00123"),
        ("external_id", "'00123'", "00123"),
        ("external_id", "A\u2011\ufe0f1", "A-1"),
        ("date_of_birth", "'1990-05-03", "1990-05-03"),
        ("first_name", "\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("last_name", "'t Hooft", "'t Hooft"),
        ("field:Note", "'tis", "'tis"),
    ],
)
def test_what_others_added_to_a_value_is_taken_off_ids_addresses_and_dates_alone(column, cell, value):
    assert read_value(column, cell) == value


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ('="00123"', "00123"),
        ('= "00123"', "00123"),
        ('=""00123""', "00123"),
        ('="O""Brien"', 'O"Brien'),
        ('\'="00123"', "00123"),
        ('=" A-1 "', "A-1"),
        ('=A1&"x"', '=A1&"x"'),
        ('a="b"', 'a="b"'),
    ],
)
def test_a_text_that_is_quoted_as_a_formula_is_the_text(cell, value):
    assert clean(cell) == value


@pytest.mark.parametrize("formula", ["=A1+1", '=TEXT(123,"00000")', '=HYPERLINK("x")', "=00123"])
def test_another_formula_in_a_text_file_is_refused_with_its_column(read, formula):
    parsed = row_of(read, "external_id", formula)

    assert [(each.column, each.code) for each in parsed.problems] == [("external_id", "formula_without_value")]


def test_dates_with_an_apostrophe_show_the_order_of_their_column(read):
    head = "email,first_name,last_name,course_id,date_of_birth"
    cells = ("'03/04/1990", "'25/12/1985")
    rows = read("\n".join([head, *(f"ana@x.example,Ana,Li,58,{cell}" for cell in cells)]), rules=KMI)

    assert [str(each.row.candidate.date_of_birth) for each in rows] == ["1990-04-03", "1985-12-25"]


@pytest.mark.parametrize(
    "word",
    [
        "N/A",
        "n/a",
        "NA",
        "NULL",
        "null",
        "None",
        "-",
        "--",
        "\u2013",
        ".",
        "0",
        "00",
        "0.0",
        "n.a.",
        "unknown",
        "nan",
        "NIL",
        "TBC",
        "xxx",
        "keine",
        "?",
        "not available",
        "no-id",
        "pending",
        "(blank)",
        "Not yet issued",
        "new",
        "k. A.",
        "n/d",
        "s/n",
        "\\N",
        "нет",
        "なし",
    ],
)
def test_a_word_for_none_is_no_id(word):
    assert means_none("external_id", word)


@pytest.mark.parametrize("name", ["na", "Blank", "new"])
def test_a_login_name_may_be_a_word_for_none(name):
    assert not means_none("login_name", name)


@pytest.mark.parametrize(
    "text",
    [
        "#N/A",
        "#NV",
        "#WERT!",
        "#¿NOMBRE?",
        "#¡REF!",
        "#ЗНАЧ!",
        "#NOM?",
        "#BLOCKED!",
        "#DIV/0!",
        "Err:502",
        "########",
    ],
)
@pytest.mark.parametrize("column", ["external_id", "last_name"])
def test_an_error_of_a_spreadsheet_in_any_language_is_refused(read, column, text):
    assert [each.code for each in row_of(read, column, text).problems] == ["excel_error"]


@pytest.mark.parametrize("text", ["#12", "#A-1", "#", "#Hashtag!", "Err:or"])
def test_a_text_with_a_hash_sign_is_no_error(text):
    assert excel_error_code(text) is None


@pytest.mark.parametrize(
    "text",
    ["A-1", "10", "00123", "N1", "x", "NB", "ana", "100", "0-1", "none1", "KA", "ND", "SN", "S-N", "N", "newton"],
)
def test_an_id_is_no_word_for_none(text):
    assert not means_none("external_id", text)


@pytest.mark.parametrize(
    "address",
    [
        "none@example.com",
        "no_email@example.com",
        "No-Email@x.org",
        "noemail@noemail.com",
        "n/a@n/a.example",
        "unknown@x.org",
        "noreply@x.org",
        "na@na.example",
        "xxx@xxx.org",
        "-@x.org",
    ],
)
def test_an_address_that_says_there_is_none_is_no_address(address):
    assert means_none("email", address)


@pytest.mark.parametrize("address", ["ana@x.org", "na@example.com", "nil@x.org", "nonet@x.org", "un.known@y.org1"])
def test_an_address_is_no_placeholder(address):
    assert means_none("email", address) is (address == "un.known@y.org1")


def test_a_persons_own_name_is_no_placeholder(read):
    (parsed,) = read("email,first_name,last_name,course_id\nnull@x.example,Null,Null,58\n", rules=KMI)

    assert parsed.row.candidate.email == "null@x.example"


def test_a_row_with_a_placeholder_for_an_id_is_known_by_its_address(read):
    parsed = row_of(read, "external_id", "N/A")

    assert (parsed.row.candidate.external_id, parsed.row.candidate.email) == (None, "ana@x.example")


def test_a_row_with_nothing_but_a_placeholder_says_what_it_means(read):
    parsed = row_of(read, "email", "no_email@x.example")

    assert [(each.column, each.code) for each in parsed.problems] == [("email", "missing_value")]
    assert '"no_email@x.example" means that there is none' in parsed.problems[0].message


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("first_name", "J\ufffdrgen"),
        ("first_name", "J?rgen"),
        ("last_name", "Andr?"),
        ("last_name", "?ukasz"),
        ("last_name", "????"),
        ("first_name", "J\x1argen"),
        ("city", "M?nchen"),
        ("external_id", "A\ufffd1"),
        ("field:Note", "Gr\ufffd\ufffde"),
    ],
)
def test_a_cell_that_lost_letters_is_refused(read, column, cell):
    parsed = row_of(read, column, cell)

    assert [(each.column, each.code) for each in parsed.problems] == [(column, "lost_letters")]


@pytest.mark.parametrize(("column", "cell"), [("course_name", "What is new? Safety"), ("field:Note", "Why?")])
def test_a_question_mark_in_its_place_is_no_lost_letter(read, column, cell):
    assert row_of(read, column, cell).problems == ()


@pytest.mark.parametrize("score", ["1,000", "12,345", "1,000,000", "1.000"])
def test_a_score_that_may_be_thousands_is_refused(read, score):
    parsed = row_of(read, "score", score)

    assert [(each.column, each.code) for each in parsed.problems] == [("score", "invalid_number")]


@pytest.mark.parametrize(("score", "number"), [("12,5", "12.5"), ("0,125", "0.125"), ("99.125", "99.125")])
def test_a_score_with_a_comma_that_is_no_thousand_is_read(read, score, number):
    assert str(row_of(read, "score", score).row.score) == number


def test_an_id_that_may_be_thousands_is_not_shortened(read):
    assert [each.code for each in row_of(read, "external_id", "1.000").problems] == ["invalid_number"]
    assert row_of(read, "external_id", "1,000").row.candidate.external_id == "1,000"
