"""Jobs know each other: undone by, undoes, fixes, fixed by, repeats."""

from __future__ import annotations

import csv
import re

import pytest

NONE = {"undone_by": [], "undoes": [], "fixes": [], "fixed_by": [], "repeats": []}


@pytest.fixture
def kmi(sandbox, open_office, people):
    lms = sandbox()
    terminal = open_office(lms, "kmi")
    terminal.roster("spring.csv", people(4, login_name=lambda number: f"login{number}"))
    return lms, terminal


def test_a_job_of_which_everything_was_withdrawn_is_undone_and_says_by_which_job(kmi, web_server):
    lms, terminal = kmi
    first = terminal.run("spring.csv").job
    undoing = terminal.type("undo", first, "--json").job

    undone = terminal.status(first)
    assert undone["state"] == "undone"
    assert undone["by_status"]["registered"] == 4
    assert undone["related"] == {**NONE, "undone_by": [undoing]}
    assert terminal.status(undoing)["related"] == {**NONE, "undoes": [first]}
    report = terminal.type("report", first, "--json")
    assert {(row["_status"], row["_error"]) for row in report.rows} == {
        ("registered", f"Withdrawn by job {undoing}")
    }
    calls = lms.calls()
    for command in ("retry", "resume", "undo"):
        refused = terminal.type(command, first)
        assert (refused.code, lms.calls()) == (2, calls)
    client = web_server(terminal).client
    page, other = client.get(f"/jobs/{first}").text, client.get(f"/jobs/{undoing}").text
    assert f'Undone by <a href="/jobs/{undoing}">' in page
    assert f'Undoes <a href="/jobs/{first}">' in other
    assert 'id="act-undo"' not in page
    assert "Undone" in client.get("/jobs").text


def test_a_job_is_not_called_undone_or_fixed_before_a_row_was_withdrawn_or_settled(kmi, people, web_server):
    lms, terminal = kmi
    invalid = {**people(1, first=9)[0], "email": "nobody", "login_name": "login9"}
    terminal.roster("some.csv", [*people(2, login_name=lambda number: f"login{number}"), invalid])
    first = terminal.run("some.csv")
    lms.rules("withdraw:401")

    undoing = terminal.type("undo", first.job, "--yes", "--json").job
    again = terminal.run(fixed(terminal, first, "again.csv", 0)).job

    assert terminal.status(undoing)["related"] == NONE
    assert terminal.status(first.job)["related"] == {**NONE, "fixed_by": [again]}
    client = web_server(terminal).client
    page = client.get(f"/jobs/{first.job}").text
    assert f'Undo opened as <a href="/jobs/{undoing}">' in page
    assert f'Rows are again in <a href="/jobs/{again}">' in page
    assert not re.search("Undone by|Fixed by", page)
    assert f'Opened to undo <a href="/jobs/{first.job}">' in client.get(f"/jobs/{undoing}").text


def test_the_same_file_may_be_registered_again_after_it_was_undone(kmi):
    lms, terminal = kmi
    first = terminal.run("spring.csv").job
    terminal.type("undo", first)

    again = terminal.run("spring.csv")

    assert again.counts == {"registered": 4}
    assert again.summary["related"] == {**NONE, "repeats": [first]}
    assert len(lms.standing) == 4
    assert terminal.status(first)["state"] == "undone"


@pytest.mark.parametrize("ledger_kind", ["SQLite", "PostgreSQL"], indirect=True)
def test_a_job_that_is_partly_undone_keeps_its_state(kmi, people):
    lms, terminal = kmi
    first = terminal.run("spring.csv").job
    rows = people(1, login_name="login1", action="withdraw")
    terminal.roster("one.csv", rows)

    withdrawing = terminal.run("one.csv").job

    status = terminal.status(first)
    assert status["state"] == "succeeded"
    assert status["related"] == {**NONE, "undone_by": [withdrawing]}
    report = terminal.type("report", first, "--json")
    assert [row["_error"] for row in report.rows] == [f"Withdrawn by job {withdrawing}", "", "", ""]
    assert len(lms.standing) == 3
    terminal.type("undo", first)
    assert terminal.status(first)["state"] == "undone"


@pytest.fixture
def with_errors(sandbox, open_office, people):
    """A job of 6 rows, 2 of them invalid, and its report of failed rows."""
    terminal = open_office(sandbox())
    terminal.roster("spring.csv", [*people(4), *({**row, "email": "nobody"} for row in people(2, first=5))])
    return terminal, terminal.run("spring.csv")


