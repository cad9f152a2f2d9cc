import csv
import io
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import openpyxl
import pytest

from worker.errors import MissingColumns, UnreadableRoster, UsageError
from worker.intake.headers import match_headings
from worker.intake.rows import parse_rows
from worker.intake.text import escape_formula
from worker.model import Action, Course, RowRules

TAHDAH = RowRules(needs_behavior=True, needs_legal_entity=True, defaults={"legal_entity_id": "42", "behavior": "1"})
KMI = RowRules(
    actions=frozenset(Action),
    course_columns=frozenset({"course_id", "course_name", "course_external_id"}),
    required_to_create=(),
)
NAMING = replace(KMI, finds_by_external_id=True)
HEAD = "Email,Forename,Surname,course_id"


def problems(parsed):
    return [[(problem.column, problem.code) for problem in row.problems] for row in parsed]


def test_a_row_becomes_a_candidate_and_a_course(read):
    (parsed,) = read(f"{HEAD},DOB,field:Size\n Ann@X.example ,Ann\u00a0Marie,Lee,58.0,1990-02-01,M\n")
    assert parsed.problems == ()
    assert parsed.raw.cells[0] == " Ann@X.example "
    assert parsed.row.row == 2
    assert parsed.row.candidate.email == "Ann@X.example"
    assert parsed.row.candidate.first_name == "Ann Marie"
    assert parsed.row.candidate.date_of_birth == date(1990, 2, 1)
    assert parsed.row.candidate.fields == {"Size": "M"}
    assert parsed.row.course == Course(course_id="58", legal_entity_id="42")
    assert (parsed.row.action, parsed.row.behavior) == (Action.REGISTER, 1)


def test_all_problems_of_a_row_come_at_once_in_the_order_of_its_columns(read):
    (parsed,) = read(f"DOB,Country,Behaviour,{HEAD}\n31/02/1990,Wales,3,nobody,,Lee,x\n")
    assert problems([parsed]) == [
        [
            ("DOB", "invalid_date"),
            ("Country", "invalid_country"),
            ("Behaviour", "invalid_choice"),
            ("Email", "invalid_email"),
            ("Forename", "missing_value"),
            ("course_id", "invalid_number"),
        ]
    ]
    assert parsed.row is None


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("email", "Ann <a@x.org>", "invalid_email"),
        ("email", "a@x.org, b@x.org", "invalid_email"),
        ("email", "a@@x.org", "invalid_email"),
        ("email", "x" * 65 + "@x.org", "invalid_email"),
        ("email", "a@x.org\u200bq@", "invalid_email"),
        ("email", "#N/A", "excel_error"),
        ("email", "#REF!", "excel_error"),
        ("external_id", "1.23E+16", "lost_digits"),
        ("external_id", "12345678901234500", "lost_digits"),
        ("external_id", "x" * 256, "value_too_long"),
        ("first_name", "x" * 256, "value_too_long"),
        ("candidate_id", "12a", "invalid_number"),
        ("course_id", "1_000", "invalid_number"),
        ("date_of_birth", "2999-01-01", "invalid_date"),
        ("date_of_birth", "1899-01-01", "invalid_date"),
        ("date_of_birth", "1900-01-00", "invalid_date"),
        ("date_of_birth", "03/04/25", "invalid_date"),
        ("date_of_birth", "03/04/2025", "ambiguous_date"),
        ("registration_date", "0", "invalid_date"),
        ("country", "XX", "invalid_country"),
        ("country", "Wales", "invalid_country"),
        ("score", "-1", "invalid_number"),
        ("score", "1e999999999", "invalid_number"),
        ("score", "1000001", "invalid_number"),
        ("score", "nan", "invalid_number"),
        ("score", "1_0", "invalid_number"),
        ("success", "maybe", "invalid_choice"),
        ("action", "delete", "invalid_choice"),
        ("field:x", "x" * 4001, "value_too_long"),
        ("field:x", "#N/A", "excel_error"),
    ],
)
def test_a_bad_value_has_a_code_and_a_sentence(read, column, value, code):
    row = {"email": "a@x.example", "course_id": "58", "external_id": "7"} | {column: value}
    cells = ",".join(f'"{cell}"' for cell in row.values())
    (parsed,) = read(f"{','.join(row)}\n{cells}\n", rules=KMI)
    assert problems([parsed]) == [[(column, code)]]
    assert parsed.problems[0].message.endswith(".")


