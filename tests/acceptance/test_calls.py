"""As few calls as the API allows."""

from __future__ import annotations


def test_four_hundred_new_people_on_tahdah_take_a_call_each_one_per_batch_and_one_for_the_first(sandbox, office):
    lms = sandbox()
    terminal = office(lms, batch_size=50)
    terminal.people("roster.csv", 400)

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 400})
    assert lms.by_operation() == {"create_candidate": 400, "register": 1 + 8}
    assert result.summary["calls"] == {"create_candidate": 400, "register": 1 + 8}


def test_new_people_on_kmi_take_two_calls_each(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms, "kmi")
    terminal.roster("roster.csv", people(100, login_name=lambda number: f"login{number}"))

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 100})
    assert lms.calls() <= 2 * 100 + 10
    assert sum(result.summary["calls"].values()) == lms.calls()


def test_known_people_on_kmi_take_one_call_each(sandbox, office):
    lms = sandbox(seed_users=300)
    terminal = office(lms, "kmi")
    known = [{"email": f"person{number}@example.com", "course_id": "58"} for number in range(1, 101)]
    terminal.roster("roster.csv", known)

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 100})
    assert lms.calls() <= 100 + 10
    assert lms.changes == {"create_registration": 100}


def test_the_calls_that_check_foretells_are_those_that_run_makes(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms, batch_size=10)
    terminal.roster("roster.csv", [*people(25), *people(5, course_id="59")])

    rehearsal = terminal.type("check", "roster.csv", "--json")
    result = terminal.run("roster.csv")

    assert "31 calls" in rehearsal.err
    assert result.counts == {"registered": 30}
    assert lms.calls() == 31
