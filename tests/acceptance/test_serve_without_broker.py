"""`roster serve` without a broker runs the jobs itself: submitted, at the same time, killed and started again."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing

import pytest

from tests.conftest import Running, wait_for_sweeps, wait_until

PEOPLE = 40


@pytest.fixture
def shop(office):
    """An office whose `roster serve` sweeps often."""

    def opened(lms, **connection):
        desk = office(lms, **connection)
        desk.environment["ROSTER_SWEEP_SECONDS"] = "0.2"
        return desk

    return opened


def serve(desk) -> Running:
    running = desk.start("serve", "--port", 0)
    wait_until(lambda: _swept_since(desk, running), "the first sweep")
    return running


def _swept_since(desk, running: Running) -> bool:
    assert not running.is_over, running.err.read_text("utf-8")
    return desk.type("doctor", "--swept").code == 0


def submit(desk, *words) -> int:
    result = desk.type("submit", *words, "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)["job"]


def summary(desk, job: int) -> dict:
    return desk.type("status", job, "--json").summary


def ended(desk, job: int) -> bool:
    return summary(desk, job)["state"] in {"succeeded", "completed_with_errors", "invalid"}


def test_a_submitted_roster_is_run_and_its_reports_are_written(sandbox, shop):
    lms = sandbox()
    desk = shop(lms)
    serve(desk)
    desk.people("roster.csv", PEOPLE)

    job = submit(desk, "roster.csv")
    wait_until((desk.folder / "reports" / "roster.summary.json").is_file, "the reports")

    assert summary(desk, job)["by_status"]["registered"] == PEOPLE
    lms.nobody_twice()


def test_a_short_job_ends_while_a_long_one_runs(sandbox, shop):
    lms = sandbox(latency=0.02)
    desk = shop(lms, rate="15/second")
    serve(desk)
    desk.people("long.csv", 2_000)
    desk.people("short.csv", 5, first=1000)
    long = submit(desk, "long.csv")
    lms.until(lambda lms: lms.calls() > 3, "calls of the long one")

    short = submit(desk, "short.csv")
    wait_until(lambda: ended(desk, short), "the end of the short one")

    assert summary(desk, long)["by_status"]["not_attempted"] > 100


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_server_was_doing_is_continued_by_the_next(sandbox, shop, sent):
    lms = sandbox(latency=0.05)
    desk = shop(lms, batch_size=10)
    running = serve(desk)
    desk.people("roster.csv", PEOPLE)
    job = submit(desk, "roster.csv")
    lms.until(lambda lms: lms.calls() > 10, "calls")

    running.process.send_signal(sent)
    running.process.wait(30)
    serve(desk)
    wait_until(lambda: ended(desk, job), "the end of the job")

    counts = {status: count for status, count in summary(desk, job)["by_status"].items() if count}
    assert sum(counts.values()) == PEOPLE
    assert set(counts) <= ({"registered", "in_doubt"} if sent is signal.SIGKILL else {"registered"})
    lms.nobody_twice()


def test_a_paused_job_stays_paused_until_it_is_resumed(sandbox, shop):
    lms = sandbox(latency=0.05)
    desk = shop(lms, rate="15/second")
    serve(desk)
    desk.people("roster.csv", PEOPLE)
    job = submit(desk, "roster.csv")
    lms.until(lambda lms: lms.calls() > 5, "calls")

    assert desk.type("pause", job).code == 0
    wait_until(lambda: not _holds_a_batch(desk), "the pause")
    before = lms.calls()
    wait_for_sweeps(f"sqlite:///{desk.folder / 'roster.db'}", 5)
    assert lms.calls() == before

    assert desk.resume(job).counts == {"registered": PEOPLE}


def _holds_a_batch(desk) -> bool:
    with closing(sqlite3.connect(desk.folder / "roster.db")) as connection:
        return bool(connection.execute("select id from batch where state = 'running'").fetchone())


def test_without_a_server_nothing_is_submitted(office, sandbox):
    desk = office(sandbox())
    desk.people("roster.csv", 3)

    result = desk.type("submit", "roster.csv")

    assert result.code == 2
    assert "roster serve" in result.err
    assert desk.type("jobs", "--json").json == []