@pytest.mark.parametrize(
    ("column", "value", "read_as"),
    [
        ("external_id", "'0012345", "0012345"),
        ("external_id", "58.0", "58"),
        ("external_id", "\ufeff 7\u200b ", "7"),
        ("external_id", "12345678901234567", "12345678901234567"),
        ("first_name", "'=1+1", "=1+1"),
        ("first_name", "Zoe\u0308", "Zoë"),
        ("first_name", "\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("country", "gb", "GB"),
        ("country", "United Kingdom", "GB"),
        ("last_name", "O'Brien", "O'Brien"),
        ("email", "Ann@X.EXAMPLE", "Ann@X.EXAMPLE"),
        ("zip", "01234", "01234"),
    ],
)
def test_a_value_is_cleaned_of_invisible_characters_and_nothing_else(read, column, value, read_as):
    row = {"email": "a@x.example", "course_id": "58"} | {column: value}
    (parsed,) = read(f"{','.join(row)}\n{','.join(row.values())}\n", rules=KMI)
    assert parsed.problems == ()
    assert getattr(parsed.row.candidate, column) == read_as


def test_a_guard_comes_off_the_value_and_in_a_report_off_the_cell_too(read):
    guarded = escape_formula("+Ann")
    (typed,) = read(f"email,course_id,first_name\na@x.example,58,{guarded}\n", rules=KMI)
    (reported,) = read(f"email,course_id,first_name,_row,_status\na@x.example,58,{guarded},2,rejected\n", rules=KMI)
    assert typed.row.candidate.first_name == reported.row.candidate.first_name == "+Ann"
    assert typed.raw.cells[2] == guarded
    assert reported.raw.cells[2] == "+Ann"


def test_a_row_without_a_person_says_so_once(read):
    parsed = read("email,external_id,course_id,city\n,,58,Ulm\n", rules=KMI)
    assert problems(parsed) == [[("email", "missing_value")]]


@pytest.mark.parametrize("action", ["approve", "complete", "withdraw"])
def test_a_registration_that_is_there_may_be_named_by_its_external_id_alone(read, action):
    head = "registration_external_id,action,email,course_id"
    parsed = read(f"{head}\nR-1,{action},,\nR-2,{action},,58\nR-3,{action},a@x.org,\n", rules=NAMING)
    assert problems(parsed) == [[], [], []]
    assert [row.row.registration_external_id for row in parsed] == ["R-1", "R-2", "R-3"]
    assert [row.row.course for row in parsed] == [None, Course(course_id="58"), None]


def test_a_person_to_register_or_change_must_be_identified_all_the_same(read):
    text = "registration_external_id,action\nR-1,register\nR-1,update\n,complete\n"
    parsed = read(text, rules=NAMING)
    assert problems(parsed) == [
        [("email", "missing_value"), ("course_id", "course_missing")],
        [("email", "missing_value")],
        [("email", "missing_value"), ("course_id", "course_missing")],
    ]
    said = [row.problems[0].message.endswith("email, registration_external_id.") for row in parsed]
    assert said == [False, False, True]


def test_a_row_has_no_person_where_external_ids_identify_no_registration(read):
    (parsed,) = read("registration_external_id,action,email,course_id\nR-1,complete,,\n", rules=KMI)
    assert problems([parsed]) == [[("email", "missing_value"), ("course_id", "course_missing")]]


@pytest.mark.parametrize(
    ("head", "rules", "taken"),
    [
        ("registration_external_id,action", "NAMING", True),
        ("registration_external_id,action", "KMI", False),
        ("registration_external_id,course_id", "NAMING", False),
    ],
)
def test_a_roster_without_people_needs_an_lms_that_knows_registrations_by_external_id(read, head, rules, taken):
    values = "R-1,complete" if taken else "R-1,58"
    try:
        read(f"{head}\n{values}\n", rules=globals()[rules])
    except MissingColumns:
        assert not taken
    else:
        assert taken


def test_a_roster_without_people_may_get_its_action_from_an_option(read):
    (parsed,) = read("registration_external_id,city\nR-1,Ulm\n", rules=NAMING, set_values={"action": "withdraw"})
    assert parsed.row.action is Action.WITHDRAW


def test_a_known_candidate_needs_none_of_the_columns_that_make_one(read):
    (parsed,) = read("candidate_id,course_id\n101,58\n")
    assert parsed.row.candidate.candidate_id == "101"


def test_behavior_and_legal_entity_are_asked_for_only_where_they_count(read):
    bare = replace(TAHDAH, defaults={})
    assert problems(read(f"{HEAD}\na@x.example,Ann,Lee,58\n", rules=bare)) == [
        [("behavior", "missing_value"), ("legal_entity_id", "missing_value")]
    ]
    (parsed,) = read("email,course_id,behavior,legal_entity_id\na@x.example,58,9,x\n", rules=KMI)
    assert (parsed.row.behavior, parsed.row.course.legal_entity_id) == (None, None)


def test_of_several_course_columns_the_id_counts_before_name_and_external_id(read):
    parsed = read(
        "email,course_external_id,course_name,course_id\na@x.example,C-58,Fire,58\na@x.example,C-58,Fire,\n"
        "a@x.example,C-58,,\n",
        rules=KMI,
    )
    assert [row.row.course.label for row in parsed] == ["58", "name:Fire", "ext:C-58"]


def test_a_course_named_in_a_way_the_connection_does_not_know_is_a_problem(read):
    text = (
        "email,first_name,last_name,course_name,course_id\na@x.example,Ann,Lee,Fire,\na@x.example,Ann,Lee,Fire,58\n"
    )
    assert problems(read(text, course="59")) == [[("course_name", "course_column_not_supported")], []]


def test_a_row_without_a_course_takes_the_option_or_is_a_problem(read):
    text = f"{HEAD}\na@x.example,Ann,Lee,\nb@x.example,Bo,Lee,59\n"
    assert problems(read(text)) == [[("course_id", "course_missing")], []]
    assert [row.row.course.label for row in read(text, course="58")] == ["58", "59"]


@pytest.mark.parametrize(
    ("course", "label"), [("58", "58"), ("name:Fire Safety", "name:Fire Safety"), ("EXT: C-58", "ext:C-58")]
)
def test_the_course_option_names_a_course_in_three_ways(read, course, label):
    (parsed,) = read("email\na@x.example\n", rules=KMI, course=course)
    assert parsed.row.course.label == label


def test_a_set_value_fills_only_empty_cells_and_comes_before_the_connections_own(read):
    text = f"{HEAD},behavior\na@x.example,Ann,Lee,58,\nb@x.example,Bo,Lee,58,1\n"
    assert [row.row.behavior for row in read(text, set_values={"Behaviour": "2"})] == [2, 1]


def test_a_set_course_does_not_override_a_course_that_a_row_names_otherwise(read):
    (parsed,) = read("email,course_name\na@x.example,Fire\n", rules=KMI, set_values={"course_id": "58"})
    assert parsed.row.course.label == "name:Fire"


@pytest.mark.parametrize(
    "options",
    [
        {"set_values": {"behaviuor": "1"}},
        {"set_values": {"behavior": "3"}},
        {"set_values": {"course_name": "Fire"}},
        {"course": "name:Fire"},
        {"course": "name:"},
        {"course": "x"},
        {"start_row": 0},
        {"max_rows": 0},
    ],
)
def test_an_option_that_no_row_could_use_is_a_usage_error(read, options):
    with pytest.raises(UsageError):
        read(f"{HEAD}\n", **options)


def test_an_action_that_the_connection_cannot_do_is_a_problem(read):
    parsed = read(f"{HEAD},Action\na@x.example,Ann,Lee,58,Withdraw\na@x.example,Ann,Lee,58,REGISTER\n")
    assert problems(parsed) == [[("Action", "action_not_supported")], []]


def test_update_and_deactivate_need_no_course_and_complete_has_a_score(read):
    parsed = read(
        'email,action,course_id,score,success\na@x.example,update,,,\na@x.example,complete,58,"87,5",Yes\n',
        rules=KMI,
    )
    assert parsed[0].row.course is None
    assert (parsed[1].row.score, parsed[1].row.success) == (Decimal("87.5"), True)


def test_the_last_row_of_a_column_decides_about_its_first(read):
    text = f"{HEAD},DOB\na@x.example,Ann,Lee,58,03/04/1990\nb@x.example,Bo,Lee,58,{{}}\n"
    assert read(text.format("25/12/1990"))[0].row.candidate.date_of_birth == date(1990, 4, 3)
    assert read(text.format("12/25/1990"))[0].row.candidate.date_of_birth == date(1990, 3, 4)
    assert read(text.format("25/12/1990"), max_rows=1)[0].row.candidate.date_of_birth == date(1990, 4, 3)


def test_contradicting_dates_make_only_the_ambiguous_rows_invalid(read):
    days = ("25/12/1990", "12/25/1990", "03/04/1990", "05/05/1990")
    rows = "".join(f"p{at}@x.example,Ann,Lee,58,{day}\n" for at, day in enumerate(days))
    assert problems(read(f"{HEAD},DOB\n{rows}")) == [[], [], [("DOB", "ambiguous_date")], []]


def test_a_part_of_the_roster_is_counted_in_its_rows(read):
    text = HEAD + "\n" + "".join(f"p{at}@x.example,Ann,Lee,58\n\n" for at in range(5))
    assert [row.raw.row for row in read(text, start_row=4, max_rows=2)] == [4, 6]


def test_cells_beyond_the_headings_make_a_row_invalid_and_are_kept(read):
    (parsed,) = read(f"{HEAD}\na@x.example,Ann,Lee,58,Jr\n")
    assert problems([parsed]) == [[(None, "too_many_cells")]]
    assert parsed.raw.cells[-1] == "Jr"


def test_five_digits_beside_dates_are_excel_dates_and_a_note_names_their_rows(read):
    notes: list[str] = []
    rows = f"{HEAD},DOB\na@x.example,Ann,Lee,58,33000\nb@x.example,Ben,Lee,58,1990-02-01\n"
    parsed = read(rows, warnings=notes)
    assert parsed[0].row.candidate.date_of_birth == date(1899, 12, 30) + timedelta(days=33000)
    (note,) = notes
    assert 'Under "DOB", 1 five-digit number was read as a date, as Excel counts them (row 2)' in note


def test_five_digits_without_a_date_beside_them_are_refused(read):
    parsed = read(f"{HEAD},DOB\na@x.example,Ann,Lee,58,10590\nb@x.example,Ben,Lee,58,31285\n")
    assert problems(parsed) == [[("DOB", "invalid_date")]] * 2


@pytest.mark.parametrize(
    ("identifier", "in_csv"),
    [("3E10", []), ("7E12", []), ("1E5", []), ("1E+11", ["lost_digits"]), ("1.23E10", ["lost_digits"])],
)
def test_an_id_with_an_e_is_shortened_only_in_a_csv_and_as_a_spreadsheet_shortens(
    read, open_bytes, identifier, in_csv
):
    text = f"external_id,first_name,last_name,email,course_id\n{identifier},Ann,Lee,a@x.example,58\n"
    assert [problem.code for problem in read(text)[0].problems] == in_csv
    book = openpyxl.Workbook()
    for row in csv.reader(text.splitlines()):
        book.active.append(row)
    content = io.BytesIO()
    book.save(content)
    file = open_bytes(content.getvalue(), "roster.xlsx")
    (parsed,) = parse_rows(file, match_headings(file.headings), rules=TAHDAH)
    assert parsed.row.candidate.external_id == identifier


@pytest.mark.parametrize(
    ("ids", "warned"), [(["0123", "456"], 1), (["12345678"] * 9 + ["345678"], 1), (["1", "22"], 0)]
)
def test_signs_of_lost_zeros_are_warned_of_once_a_column(open_bytes, ids, warned):
    file = open_bytes(("external_id,course_id\n" + "".join(f"{value},58\n" for value in ids)).encode())
    warnings: list[str] = []
    list(parse_rows(file, match_headings(file.headings), rules=KMI, warnings=warnings))
    assert len(warnings) == warned


def test_a_file_that_is_mostly_garbage_stops(read):
    with pytest.raises(UnreadableRoster, match="29 of 30 rows do not identify a person"):
        read(f"{HEAD}\na@x.example,Ann,Lee,58\n" + ",garbage,,\n" * 29)


def test_rows_without_anything_in_an_imported_column_are_no_rows(open_bytes):
    text = f"No.,{HEAD},Done\n1,a@x.example,Ann,Lee,58,FALSE\n" + "".join(f"{n},,, ,,FALSE\n" for n in range(2, 60))
    file = open_bytes(text.encode())
    warnings: list[str] = []
    read = parse_rows(file, match_headings(file.headings), rules=KMI, warnings=warnings)
    assert [row.raw.row for row in read] == [2]
    assert warnings == ["58 rows have nothing in an imported column and are not part of the roster."]


def test_a_person_whose_columns_are_all_empty_is_asked_for_by_the_name_of_the_column(read):
    text = "ID,First Name,Last Name,Secondary Email,course_id\n" + "1,Ann,Lee,,58\n" * 25
    with pytest.raises(
        UnreadableRoster, match=r'25 of 25 rows do not.*"Secondary Email" \(email\), .* is empty there'
    ):
        read(text)


def test_a_remark_in_a_column_without_a_heading_is_kept_and_a_shifted_row_is_refused(read):
    text = "email,first_name,last_name,course_id,,\na@x.example,Ann,Lee,58,late,\nb@x.example,Bo,Lee,58,,\n"
    assert problems(read(text)) == [[], []]
    shifted = "c@x.example,Cem,Dr,Lee,58,,\n"
    assert problems(read(text + shifted))[2][-1] == (None, "too_many_cells")
