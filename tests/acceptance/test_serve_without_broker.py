"""`roster serve` without a broker runs the jobs itself: submitted, at the same time, killed and started again."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing

import pytest

from tests.conftest import Running, wait_for_sweeps, wait_until

pytestmark = pytest.mark.slow

PEOPLE = 40


@pytest.fixture
def shop(office):
    """An office whose `roster serve` sweeps often."""

    def opened(lms, **connection):
        terminal = office(lms, **connection)
        terminal.environment["ROSTER_SWEEP_SECONDS"] = "0.2"
        return terminal

    return opened


def serve(terminal) -> Running:
    running = terminal.start("serve", "--port", 0)
    wait_until(lambda: _swept_since(terminal, running), "the first sweep")
    return running


def _swept_since(terminal, running: Running) -> bool:
    assert not running.is_over, running.err.read_text("utf-8")
    return terminal.type("doctor", "--swept").code == 0


def submit(terminal, *words) -> int:
    result = terminal.type("submit", *words, "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)["job"]


def summary(terminal, job: int) -> dict:
    return terminal.type("status", job, "--json").summary


def ended(terminal, job: int) -> bool:
    return summary(terminal, job)["state"] in {"succeeded", "completed_with_errors", "invalid"}


def test_a_submitted_roster_is_run_and_its_reports_are_written(sandbox, shop):
    lms = sandbox()
    terminal = shop(lms)
    serve(terminal)
    terminal.people("roster.csv", PEOPLE)

    job = submit(terminal, "roster.csv")
    wait_until((terminal.folder / "reports" / "roster.summary.json").is_file, "the reports")

    assert summary(terminal, job)["by_status"]["registered"] == PEOPLE
    lms.nobody_twice()


def test_a_short_job_ends_while_a_long_one_runs(sandbox, shop):
    lms = sandbox(latency=0.02)
    terminal = shop(lms, rate="15/second")
    serve(terminal)
    terminal.people("long.csv", 2_000)
    terminal.people("short.csv", 5, first=1000)
    long = submit(terminal, "long.csv")
    lms.until(lambda lms: lms.calls() > 3, "calls of the long one")

    short = submit(terminal, "short.csv")
    wait_until(lambda: ended(terminal, short), "the end of the short one")

    assert summary(terminal, long)["by_status"]["not_attempted"] > 100


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_server_was_doing_is_continued_by_the_next(sandbox, shop, sent):
    lms = sandbox(latency=0.05)
    terminal = shop(lms, batch_size=10)
    running = serve(terminal)
    terminal.people("roster.csv", PEOPLE)
    job = submit(terminal, "roster.csv")
    lms.until(lambda lms: lms.calls() > 10, "calls")

    running.process.send_signal(sent)
    running.process.wait(30)
    serve(terminal)
    wait_until(lambda: ended(terminal, job), "the end of the job")

    counts = {status: count for status, count in summary(terminal, job)["by_status"].items() if count}
    assert sum(counts.values()) == PEOPLE
    assert set(counts) <= ({"registered", "in_doubt"} if sent is signal.SIGKILL else {"registered"})
    lms.nobody_twice()


def test_a_paused_job_stays_paused_until_it_is_resumed(sandbox, shop):
    lms = sandbox(latency=0.05)
    terminal = shop(lms, rate="15/second")
    serve(terminal)
    terminal.people("roster.csv", PEOPLE)
    job = submit(terminal, "roster.csv")
    lms.until(lambda lms: lms.calls() > 5, "calls")

    assert terminal.type("pause", job).code == 0
    wait_until(lambda: not _holds_a_batch(terminal), "the pause")
    before = lms.calls()
    wait_for_sweeps(f"sqlite:///{terminal.folder / 'roster.db'}", 5)
    assert lms.calls() == before

    assert terminal.resume(job).counts == {"registered": PEOPLE}


def _holds_a_batch(terminal) -> bool:
    with closing(sqlite3.connect(terminal.folder / "roster.db")) as connection:
        return bool(connection.execute("select id from batch where state = 'running'").fetchone())


def test_without_a_server_nothing_is_submitted(office, sandbox):
    terminal = office(sandbox())
    terminal.people("roster.csv", 3)

    result = terminal.type("submit", "roster.csv")

    assert result.code == 2
    assert "roster serve" in result.err
    assert terminal.type("jobs", "--json").json == []
