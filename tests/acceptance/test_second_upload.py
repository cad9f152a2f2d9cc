"""The same roster again, and the failed rows corrected: no person is sent twice."""

from __future__ import annotations

import csv

import pytest


@pytest.mark.parametrize("name", ["north", "kmi"])
def test_the_same_roster_again_sends_nothing(sandbox, office, people, name):
    lms = sandbox()
    terminal = office(lms, name)
    terminal.roster("roster.csv", people(15, login_name=lambda number: f"login{number}"))
    first = terminal.run("roster.csv")
    before, people_before = lms.changes, lms.people

    second = terminal.run("roster.csv")

    assert (second.code, second.state, second.counts) == (0, "succeeded", {"already_registered": 15})
    assert second.job != first.job
    assert (lms.changes, lms.people) == (before, people_before)
    assert second.summary["candidates_created"] == second.summary["registrations_created"] == 0
    assert [row["_registration_id"] for row in second.rows] == [row["_registration_id"] for row in first.rows]


def test_of_another_roster_with_some_of_the_same_people_only_the_new_ones_are_sent(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms)
    terminal.people("spring.csv", 10)
    terminal.run("spring.csv")
    shouting = [row | {"email": f" {row['email'].upper()} "} for row in people(10)]
    terminal.roster("summer.csv", [*shouting, *people(5, first=11), *people(2, course_id="59")])

    result = terminal.run("summer.csv")

    assert result.counts == {"registered": 7, "already_registered": 10}
    assert lms.changes == {"create_candidate": 15, "register": 5}


def test_the_failed_rows_are_corrected_and_run_again(sandbox, office, people):
    lms = sandbox(bad_days=["create_candidate:reject:marker=poison"])
    terminal = office(lms)
    rows = people(12, Notes="=keep")
    rows[3]["email"] = "poison@example.com"
    rows[7]["email"] = "not an address"
    rows[9]["last_name"] = ""
    terminal.roster("roster.csv", rows)
    first = terminal.run("roster.csv")
    assert first.counts == {"registered": 9, "rejected": 1, "invalid": 2}
    before = lms.changes
    corrected = first.failed
    for row, email in zip(corrected, ("cured@example.com", "an.address@example.com", None), strict=True):
        row["email"] = email or row["email"]
        row["last_name"] = row["last_name"] or "Mended"
    with first.report(".failed.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(corrected[0]))
        writer.writeheader()
        writer.writerows(corrected)

    second = terminal.run(first.report(".failed.csv"))

    assert (second.code, second.counts) == (0, {"registered": 3})
    assert lms.changes - before == {"create_candidate": 3, "register": 1}
    assert len(lms.standing) == 12
    assert {row["Notes"] for row in second.rows} == {"'=keep"}


def test_failed_rows_that_are_run_again_uncorrected_send_only_what_was_rejected(sandbox, office, people):
    lms = sandbox(bad_days=["create_candidate:reject:nth=2"])
    terminal = office(lms)
    terminal.people("roster.csv", 6)
    first = terminal.run("roster.csv")
    assert first.counts == {"registered": 5, "rejected": 1}

    second = terminal.run(first.report(".failed.csv"))

    assert (second.code, second.counts) == (0, {"registered": 1})
    assert lms.changes == {"create_candidate": 7, "register": 3}


def test_retry_sends_rejected_rows_only_when_asked(sandbox, office, people):
    lms = sandbox(bad_days=["create_candidate:reject:nth=2"], lookup="404")
    terminal = office(lms)
    terminal.roster("roster.csv", [*people(6), {"email": "nobody", "course_id": "58"}])
    first = terminal.run("roster.csv")
    assert first.counts == {"registered": 5, "rejected": 1, "invalid": 1}

    calls = lms.calls()
    unasked = terminal.balanced(terminal.type("retry", first.job, "--json"))
    assert (unasked.code, lms.calls()) == (1, calls)
    assert "--rejected" in unasked.err
    second = terminal.balanced(terminal.type("retry", first.job, "--rejected", "--json"))

    assert second.code == 1, "the invalid row is still invalid"
    assert second.job == first.job
    assert second.counts == {"registered": 6, "invalid": 1}
    assert lms.changes == {"create_candidate": 7, "register": 3}


def test_jobs_status_and_report_agree_with_the_run(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms)
    terminal.roster("roster.csv", [*people(4), {"email": "nobody", "course_id": "58"}])
    result = terminal.run("roster.csv")
    calls = lms.calls()

    (listed,), status = terminal.jobs(), terminal.status(result.job)
    report = terminal.balanced(terminal.type("report", result.job, "--report", "elsewhere", "--json"))

    for summary in (listed, status, report.summary):
        same = {"job", "roster", "connection", "state", "total", "by_status", "calls", "candidates_created"}
        assert {key: summary[key] for key in same} == {key: result.summary[key] for key in same}
    assert report.report(".results.csv").parent == terminal.folder / "elsewhere"
    assert report.rows == result.rows
    assert "roster.csv" in terminal.type("jobs").out
    assert "Completed with errors" in terminal.type("status", result.job).out
    assert lms.calls() == calls
