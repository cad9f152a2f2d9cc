"""A roster that kills the process that reads it is refused with the reason; one that was interrupted is read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.builders import a_job
from tests.conftest import wait_until
from worker.errors import UnreadableRoster
from worker.intake import attempts
from worker.intake.importing import import_roster
from worker.ledger import jobs, key_value, schema
from worker.model import JobState, RowRules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.ledger.transactions import Ledger

OWNER = "here/2/2.0"
RULES = RowRules(needs_behavior=False)
#: Reads the roster of a job, and dies when it begins the transaction of that number.
READER = """
import contextlib, os, sys
from worker.intake.importing import import_roster
from worker.ledger.database import open_engine
from worker.ledger.transactions import Ledger
from worker.model import RowRules

url, job_id, owner, deadly = sys.argv[1:]
transactions = iter(range(1, 1_000))

@contextlib.contextmanager
def begin():
    if next(transactions) == int(deadly):
        os.kill(os.getpid(), 9)
    yield

rules = RowRules(needs_behavior=False)
import_roster(Ledger(open_engine(url)), int(job_id), rules, owner=owner, chunk_context=begin, in_child=True)
"""


@pytest.fixture
def job_id(ledger: Ledger, tmp_path: Path) -> int:
    roster = tmp_path / "roster.csv"
    roster.write_text("email,first_name,last_name,course_id\na@x.example,A,B,58\n")
    with ledger.write() as tx:
        id_ = a_job(tx, JobState.UPLOADED, stored_path=str(roster))
        assert jobs.claim_job(tx, id_, OWNER)
    return id_


def die(ledger_url: str, job_id: int, *, at: int) -> None:
    command = [sys.executable, "-c", READER, ledger_url, str(job_id), OWNER, str(at)]
    assert subprocess.run(command, check=False, timeout=120).returncode == -9


def read(ledger: Ledger, job_id: int) -> JobState:
    import_roster(ledger, job_id, RULES, owner=OWNER)
    with ledger.read() as tx:
        return jobs.state_of(tx, job_id)


@pytest.fixture
def endless(ledger: Ledger, job_id: int, tmp_path: Path) -> int:
    """A job whose roster is never read to its end, and whose first attempt died."""
    path = tmp_path / "endless"
    os.mkfifo(path)
    with ledger.write() as tx:
        jobs.change_job(tx, job_id, stored_path=str(path))
        attempts.begin(tx, job_id)
    return job_id


@pytest.fixture
def reading(ledger: Ledger, endless: int) -> Iterator[Future[JobState]]:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(read, ledger, endless)
        yield future
        kill_trials(future)


def signalled_trials(*numbers: int) -> list[int]:
    """Send signals to the processes that read the roster on trial; return the ids of those that got them."""
    reached = []
    for process in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if "worker.intake.trial" in process.cmdline():
                for number in numbers:
                    process.send_signal(number)
                reached.append(process.pid)
    return reached


def kill_trials(reading: Future[JobState]) -> None:
    """Kill each process that reads the roster on trial until the reading has ended."""

    def has_ended() -> bool:
        signalled_trials(signal.SIGKILL)
        return reading.done()

    wait_until(has_ended, "the end of the reading")


def test_a_roster_that_kills_its_reader_again_is_refused_with_the_reason(
    ledger: Ledger, endless: int, reading: Future[JobState]
) -> None:
    kill_trials(reading)

    with pytest.raises(UnreadableRoster, match=r"ends the process that reads it .* not read again. Open it"):
        reading.result()

    with ledger.read() as tx:
        job = jobs.find_job(tx, endless)
        assert job is not None
        assert job.state is JobState.INVALID
        assert "ends the process that reads it" in job.reason
        assert tx.execute(schema.row.select()).all() == []
        assert key_value.get(tx, f"reading:{endless}") is None


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_a_signal_that_stops_roster_says_nothing_about_the_roster(reading: Future[JobState]) -> None:
    wait_until(lambda: signalled_trials(signal.SIGTERM, signal.SIGINT, signal.SIGHUP), "the trial")
    kill_trials(reading)

    with pytest.raises(UnreadableRoster, match=r"\(exit -9\)"):
        reading.result()


def test_a_roster_whose_reader_is_killed_at_each_bad_moment_is_read(
    ledger: Ledger, ledger_url: str, job_id: int
) -> None:
    with ledger.write() as tx:
        for _ in range(3):
            attempts.begin(tx, job_id)
    die(ledger_url, job_id, at=1)

    assert read(ledger, job_id) is JobState.QUEUED
    with ledger.read() as tx:
        assert key_value.get(tx, f"reading:{job_id}") is None


def test_a_roster_that_is_wrong_in_another_way_is_refused_for_that(ledger: Ledger, job_id: int) -> None:
    with ledger.write() as tx:
        job = jobs.find_job(tx, job_id)
        assert job is not None
        Path(job.stored_path).write_text('email,first_name\na@x.example,"A\n')
        attempts.begin(tx, job_id)

    with pytest.raises(UnreadableRoster, match="a quotation mark opens a cell"):
        read(ledger, job_id)


def test_there_is_an_end_to_attempts(ledger: Ledger, job_id: int) -> None:
    with ledger.write() as tx:
        for _ in range(attempts.MAX_ATTEMPTS):
            attempts.begin(tx, job_id)

    with pytest.raises(
        UnreadableRoster, match=r"ended or frozen Roster 20 times, so it is not read again. Open it"
    ):
        read(ledger, job_id)


def test_attempts_that_read_further_each_time_are_not_counted(ledger: Ledger, ledger_url: str, job_id: int) -> None:
    die(ledger_url, job_id, at=1)
    die(ledger_url, job_id, at=2)

    assert read(ledger, job_id) is JobState.QUEUED


def test_an_attempt_that_ends_by_an_error_is_not_counted(ledger: Ledger, job_id: int) -> None:
    class DiskFull(Exception):
        pass

    def fail() -> None:
        raise DiskFull

    for _ in range(3):
        with pytest.raises(DiskFull):
            import_roster(ledger, job_id, RULES, owner=OWNER, chunk_context=fail)

    assert read(ledger, job_id) is JobState.QUEUED
