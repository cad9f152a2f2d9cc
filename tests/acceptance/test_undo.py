"""Undo: what a job registered is withdrawn, and what was there before stays."""

from __future__ import annotations

import sqlite3

import pytest

from tests.conftest import wait_until


def roster_of(terminal, people, count, *, first=1):
    rows = people(count, first=first, login_name=lambda number: f"login{number}")
    return terminal.roster(f"{first}.csv", rows)


def test_a_job_is_undone_to_the_last_of_its_registrations_and_no_further(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms, "kmi")
    before = terminal.run(roster_of(terminal, people, 4)).job
    both = terminal.run(roster_of(terminal, people, 10, first=3)).job
    assert len(lms.standing) == 12

    undone = terminal.balanced(terminal.type("undo", both, "--json"))

    assert (undone.code, undone.counts) == (0, {"withdrawn": 10 - 2})
    assert {email for email, _ in lms.standing} == {f"wilhelmina.{number}@example.com" for number in range(1, 5)}
    assert terminal.status(before)["state"] == "succeeded"
    assert undone.summary["roster"] == f"undo-{both}-3.csv"
    again = terminal.type("undo", both)
    assert again.code == 2
    assert "nothing to undo" in again.err


def test_who_was_undone_can_be_registered_again(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms, "kmi")
    job = terminal.run(roster_of(terminal, people, 3)).job
    terminal.type("undo", job)
    assert not lms.standing

    assert terminal.run("1.csv").counts == {"registered": 3}
    assert len(lms.standing) == 3


def test_a_job_undoes_only_the_registration_that_was_left(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms, "kmi")
    roster = roster_of(terminal, people, 2)
    for job in (1, 3):
        assert terminal.run(roster).job == job
        assert terminal.type("undo", job, "--json").summary["related"]["undoes"] == [job]
    assert terminal.status(1)["related"]["undone_by"] == [2]


def test_a_stopped_job_whose_registrations_were_withdrawn_is_undone_as_soon_as_it_ends(sandbox, office, people):
    lms = sandbox(bad_days=["create_user:401:after=1"])
    terminal = office(lms, "kmi", batch_size=1)
    assert terminal.run(roster_of(terminal, people, 2)).counts == {"registered": 1, "not_attempted": 1}
    terminal.type("undo", 1)
    assert terminal.status(1)["state"] == "held"

    terminal.type("cancel", 1)

    assert terminal.status(1)["state"] == "undone"


@pytest.mark.parametrize("stop", ["pause", "interrupt"])
def test_a_job_is_undone_with_its_last_registration_also_when_the_undoing_one_was_stopped(
    sandbox, office, people, stop
):
    lms = sandbox()
    terminal = office(lms, "kmi")
    terminal.run(roster_of(terminal, people, 1))
    undoing = start_undoing(terminal, lms, "withdraw:hold", "registration where state = 'sending'")
    if stop == "pause":
        terminal.type("pause", 2)
    else:
        undoing.interrupt()
        wait_until(lambda: "Finishing the calls" in undoing.err.read_text("utf-8"), "the interruption")
    lms.rules()
    result = undoing.result()

    assert (result.state, result.counts) == ("paused", {"withdrawn": 1})
    assert terminal.status(1)["state"] == "undone"


def test_what_an_undo_has_withdrawn_before_it_was_stopped_at_once_is_related_to_its_job(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms, "kmi")
    terminal.run(roster_of(terminal, people, 2))
    undoing = start_undoing(terminal, lms, "withdraw:hold:after=1", "row where status = 'withdrawn'")
    for said in ("Finishing the calls", ""):
        undoing.interrupt()
        wait_until(lambda said=said: said in undoing.err.read_text("utf-8"), "the interruption")

    assert undoing.result().code == 130
    assert terminal.status(1)["related"]["undone_by"] == [2]


def start_undoing(terminal, lms, rule, until):
    """Start to undo job 1 with a rule of the LMS, and wait until a query of the ledger counts one."""
    lms.rules(rule)
    undoing = terminal.start("undo", 1, "--json")
    with sqlite3.connect(terminal.folder / "roster.db") as ledger:
        wait_until(lambda: ledger.execute(f"select count(*) from {until}").fetchone()[0], until)  # noqa: S608
    return undoing


def test_an_lms_without_withdrawing_says_so_and_nothing_is_sent(sandbox, office):
    lms = sandbox()
    terminal = office(lms)
    terminal.people("roster.csv", 2)
    job = terminal.run("roster.csv").job
    calls = lms.calls()

    refused = terminal.type("undo", job)

    assert refused.code == 2
    assert "Tahdah documents no way to withdraw" in refused.err
    assert lms.calls() == calls


@pytest.mark.parametrize("lost", ["lost-after", "lost-before"])
def test_a_withdrawal_whose_answer_was_lost_is_read_back(sandbox, office, people, lost):
    lms = sandbox()
    terminal = office(lms, "kmi", lookup_pauses=[0.05, 0.1])
    job = terminal.run(roster_of(terminal, people, 6)).job
    lms.rules(f"withdraw:{lost}:every=3")

    undone = terminal.balanced(terminal.type("undo", job, "--json"))

    assert undone.counts == {"withdrawn": 6}
    assert not lms.standing


@pytest.mark.parametrize("option", [True, False], ids=["course by option", "course in the roster"])
def test_the_failed_rows_of_an_undo_can_be_uploaded_and_withdraw(sandbox, office, people, option):
    lms = sandbox()
    terminal = office(lms, "kmi")
    rows = people(3, login_name=lambda number: f"login{number}")
    if option:
        rows = [{heading: cell for heading, cell in each.items() if heading != "course_id"} for each in rows]
    terminal.run(terminal.roster("some.csv", rows), *(["--course", "58"] if option else []))
    lms.rules("withdraw:422")
    undone = terminal.type("undo", 1, "--json")
    assert undone.counts == {"rejected": 3}
    lms.rules()

    fixed = terminal.run("reports/undo-1-some.failed.csv")

    assert fixed.counts == {"withdrawn": 3}
    assert not lms.standing
    assert terminal.status(1)["state"] == "undone"
    assert terminal.status(2)["open_rows"] == 0
