import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import MissingColumns, RosterError, UnreadableRoster, UsageError
from worker.intake.columns import ALIASES, COLUMNS
from worker.intake.headers import column_letter, match_headings, normalize_heading


@pytest.mark.parametrize(
    ("heading", "column"),
    [
        ("E-Mail", "email"),
        ("Email address", "email"),
        ("userEmail", "email"),
        ("Forename*", "first_name"),
        ("First\u00a0Name ", "first_name"),
        ("PRÉNOM", None),
        ("givenName", "first_name"),
        ("Surname", "last_name"),
        ("familyName", "last_name"),
        ("DOB", "date_of_birth"),
        ("Birthdate", "date_of_birth"),
        ("Login", "login_name"),
        ("LOGIN_ID", "login_name"),
        ("username", "login_name"),
        ("sourcedId", "external_id"),
        ("SIS ID", "external_id"),
        ("userExternalId", "external_id"),
        ("experience_id", "course_id"),
        ("course1", "course_name"),
        ("Candidate ID", "candidate_id"),
        ("Courseid", "course_id"),
        ("Behaviour", "behavior"),
        ("Roles", None),
        ("éxternal-id", "external_id"),
        ("field:Shoe size", "field:Shoe size"),
        ("Field: x", "field:x"),
        ("field:", None),
        ("_status", None),
        ("_email", None),
    ],
)
def test_headings_are_matched_by_name_and_alias(heading, column):
    person = "candidate_id" if column != "candidate_id" else "email"
    assert match_headings([person, heading]).columns[1] == column


def test_every_column_of_the_contract_is_matched_by_its_own_name():
    assert match_headings(COLUMNS).columns == COLUMNS


@given(st.permutations(COLUMNS), st.sampled_from(["upper", "title", "lower"]), st.sampled_from(["", " ", "-", "*"]))
def test_case_blanks_and_order_do_not_matter(columns, case, blank):
    headings = [getattr(column.replace("_", blank), case)() + blank for column in columns]
    assert match_headings(headings).columns == tuple(columns)


@given(st.lists(st.text(max_size=12) | st.sampled_from([*COLUMNS, *ALIASES]), max_size=8))
def test_any_headings_are_matched_or_refused_in_plain_words(headings):
    try:
        found = match_headings(headings)
    except RosterError:
        return
    assert found.names == tuple(headings)
    columns = [column for column in found.columns if column]
    assert len(columns) == len(set(columns))


def test_a_near_miss_is_named_with_the_option_that_fixes_it():
    found = match_headings(["email", "Frist name"])
    assert found.columns[1] is None
    assert 'did you mean first_name? If so: --map "Frist name=first_name"' in found.warnings[0]


def test_two_equal_claims_are_an_error_that_names_both():
    with pytest.raises(UnreadableRoster, match='"Forename" in column B and "Given name" in column C'):
        match_headings(["email", "Forename", "Given name"])


def test_the_same_heading_twice_is_an_error():
    with pytest.raises(UnreadableRoster, match="Two headings match the column email"):
        match_headings(["Email", "email"])


def test_a_columns_own_name_wins_over_an_alias_and_says_so():
    found = match_headings(["Login", "login_name", "email"])
    assert found.columns == (None, "login_name", "email")
    assert '"Login" is not imported' in found.warnings[0]


def test_a_secondary_email_counts_only_when_there_is_no_other():
    assert match_headings(["Secondary Email"]).columns == ("email",)
    assert match_headings(["Secondary Email", "E-mail address"]).columns == (None, "email")


def test_user_id_is_not_matched_and_the_warning_names_the_option():
    found = match_headings(["user_id", "email"])
    assert found.columns == (None, "email")
    assert '--map "user_id=external_id"' in found.warnings[0]
    assert '--map "user_id=candidate_id"' in found.warnings[0]


def test_a_roster_with_user_id_alone_must_map_it():
    with pytest.raises(MissingColumns, match='--map "user_id=external_id"'):
        match_headings(["user_id", "first_name"])


def test_a_mapping_wins_over_a_columns_own_name():
    found = match_headings(["email", "Work mail"], mapping={"work MAIL": "email"})
    assert found.columns == (None, "email")


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"Colour": "email"}, r'there are 2 headings, in columns A to B; the known ones are "Mail" \(A\)'),
        ({"Mobile": "emial"}, "did you mean email"),
        ({"Mobile": "email", "Mail": "E-mail"}, "two headings"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused_with_what_there_is(mapping, said):
    with pytest.raises(UsageError, match=said):
        match_headings(["Mail", "Mobile"], mapping=mapping)


def test_headings_that_are_no_roster_are_counted_with_what_is_missing():
    with pytest.raises(MissingColumns, match=r"2 headings, in columns A to B, and none.*candidate_id") as refused:
        match_headings(["Delegate", "Lunch"])
    assert refused.value.headings == ("Delegate", "Lunch"), "for the terminal"


def test_a_file_without_headings_is_reported():
    with pytest.raises(MissingColumns, match="row of headings above"):
        match_headings(["ann@example.com", "Ann", "Lee"])


def test_invisible_characters_in_a_heading_are_passed_over_and_warned_of():
    found = match_headings(["\ufeffem\u200bail"])
    assert found.columns == ("email",)
    assert "invisible" in found.warnings[0]


def test_a_heading_is_returned_as_it_is_in_the_file():
    assert match_headings(["E-Mail Address*"]).heading_of("email") == "E-Mail Address*"
    assert match_headings(["email"]).heading_of("behavior") == "behavior"


def test_columns_have_the_letters_of_a_spreadsheet():
    assert [column_letter(at) for at in (0, 25, 26, 701, 702)] == ["A", "Z", "AA", "ZZ", "AAA"]


def test_aliases_are_written_folded():
    assert [alias for alias in ALIASES if normalize_heading(alias) != alias] == []


def test_a_heading_that_is_mapped_to_nothing_is_kept_and_not_used() -> None:
    headings = match_headings(["Email", "External ID", "Kurs"], mapping={"Email": "", "Kurs": ""})

    assert headings.columns == (None, "external_id", None)
    assert headings.warnings == ()


PERSON = ["Anna", "Smith", "anna@example.com", "58"]


@pytest.mark.parametrize("mapping", [{}, {"Colour": "email"}, {"Smyth": "last_name"}])
def test_an_error_quotes_no_heading_that_may_be_a_cell(mapping):
    with pytest.raises(RosterError) as refused:
        match_headings(PERSON, mapping=mapping)

    assert "4 headings, in columns A to D" in str(refused.value)
    assert [cell for cell in PERSON[:3] if cell in str(refused.value)] == []


def test_a_first_row_that_is_a_person_is_called_that():
    with pytest.raises(MissingColumns, match="the first row seems to be a person") as refused:
        match_headings(PERSON)
    assert refused.value.headings == ()


def test_two_headings_that_are_not_ours_are_named_by_their_columns():
    with pytest.raises(UnreadableRoster, match="the one in column B and the one in column C"):
        match_headings(["email", "field:Anna", "field:Anna"])


def test_a_mapping_that_is_nearly_a_heading_is_told_its_column():
    with pytest.raises(UsageError, match="the nearest one is in column B"):
        match_headings(["Mail", "Cost centre"], mapping={"Cost center": "external_id"})