def fixed(terminal, result, name, count, **changes):
    """Write the failed rows again, of which the first `count` have a valid address."""
    rows = [
        {**row, **({"email": f"fixed{at}@example.com"} if at < count else {}), **changes}
        for at, row in enumerate(result.failed)
    ]
    with (terminal.folder / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return name


@pytest.mark.parametrize("ledger_kind", ["SQLite", "PostgreSQL"], indirect=True)
def test_a_fixed_file_settles_the_rows_of_its_job_until_none_is_left(with_errors, web_server):
    terminal, first = with_errors
    assert first.summary["open_rows"] == 2
    assert [job["job"] for job in terminal.type("jobs", "--state", "open", "--json").json] == [1]

    second = terminal.run(fixed(terminal, first, "one.csv", 1))
    assert second.summary["related"] == {**NONE, "fixes": [1]}
    status = terminal.status(1)
    assert (status["open_rows"], status["by_status"]["invalid"]) == (1, 2)
    assert status["related"] == {**NONE, "fixed_by": [2]}
    client = web_server(terminal).client
    page = client.get("/jobs/1").text
    assert "1 of 2 left" in page
    assert 'Fixed by <a href="/jobs/2">' in page
    rows = page[page.index('id="row-table"') :]
    assert rows.count('<b>Fixed by <a href="/jobs/2">job 2</a></b>') == 1
    assert "Needs attention (1)" in page
    open_rows = client.get("/jobs/1?status=open").text
    assert "Fixed by" not in open_rows[open_rows.index('id="row-table"') :]
    errors = [row["_error"] for row in terminal.type("report", 1, "--json").rows if row["_status"] == "invalid"]
    assert [error.endswith(". Fixed by job 2") for error in errors] == [True, False]

    third = terminal.run(fixed(terminal, second, "other.csv", 1))
    assert third.code == 0
    assert third.summary["related"]["fixes"] == [2]
    assert [terminal.status(job)["open_rows"] for job in (1, 2, 3)] == [0, 0, 0]
    assert terminal.type("jobs", "--state", "open", "--json").json == []
    assert len(terminal.type("jobs", "--limit", "2", "--json").json) == 2


def test_a_rejected_row_whose_person_another_job_registered_says_by_which(sandbox, office):
    lms = sandbox()
    terminal = office(lms)
    terminal.people("spring.csv", 2)
    lms.rules("register:422:nth=1")
    first = terminal.run("spring.csv")
    assert first.counts["rejected"] == 1
    lms.rules()

    other = terminal.people("summer.csv", 2)
    second = terminal.run(other)

    assert second.counts == {"registered": 1, "already_registered": 1}
    report = terminal.type("report", first.job, "--json")
    rejected = report.with_status("rejected")
    assert [row["_error"].endswith(f"Registered by job {second.job}") for row in rejected] == [True]
    assert report.summary["open_rows"] == 0


def test_a_pair_that_names_no_row_is_ignored_with_a_note(with_errors):
    terminal, first = with_errors

    result = terminal.run(fixed(terminal, first, "one.csv", 2, _job="99"))

    assert result.counts == {"registered": 2}
    assert any("_job" in warning for warning in result.summary["warnings"])
    assert result.summary["related"] == NONE
    assert terminal.status(1)["open_rows"] == 2


def test_a_row_that_is_done_is_not_tied_again(with_errors):
    terminal, first = with_errors
    terminal.run(fixed(terminal, first, "all.csv", 2))

    again = terminal.run(fixed(terminal, first, "again.csv", 2, first_name="Again"))

    assert again.counts == {"already_registered": 2}
    assert terminal.status(1)["open_rows"] == 0
    results = terminal.run(first.report(".results.csv"))
    assert not any("_job" in warning for warning in results.summary["warnings"])


def test_a_state_that_does_not_exist_is_refused_with_those_that_do(with_errors):
    terminal, _ = with_errors

    refused = terminal.type("jobs", "--state", "openn")

    assert refused.code == 2
    assert "open" in refused.err
    assert "undone" in refused.err


def test_a_lost_registration_that_a_later_job_finds_belongs_to_the_job_that_sent_it(sandbox, office, people):
    lms = sandbox(bad_days=["register:lost-after", "list_registrations:404"])
    terminal = office(lms, lookup_pauses=[0.01])
    terminal.roster("spring.csv", people(2))
    assert terminal.run("spring.csv").counts == {"in_doubt": 2}
    lms.rules()

    later = terminal.run(terminal.roster("later.csv", people(2, login_name="other")))

    assert later.counts == {"already_registered": 2}
    first = terminal.status(1)
    assert (first["state"], first["by_status"]["registered"], first["open_rows"]) == ("succeeded", 2, 0)


def test_a_downloaded_report_says_what_was_withdrawn_since_it_was_last_downloaded(kmi, people, web_server):
    lms, terminal = kmi
    first = terminal.run("spring.csv").job
    terminal.run(terminal.roster("again.csv", people(4, login_name=lambda number: f"login{number}", city="X")))
    client = web_server(terminal).client
    assert "Withdrawn" not in client.get("/api/jobs/2/results.csv").text

    undoing = terminal.type("undo", first, "--json").job

    assert client.get("/api/jobs/2/results.csv").text.count(f"Withdrawn by job {undoing}") == 4
    assert not lms.standing


def test_a_row_that_was_registered_after_the_withdrawal_is_not_called_withdrawn(sandbox, office, people):
    lms = sandbox(bad_days=["create_registration:422"])
    terminal = office(lms, "kmi", breaker=50)
    terminal.roster("spring.csv", people(2, login_name=lambda number: f"login{number}"))
    assert terminal.run("spring.csv").counts == {"rejected": 2}
    lms.rules()
    fixing = terminal.run("reports/spring.failed.csv").job
    assert terminal.status(1)["open_rows"] == 0
    assert terminal.status(1)["stages"]["candidate_created"] == 0
    already = terminal.run(
        terminal.roster("same.csv", people(2, login_name=lambda number: f"login{number}", city="X"))
    )
    assert already.counts == {"already_registered": 2}
    undoing = terminal.type("undo", fixing, "--json").job

    assert terminal.status(1)["open_rows"] == 2
    told = terminal.type("report", already.job, "--json").rows
    otherwise = "Roster created this person with another city; it was not changed in the LMS."
    assert [row["_error"] for row in told] == [f"Withdrawn by job {undoing}. {otherwise}"] * 2
    again = terminal.type("retry", 1, "--rejected", "--json")

    assert again.counts == {"registered": 2}
    assert [row["_error"] for row in again.rows] == ["", ""]
    assert (terminal.status(1)["state"], terminal.status(fixing)["state"]) == ("succeeded", "undone")
