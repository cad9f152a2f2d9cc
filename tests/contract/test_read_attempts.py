"""A roster that kills the process that reads it is read twice, and then refused with the reason."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.builders import a_job
from worker.errors import UnreadableRoster
from worker.intake import attempts
from worker.intake.importing import import_roster
from worker.ledger import jobs, key_value, schema
from worker.model import JobState, RowRules

if TYPE_CHECKING:
    from pathlib import Path

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


def test_a_roster_that_killed_its_reader_twice_is_refused_with_the_reason(
    ledger: Ledger, ledger_url: str, job_id: int
) -> None:
    die(ledger_url, job_id, at=1)
    die(ledger_url, job_id, at=1)

    with pytest.raises(UnreadableRoster, match=r"ended or frozen Roster 2 times, so it is not read again. Open it"):
        read(ledger, job_id)

    with ledger.read() as tx:
        job = jobs.find_job(tx, job_id)
        assert job is not None
        assert job.state is JobState.INVALID
        assert "ended or frozen Roster 2 times" in job.reason
        assert tx.execute(schema.row.select()).all() == []


def test_a_roster_that_killed_its_reader_once_is_read(ledger: Ledger, ledger_url: str, job_id: int) -> None:
    die(ledger_url, job_id, at=1)

    assert read(ledger, job_id) is JobState.QUEUED
    with ledger.read() as tx:
        assert key_value.get(tx, f"reading:{job_id}") is None


def test_attempts_that_read_further_each_time_are_not_counted(ledger: Ledger, ledger_url: str, job_id: int) -> None:
    die(ledger_url, job_id, at=1)
    die(ledger_url, job_id, at=2)

    assert read(ledger, job_id) is JobState.QUEUED


def test_an_attempt_that_ends_by_an_error_is_not_counted(ledger: Ledger, job_id: int) -> None:
    class DiskFull(Exception):
        pass

    def fail() -> None:
        raise DiskFull

    for _ in range(attempts.MAX_ATTEMPTS + 1):
        with pytest.raises(DiskFull):
            import_roster(ledger, job_id, RULES, owner=OWNER, chunk_context=fail)

    assert read(ledger, job_id) is JobState.QUEUED
