"""The canary and the breaker: an error of every row costs a few calls, and the job waits for a person."""

from __future__ import annotations

import pytest


def test_a_wrong_course_for_four_hundred_rows_costs_three_registering_calls_at_most(sandbox, office):
    lms = sandbox()
    terminal = office(lms, batch_size=100)
    terminal.people("roster.csv", 400, course_id="580")

    result = terminal.run("roster.csv")

    assert (result.code, result.state) == (3, "held")
    assert "580" in result.summary["reason"]
    assert lms.calls("register") <= 3
    assert lms.calls("create_candidate") == 1, "the first person of the course goes alone"
    assert result.counts == {"not_attempted": 400}


def test_a_wrong_course_on_kmi_costs_three_registering_calls_at_most(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms, "kmi")
    terminal.roster("roster.csv", people(100, course_id="580", login_name=lambda number: f"login{number}"))

    result = terminal.run("roster.csv")

    assert (result.code, result.state) == (3, "held")
    assert "580" in result.summary["reason"]
    assert lms.calls("create_registration") <= 3
    assert lms.calls("create_user") == 1


@pytest.mark.parametrize("operation", ["create_candidate", "register"])
def test_a_person_refused_for_their_own_data_passes_the_first_call_on(sandbox, office, people, operation):
    lms = sandbox(bad_days=[f"{operation}:reject:marker=poison"])
    terminal = office(lms, batch_size=20)
    refused = people(2, email=lambda number: f"poison{number}@example.com", course_id="580")
    terminal.roster("roster.csv", [*refused, *people(30, first=10, course_id="580")])

    result = terminal.run("roster.csv")

    assert (result.code, result.state) == (3, "held")
    assert result.counts == {"rejected": 2, "not_attempted": 30}
    assert lms.changes.get("register", 0) <= 3
    assert lms.calls("create_candidate") == 3, "two of their own fault, one for the course"


def test_a_wrong_legal_entity_holds_the_job(sandbox, office):
    lms = sandbox()
    terminal = office(lms, legal_entity_id=24, batch_size=20)
    terminal.people("roster.csv", 60)

    result = terminal.run("roster.csv")

    assert (result.code, result.state) == (3, "held")
    assert "24" in result.summary["reason"]
    assert lms.calls("register") <= 3


@pytest.mark.parametrize("name", ["north", "kmi"])
def test_candidates_who_are_all_refused_alike_hold_the_job(sandbox, office, people, name):
    operation = "create_candidate" if name == "north" else "create_user"
    lms = sandbox(bad_days=[f"{operation}:422"])
    terminal = office(lms, name)
    terminal.roster("roster.csv", people(200, login_name=lambda number: f"login{number}"))

    result = terminal.run("roster.csv")

    assert (result.code, result.state) == (3, "held")
    assert "cannot be processed" in result.summary["reason"]
    assert lms.calls(operation) <= 10 + 2 * 8
    lms.rules()
    retried = terminal.balanced(terminal.type("retry", result.job, "--rejected", "--json"))
    assert (retried.code, retried.counts) == (0, {"registered": 200})


def test_registrations_that_are_all_refused_alike_hold_the_job(sandbox, office):
    lms = sandbox(bad_days=["register:422"])
    terminal = office(lms, batch_size=50)
    terminal.people("roster.csv", 200)

    result = terminal.run("roster.csv")

    assert (result.code, result.state) == (3, "held")
    assert lms.calls("register") <= 30
    lms.rules()
    retried = terminal.balanced(terminal.type("retry", result.job, "--rejected", "--json"))
    assert (retried.code, retried.counts) == (0, {"registered": 200})


