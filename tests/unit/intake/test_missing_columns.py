import pytest

from worker.intake.headers import match_headings
from worker.intake.missing_columns import explain_missing_columns
from worker.model import Action, RowRules

RULES = RowRules()


@pytest.mark.parametrize(
    ("headings", "says"),
    [
        (
            ["email", "First Name (given)", "Surname"],
            'did you mean "First Name (given)"? If so: --map "First Name (given)=first_name".',
        ),
        (
            ["email", "Student first name", "Student_last_name"],
            '--map "Student first name=first_name", --map "Student_last_name=last_name"',
        ),
        (["email", "Name"], '"Name" seems to be the whole name: divide it into two columns'),
        (["email", "Given", "Family"], 'match one with --map "Heading=first_name"'),
    ],
)
def test_columns_that_no_heading_is_are_explained_once_for_the_file(headings, says):
    text = explain_missing_columns(match_headings(headings), RULES, {})
    assert text.startswith("No column is imported as ")
    assert says in text


@pytest.mark.parametrize(
    ("headings", "given"),
    [
        (["email", "first_name", "last_name"], {}),
        (["candidate_id"], {}),
        (["email", "Forename"], {"last_name": "Lee"}),
    ],
)
def test_nothing_is_said_of_columns_that_are_there_or_have_a_default(headings, given):
    assert explain_missing_columns(match_headings(headings), RULES, given) == ""


@pytest.mark.parametrize(
    "headings",
    [
        ["sourcedId", "orgSourcedIds", "email"],
        ["email", "course1", "course2"],
        ["email", "address", "adress"],
        ["email", "ip_address"],
        ["email", "external_id", "user_id"],
    ],
)
def test_no_hint_offers_a_column_that_is_taken_or_another_thing(headings):
    found = match_headings(headings)
    assert not [warning for warning in found.warnings if "did you mean" in warning or "two meanings" in warning]


def test_a_hint_names_the_column_that_it_offers_so_that_an_lms_can_refuse_it():
    found = match_headings(["email", "behaviuor"])
    (hint,) = found.warnings
    assert found.offered == {hint: "behavior"}
    assert (RULES.takes("behavior"), RowRules(needs_behavior=True).takes("behavior")) == (False, True)


@pytest.mark.parametrize(
    ("column", "taken"),
    [
        ("course_name", False),
        ("course_id", True),
        ("score", False),
        ("action", False),
        ("city", True),
        ("dob", True),
    ],
)
def test_an_lms_takes_what_its_rules_say(column, taken):
    assert RULES.takes(column) is taken
    assert RowRules(actions=frozenset(Action)).takes("score")
