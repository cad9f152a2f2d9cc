"""Kill -9 at moments that a seed chooses, then `roster resume`: no person twice, none lost."""

from __future__ import annotations

import random

import pytest

pytestmark = pytest.mark.slow

ROUNDS = 6
PEOPLE = 37
AT_ONCE = 4


def killed_and_resumed(terminal, lms, dice):
    """Run a roster through kills, each after some calls or some time; return the last result."""
    job = None
    for _ in range(ROUNDS):
        running = terminal.start("resume", job, "--json") if job else terminal.start("run", "roster.csv", "--json")
        if dice.random() < 0.3:
            running.over_within(dice.uniform(0.2, 1.5))
        else:
            goal = lms.calls() + dice.randint(1, 14)
            lms.until(lambda lms, goal=goal, running=running: lms.calls() >= goal or running.is_over)
        running.kill()
        if job is None:
            jobs = terminal.jobs()
            job = jobs[0]["job"] if jobs else None
        lms.nobody_twice()
    assert len(terminal.jobs()) <= 1
    return terminal.resume(job) if job else terminal.run("roster.csv")


@pytest.mark.parametrize(("seed", "external_ids"), [(1, True), (2, False)])
def test_on_kmi_all_people_are_registered_in_the_end(sandbox, office, people, seed, external_ids):
    lms = sandbox(latency=0.06, seed_users=5)
    terminal = office(lms, "kmi", max_in_flight=AT_ONCE, batch_size=10)
    columns = {"external_id": lambda number: f"X-{number}"} if external_ids else {}
    terminal.roster("roster.csv", people(PEOPLE, login_name=lambda number: f"login{number}", **columns))

    result = killed_and_resumed(terminal, lms, random.Random(seed))  # noqa: S311 - dice

    assert (result.code, result.state) == (0, "succeeded")
    assert result.counts.get("registered", 0) + result.counts.get("already_registered", 0) == PEOPLE
    assert len(lms.people) == PEOPLE + 5
    assert len(lms.standing) == PEOPLE


@pytest.mark.parametrize(("seed", "lookup"), [(3, "on"), (4, "404")])
def test_on_tahdah_only_what_was_in_flight_is_in_doubt(sandbox, office, seed, lookup):
    lms = sandbox(latency=0.06, lookup=lookup)
    batch = 6
    terminal = office(lms, max_in_flight=AT_ONCE, batch_size=batch)
    terminal.people("roster.csv", PEOPLE)

    result = killed_and_resumed(terminal, lms, random.Random(seed))  # noqa: S311 - dice

    in_flight = ROUNDS * AT_ONCE * (1 if lookup == "on" else batch)
    doubtful = result.counts.get("in_doubt", 0)
    assert doubtful <= in_flight
    assert result.counts == {
        status: count for status, count in {"registered": PEOPLE - doubtful, "in_doubt": doubtful}.items() if count
    }
    assert result.code == (1 if doubtful else 0)
    assert len(set(lms.people)) == len(lms.people)


@pytest.mark.parametrize("database_kind", ["sqlite", "postgresql"])
def test_the_calls_of_a_killed_process_are_counted(sandbox, office, request, database_kind):
    lms = sandbox(latency=0.1)
    terminal = office(lms, max_in_flight=4)
    if database_kind == "postgresql":
        terminal.environment["ROSTER_LEDGER"] = request.getfixturevalue("database")
    terminal.people("roster.csv", 60)

    running = terminal.start("run", "roster.csv", "--json")
    lms.until(lambda lms: lms.calls("create_candidate") >= 12, "the first people")
    running.kill()
    lms.answer_after(0)

    counted = terminal.status(1)["calls"]["create_candidate"]
    assert counted >= len(lms.people) >= 12
    again = terminal.resume(1)
    assert again.summary["calls"]["create_candidate"] >= again.summary["candidates_created"]
