"""A row knows its stage: somebody who was created and not registered is never called not sent."""

from __future__ import annotations

import re

import pytest

MANY = 60


@pytest.fixture
def half_done(sandbox, open_office):
    """A job that was cancelled when people were created and most of them not registered."""
    lms = sandbox(latency=0.5, bad_days=["create_candidate:hold:after=8"])
    terminal = open_office(lms, max_in_flight=4, batch_size=100)
    terminal.people("roster.csv", MANY)
    running = terminal.start("run", "roster.csv", "--json")
    lms.until(lambda lms: lms.calls("create_candidate") >= 8, "the first people")
    cancelled = terminal.type("cancel", 1)
    lms.rules()
    return lms, terminal, cancelled, running.result()


@pytest.mark.parametrize("ledger_kind", ["SQLite", "PostgreSQL"], indirect=True)
def test_the_stages_of_a_cancelled_job_are_what_the_lms_holds(half_done):
    lms, _, cancelled, result = half_done
    registered = {email for email, _ in lms.standing}
    created = set(lms.people) - registered

    assert created
    assert result.state == "cancelled"
    assert result.summary["stages"] == {
        "waiting": MANY - len(lms.people),
        "candidate_created": len(created),
    }
    for row in result.rows:
        expected = "candidate_created" if row["email"] in created else "waiting"
        assert row["_stage"] == ("" if row["email"] in registered else expected)
        assert row["_job"] == "1"
        if row["email"] in created:
            assert "not sent" not in row["_error"].casefold()
            assert "before this row was sent" not in row["_error"]
            assert "in the LMS" in row["_error"]
    assert "created but not registered" in cancelled.out


def test_the_three_numbers_of_cancel_add_up_to_the_rows(half_done, web_server):
    lms, terminal, _, _ = half_done
    shown = terminal.type("status", 1).out
    created = len(set(lms.people) - {email for email, _ in lms.standing})

    assert re.search(rf"^ *{created}  Not registered$", shown, re.MULTILINE)
    assert re.search(rf"^ *{MANY - len(lms.people)}  Not sent$", shown, re.MULTILINE)
    server = web_server(terminal).client
    page = server.get("/jobs/1").text
    parts = [int(number) for number in re.findall(r"<li><b>([\d,]+)</b>", page[page.index('class="parts"') :])[:3]]
    assert parts == [len(lms.standing), created, MANY - len(lms.people)]
    assert "being sent just now" not in page
    listed = server.get("/jobs/1?status=candidate_created").text
    assert listed.count("Not registered</span>") == created
    assert server.get("/api/jobs/1").json()["stages"]["candidate_created"] == created


def test_a_row_that_the_lms_rejects_after_its_person_was_created_says_so(sandbox, office, people):
    lms = sandbox(bad_days=["register:422:every=1"])
    terminal = office(lms, breaker=50)
    terminal.roster("roster.csv", people(3))

    result = terminal.run("roster.csv")

    assert result.counts == {"rejected": 3}
    assert [row["_stage"] for row in result.rows] == ["candidate_created"] * 3
    assert result.summary["stages"] == {"waiting": 0, "candidate_created": 3}


def test_invalid_rows_and_people_whom_the_lms_refused_have_no_stage(sandbox, office, people):
    lms = sandbox(bad_days=["create_candidate:422"])
    terminal = office(lms, breaker=50)
    terminal.roster("roster.csv", [*people(2), {**people(1, first=3)[0], "email": "nobody"}])

    result = terminal.run("roster.csv")

    assert result.counts == {"rejected": 2, "invalid": 1}
    assert [row["_stage"] for row in result.rows] == ["", "", ""]


def test_a_doubtful_creation_waits_and_a_doubtful_registration_has_its_person(sandbox, office, people):
    lms = sandbox(bad_days=["create_candidate:lost-after:every=2"], lookup="404")
    terminal = office(lms, lookup_pauses=[0.01])
    terminal.roster("creation.csv", people(2))
    creation = terminal.run("creation.csv")
    lms.rules("register:lost-after")
    terminal.roster("registration.csv", people(1, first=10, course_id="59"))
    registration = terminal.run("registration.csv")

    assert {row["_status"]: row["_stage"] for row in creation.failed}["in_doubt"] == "waiting"
    assert [(row["_status"], row["_stage"]) for row in registration.rows] == [("in_doubt", "candidate_created")]
