"""What a person corrected reaches the LMS, or the report says that it did not."""

from __future__ import annotations

import pytest


def kmi_people(people, count, **columns):
    return people(
        count, login_name=lambda number: f"login{number}", external_id=lambda number: f"X-{number}", **columns
    )


def users_of(lms):
    keys = {"X-Api-Key": "sandbox-key", "X-Api-Secret": "sandbox-secret"}
    return lms.client.get("/api/v2/users/", headers=keys).raise_for_status().json()


@pytest.fixture
def rejected_after_creation(sandbox, office, people):
    """Leave a job whose second person was created and then not registered."""

    def start(name, operation):
        lms = sandbox(bad_days=[f"{operation}:reject:marker=poison"])
        terminal = office(lms, name)
        rows = kmi_people(people, 3)
        rows[1] |= {"email": "poison@example.com", "last_name": "Wrong"}
        terminal.roster("first.csv", rows)
        assert terminal.run("first.csv").counts == {"registered": 2, "rejected": 1}
        lms.rules()
        fixed = rows[1] | {"email": "right@example.com", "last_name": "Right"}
        terminal.roster("fixed.csv", [fixed])
        return lms, terminal

    return start


def test_a_correction_reaches_a_person_of_kmi_who_was_created_and_not_registered(rejected_after_creation):
    lms, terminal = rejected_after_creation("kmi", "create_registration")

    result = terminal.run("fixed.csv")

    assert (result.code, result.counts) == (0, {"registered": 1})
    (person,) = [each for each in users_of(lms) if each["externalId"] == "X-2"]
    assert (person["email"], person["lastName"]) == ("right@example.com", "Right")
    assert len(lms.people) == 3
    assert result.rows[0]["_error"] == ""


def test_tahdah_cannot_be_corrected_and_the_row_says_so(rejected_after_creation):
    lms, terminal = rejected_after_creation("north", "register")

    result = terminal.run("fixed.csv")

    assert (result.code, result.counts) == (0, {"registered": 1})
    assert len(lms.people) == 3
    assert result.rows[0]["_error"] == (
        "Roster created this person with another e-mail address and last name; it was not changed in the LMS."
    )


def test_other_values_of_somebody_who_was_there_before_are_named_and_left_alone(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms, "kmi")
    terminal.roster("first.csv", kmi_people(people, 1))
    terminal.run("first.csv")
    terminal.roster("second.csv", kmi_people(people, 1, last_name="Newname", course_id="59"))
    before = lms.changes

    result = terminal.run("second.csv")

    assert (result.code, result.counts) == (0, {"registered": 1})
    assert lms.changes - before == {"create_registration": 1}
    assert "another last name" in result.rows[0]["_error"]
    updated = terminal.run("second.csv", "--update-existing")
    assert updated.code == 0
    assert {each["lastName"] for each in users_of(lms)} == {"Newname"}


def test_equal_values_are_not_mentioned(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms, "kmi")
    terminal.roster("first.csv", kmi_people(people, 2))
    terminal.run("first.csv")
    terminal.roster("second.csv", kmi_people(people, 2, course_id="59"))

    result = terminal.run("second.csv")

    assert [row["_error"] for row in result.rows] == ["", ""]
