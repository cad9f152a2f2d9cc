"""Purge: what says who somebody is goes; the counts stay, and so does who was registered."""

from __future__ import annotations

import sqlite3

import pytest

from tests.conftest import FIRST_NAME


def let_time_pass(desk, days):
    with sqlite3.connect(desk.folder / "roster.db") as ledger:
        ledger.execute(
            "update job set created_at = created_at - ?, finished_at = finished_at - ?", [days * 86400] * 2
        )


def everything_kept(desk):
    files = [*desk.folder.glob("roster.db*"), *(desk.folder / "roster-files").iterdir()]
    return b"".join(path.read_bytes() for path in files)


def test_an_old_job_loses_its_people_and_keeps_its_counts(sandbox, office):
    lms = sandbox()
    desk = office(lms)
    desk.people("roster.csv", 4)
    job = desk.run("roster.csv").job
    before = desk.status(job)
    let_time_pass(desk, 100)
    assert FIRST_NAME.casefold().encode() in everything_kept(desk).lower()

    assert "1 job purged" in desk.type("purge", "--older-than", "90d").out

    kept = everything_kept(desk)
    assert FIRST_NAME.casefold().encode() not in kept.lower()
    after = desk.status(job)
    assert {key: after[key] for key in ("total", "by_status", "calls")} == {
        key: before[key] for key in ("total", "by_status", "calls")
    }
    for words in (("report", job), ("retry", job)):
        refused = desk.type(*words)
        assert refused.code == 2
        assert "were purged on" in refused.err
    calls = lms.calls()
    assert desk.run("roster.csv").counts == {"already_registered": 4}
    assert lms.calls() == calls


def test_a_recent_job_and_one_that_waits_for_a_person_keep_everything(sandbox, office):
    desk = office(sandbox(bad_days=["*:401:after=0"]))
    desk.people("roster.csv", 2)
    desk.type("run", "roster.csv")
    let_time_pass(desk, 100)

    assert "0 jobs purged" in desk.type("purge", "--older-than", "90d").out


@pytest.mark.parametrize("span", ["90", "tomorrow", "-3d"])
def test_an_invalid_period_is_rejected(office, span):
    result = office().type("purge", f"--older-than={span}")

    assert result.code == 2
    assert "for example 90d" in result.err
