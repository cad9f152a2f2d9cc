"""No room on the disk: said in plain words, nothing sent that is not recorded, and `resume` goes on."""

from __future__ import annotations

import pytest


def limited(size):
    """A process under this limit cannot make any file longer: EFBIG, as a full disk gives ENOSPC."""
    return ("prlimit", f"--fsize={size}")


@pytest.mark.parametrize("size", [500, 120_000, 300_000])
def test_a_ledger_that_finds_no_room_stops_the_job_and_loses_nothing(sandbox, office, size):
    lms = sandbox()
    terminal = office(lms, batch_size=40)
    terminal.type("jobs")
    terminal.people("roster.csv", 200, Notes="x" * 200)

    result = terminal.type("run", "roster.csv", prefix=limited(size))

    assert result.code in {2, 3}
    assert result.err
    if result.code == 2:
        assert lms.calls() == 0
    jobs = terminal.jobs()
    again = (
        terminal.resume(jobs[0]["job"]) if jobs and jobs[0]["state"] != "invalid" else terminal.run("roster.csv")
    )
    assert again.counts.get("registered", 0) + again.counts.get("in_doubt", 0) == 200
    assert again.counts.get("in_doubt", 0) <= 8 * 40


def test_reports_that_find_no_room_are_written_later(sandbox, office):
    lms = sandbox()
    terminal = office(lms)
    terminal.people("roster.csv", 150, Notes="x" * 2_000)
    terminal.connect(lms.url, "north")
    done = terminal.run("roster.csv")

    result = terminal.type("report", done.job, "--report", "elsewhere", "--json", prefix=limited(100_000))

    assert result.code in {2, 3}
    assert "elsewhere" in result.err
    assert not list(terminal.folder.glob("elsewhere/*.csv"))
    assert terminal.balanced(terminal.type("report", done.job, "--report", "elsewhere", "--json")).rows == done.rows