@pytest.mark.parametrize("name", ["north", "kmi"])
def test_credentials_refused_half_way_hold_the_job_and_resume_finishes_it(sandbox, office, people, name):
    lms = sandbox(bad_days=["*:401:after=20"])
    terminal = office(lms, name)
    terminal.roster("roster.csv", people(90, login_name=lambda number: f"login{number}"))

    result = terminal.run("roster.csv")

    assert (result.code, result.state) == (3, "held")
    assert "credentials" in result.summary["reason"]
    assert 0 < result.counts["not_attempted"] <= 90
    assert lms.calls() <= 20 + 8, "only what was in flight"
    lms.rules()
    again = terminal.resume(result.job)
    assert (again.code, again.state) == (0, "succeeded")
    assert len(lms.standing) == 90


def test_an_account_that_may_not_register_holds_the_job(sandbox, office):
    lms = sandbox(bad_days=["register:403"])
    terminal = office(lms, batch_size=20)
    terminal.people("roster.csv", 80)

    result = terminal.run("roster.csv")

    assert (result.code, result.state) == (3, "held")
    assert "Forbidden" in result.summary["reason"]
    assert lms.calls("register") <= 12


def test_a_roster_run_again_while_it_is_held_continues_its_job(sandbox, office):
    lms = sandbox(bad_days=["*:401:after=5"])
    terminal = office(lms)
    terminal.people("roster.csv", 10)
    first = terminal.run("roster.csv")
    assert first.state == "held"
    lms.rules()

    again = terminal.run("roster.csv")

    assert (again.code, again.job, again.counts) == (0, first.job, {"registered": 10})
    assert len(terminal.jobs()) == 1


@pytest.mark.parametrize(("name", "course"), [("north", "58"), ("kmi", "58"), ("kmi", "name:Fire Safety")])
def test_a_held_job_gets_another_course_and_nobody_is_created_twice(sandbox, office, people, name, course):
    lms = sandbox()
    terminal = office(lms, name, batch_size=10)
    terminal.roster("roster.csv", people(25, course_id="580", login_name=lambda number: f"login{number}"))
    held = terminal.run("roster.csv")
    assert held.state == "held"

    resumed = terminal.type("resume", held.job, "--course", course, "--json")

    assert (resumed.code, resumed.counts) == (0, {"registered": 25})
    assert {course_of for _, course_of in lms.standing} == {"58"}
    assert len(lms.people) == 25


def test_another_course_is_for_the_rows_that_are_not_done(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms, batch_size=10)
    terminal.roster("roster.csv", [*people(5), *people(6, first=20, course_id="580")])
    first = terminal.run("roster.csv")
    assert (first.code, first.counts) == (1, {"registered": 5, "rejected": 1, "not_attempted": 5})

    resumed = terminal.balanced(terminal.type("resume", first.job, "--course", "59", "--json"))

    assert (resumed.code, resumed.counts) == (0, {"registered": 11})
    assert sorted(course for _, course in lms.standing) == ["58"] * 5 + ["59"] * 6


def test_only_a_row_whose_course_was_changed_says_so(sandbox, office, people):
    lms = sandbox(bad_days=["create_candidate:401"])
    terminal = office(lms)
    terminal.roster("roster.csv", [*people(1), *people(1, first=2, course_id="59")])
    held = terminal.run("roster.csv")
    lms.rules()

    resumed = terminal.balanced(terminal.type("resume", held.job, "--course", "58", "--json"))

    assert resumed.counts == {"registered": 2}
    assert [row["_error"] for row in resumed.rows] == ["", "The course was changed from 59 to 58."]


@pytest.mark.parametrize(
    ("course", "message"),
    [
        ("name:Fire Safety", "identifies courses only by course_id"),
        ("fire", "not a number"),
        ("", "--course is empty"),
    ],
)
def test_a_course_that_the_connection_cannot_use_changes_nothing(sandbox, office, people, course, message):
    lms = sandbox()
    terminal = office(lms)
    terminal.roster("roster.csv", people(3, course_id="580"))
    held = terminal.run("roster.csv")

    output = terminal.type("resume", held.job, "--course", course)

    assert output.code == 2
    assert message in output.err
    assert terminal.status(held.job)["state"] == "held"
