"""Pause, cancel, Ctrl-C, and a second process: calls in progress finish, nothing more is sent."""

from __future__ import annotations

import sqlite3

import pytest

MANY = 60


@pytest.fixture
def lms(sandbox):
    return sandbox(latency=0.5, bad_days=["create_candidate:hold:after=6"])


@pytest.fixture
def terminal(office, lms):
    terminal = office(lms, max_in_flight=4, batch_size=10)
    terminal.people("roster.csv", MANY)
    return terminal


@pytest.fixture
def running(terminal, lms):
    """A run with some calls done and most left; the LMS holds the next ones until its rules are replaced."""
    running = terminal.start("run", "roster.csv", "--json")
    lms.until(lambda lms: lms.calls() >= 6, "the first calls")
    return running


def test_a_job_is_paused_from_another_process_and_resumed(lms, terminal, running):
    told = terminal.type("pause", 1)
    lms.rules()
    result = terminal.balanced(running.result())

    assert told.code == 0
    assert "roster resume 1" in told.out
    assert (result.code, result.state) == (3, "paused")
    assert result.counts["not_attempted"] > 0
    calls = lms.calls()
    assert calls < MANY
    lms.answer_after(0)
    again = terminal.resume(1)
    assert (again.code, again.state, again.counts) == (0, "succeeded", {"registered": MANY})
    assert lms.changes["create_candidate"] == MANY


def test_a_cancelled_job_has_the_right_counts_and_stays_cancelled(lms, terminal, running):
    told = terminal.type("cancel", 1)
    lms.rules()
    result = terminal.balanced(running.result())

    assert told.code == 0
    assert (result.code, result.state) == (1, "cancelled")
    unsent = result.with_status("not_attempted")
    assert unsent
    assert {row["_error_code"] for row in unsent} == {"cancelled"}
    assert [row["_row"] for row in result.failed] == [row["_row"] for row in unsent]
    calls = lms.calls()
    again = terminal.type("resume", 1, "--json")
    assert again.code == 2
    assert "roster retry 1" in again.err
    assert lms.calls() == calls
    lms.answer_after(0)
    retried = terminal.balanced(terminal.type("retry", 1, "--json"))
    assert (retried.code, retried.counts) == (0, {"registered": MANY})


def test_a_cancelled_roster_can_be_submitted_again(lms, terminal, running):
    terminal.type("cancel", 1)
    lms.rules()
    result = running.result()

    lms.answer_after(0)
    again = terminal.run(result.report(".failed.csv"))

    assert again.code == 0
    assert len(lms.standing) == MANY


@pytest.mark.parametrize("signals", [1, 2])
def test_ctrl_c_ends_with_130_and_resume_finishes(lms, terminal, running, wait_until, signals):
    for number in range(1, signals + 1):
        running.interrupt()
        wait_until(lambda number=number: number == signals or "again" in running.err.read_text("utf-8"))
    lms.rules()
    result = terminal.balanced(running.result())

    assert result.code == 130
    assert result.state == "paused"
    lms.answer_after(0)
    again = terminal.resume(1)
    doubtful = again.counts.get("in_doubt", 0)
    assert doubtful <= (0 if signals == 1 else 4)
    assert again.counts.get("registered", 0) == MANY - doubtful


def test_a_job_that_was_paused_before_a_course_had_its_first_registration_can_be_retried(sandbox, office, people):
    lms = sandbox(bad_days=["create_candidate:hold"])
    terminal = office(lms)
    terminal.roster("roster.csv", [*people(1), *people(1, first=2, course_id="59")])
    running = terminal.start("run", "roster.csv", "--json")
    with sqlite3.connect(terminal.folder / "roster.db") as ledger:
        sending = "select count(*) from candidate where state = 'sending'"
        lms.until(lambda _: ledger.execute(sending).fetchone()[0], "the first call")
    terminal.type("pause", 1)
    lms.rules()
    assert running.result().state == "paused"

    again = terminal.balanced(terminal.type("retry", 1, "--json"))

    assert (again.code, again.counts) == (0, {"registered": 2})


def test_a_second_process_does_not_touch_a_running_job(lms, terminal, running):
    second = terminal.type("resume", 1, "--json")
    third = terminal.type("run", "roster.csv", "--json")
    lms.answer_after(0)
    lms.rules()
    result = terminal.balanced(running.result())

    for other in (second, third):
        assert other.code == 2
        assert "being worked on already" in other.err
    assert (result.code, result.counts) == (0, {"registered": MANY})
    assert len(terminal.jobs()) == 1
    assert lms.changes["create_candidate"] == MANY


def test_two_jobs_with_the_same_people_at_the_same_time_create_no_person_twice(
    lms, terminal, running, people, wait_until
):
    terminal.roster("other.csv", [*people(MANY), *people(5, course_id="59")])

    second = terminal.start("run", "other.csv", "--json")
    wait_until(lambda: [job["state"] for job in terminal.jobs()] == ["running", "running"])
    lms.rules()
    lms.until(lambda lms: lms.calls() >= MANY // 2)
    lms.answer_after(0.02)
    other, result = terminal.balanced(second.result()), running.result()

    assert result.code == 0
    assert other.code == 0, other.counts
    assert len(lms.people) == MANY
    assert len(lms.standing) == MANY + 5


def test_people_whom_a_killed_command_held_are_free_for_the_next_job(lms, terminal, running, people):
    running.kill()
    lms.rules()
    lms.answer_after(0)
    terminal.roster("other.csv", people(10, course_id="59"))

    other = terminal.balanced(terminal.type("run", "other.csv", "--json"))

    doubtful = other.counts.get("in_doubt", 0)
    assert other.state == ("completed_with_errors" if doubtful else "succeeded")
    assert doubtful <= 4
    assert other.counts["registered"] == 10 - doubtful


def test_a_running_job_can_be_shown_and_reported(terminal, lms, running):
    status = terminal.status(1)
    report = terminal.type("report", 1, "--report", "so-far", "--json")
    assert sum(report.counts.values()) == len(report.rows) == MANY
    lms.answer_after(0)
    lms.rules()
    result = running.result()

    assert status["state"] == "running"
    assert status["total"] == sum(status["by_status"].values()) == MANY
    assert result.code == 0


def test_what_has_ended_cannot_be_paused_or_cancelled(office, sandbox):
    terminal = office(sandbox())
    terminal.people("roster.csv", 1)
    terminal.run("roster.csv")

    for command in ("pause", "cancel"):
        told = terminal.type(command, 1)
        assert told.code == 2
        assert "has ended" in told.err
