"""A long import yields to short running jobs, for a bounded time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from tests.builders import a_candidate, a_job, a_job_of, a_row, change_records
from tests.conftest import LONGEST_SECONDS, wait_until
from worker.intake import storage
from worker.intake.importing import import_roster
from worker.ledger import jobs, queue, schema
from worker.ledger.database import now
from worker.ledger.importing import CHUNK_ROWS
from worker.ledger.leases import owner_name
from worker.model import Driver, JobState, RowRules, RowStatus
from worker.runtime.yielding import MAX_WRITERS, YieldBudget

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.ledger.jobs import Job
    from worker.ledger.transactions import Ledger


def a_running_job(ledger: Ledger, rows: int = 3, **changes: object) -> int:
    roster = (a_row(number, a_candidate(email=f"p{number}@example.com")) for number in range(2, rows + 2))
    return a_job_of(ledger, *roster, **{"driver": Driver.QUEUE, **changes})


def an_import_of(ledger: Ledger, folder: Path, rows: int) -> Job:
    kept = folder / "kept.csv"
    kept.write_bytes(b"x" * rows * storage.BYTES_PER_ROW)
    with ledger.write() as tx:
        job_id = a_job(tx, JobState.VALIDATING, driver=Driver.QUEUE, stored_path=str(kept))
        job = jobs.find_job(tx, job_id)
    assert job is not None
    return job


def test_a_long_import_waits_for_a_short_job_and_continues_when_that_is_done(
    ledger: Ledger, tmp_path: Path
) -> None:
    a_running_job(ledger)
    budget = YieldBudget.of(ledger, an_import_of(ledger, tmp_path, 20_000))
    importing = Thread(target=budget.yield_to_short_jobs)
    importing.start()
    importing.join(0.5)
    waited = importing.is_alive()

    change_records(ledger, schema.row, status=RowStatus.REGISTERED)
    importing.join(10)

    assert waited
    assert not importing.is_alive()


@pytest.mark.parametrize(("rows", "seconds"), [(100, 0), (300, 3), (1_000, 10), (20_000, 20)])
def test_the_longer_a_roster_the_longer_its_import_waits_for_short_jobs(
    ledger: Ledger, tmp_path: Path, rows: int, seconds: float
) -> None:
    assert YieldBudget.of(ledger, an_import_of(ledger, tmp_path, rows)).seconds_left == pytest.approx(seconds)


def test_an_import_of_a_few_hundred_rows_waits_only_for_much_shorter_jobs(ledger: Ledger, tmp_path: Path) -> None:
    a_running_job(ledger, rows=120)
    began = time.monotonic()

    YieldBudget.of(ledger, an_import_of(ledger, tmp_path, 400)).yield_to_short_jobs()
    next_to_a_similar_one = time.monotonic() - began
    YieldBudget.of(ledger, an_import_of(ledger, tmp_path, 500)).yield_to_short_jobs()

    assert next_to_a_similar_one < 2
    assert time.monotonic() - began >= 5


def test_the_budget_is_for_all_chunks_together(ledger: Ledger, tmp_path: Path) -> None:
    a_running_job(ledger)
    budget = YieldBudget(ledger, an_import_of(ledger, tmp_path, 20_000).id, short_rows=3, seconds_left=0.4)
    began = time.monotonic()

    for _ in range(40):
        budget.yield_to_short_jobs()

    assert 0.4 <= time.monotonic() - began < 40 * 0.4 / 2


@pytest.mark.parametrize(
    ("changes", "yields"),
    [
        ({}, True),
        ({"rows": 201}, False),
        ({"state": JobState.PAUSED}, False),
        ({"state": JobState.WAITING}, False),
        ({"driver": Driver.PROCESS}, False),
    ],
    ids=["few rows left", "many rows left", "paused", "waiting", "another process's"],
)
def test_to_which_jobs_an_import_yields(ledger: Ledger, changes: dict[str, object], *, yields: bool) -> None:
    a_running_job(ledger, **changes)  # type: ignore[arg-type]
    with ledger.write() as tx:
        mine = a_job(tx, JobState.VALIDATING, driver=Driver.QUEUE)

        assert queue.short_job_is_running(tx, mine, storage.estimate_rows) is yields


def test_an_import_yields_to_the_import_of_a_short_roster(ledger: Ledger, tmp_path: Path) -> None:
    short = an_import_of(ledger, tmp_path, 20)
    with ledger.write() as tx:
        mine = a_job(tx, JobState.VALIDATING, driver=Driver.QUEUE)
        new = queue.short_job_is_running(tx, mine, storage.estimate_rows)
        jobs.change_job(tx, short.id, created_at=now() - 60)
        unclaimed = queue.short_job_is_running(tx, mine, storage.estimate_rows)
        jobs.claim_job(tx, short.id, owner_name())

        assert new
        assert not unclaimed
        assert queue.short_job_is_running(tx, mine, storage.estimate_rows)
        assert not queue.short_job_is_running(tx, short.id, storage.estimate_rows)


def chunk_slots_of(ledger: Ledger, folder: Path, rows: int) -> int:
    kept, slots, me = folder / f"{rows}.csv", [], owner_name()
    people = [f"p{number}@example.com,Ana,A,58" for number in range(rows)]
    kept.write_text("\n".join(["email,first_name,last_name,course_id", *people]))
    with ledger.write() as tx:
        job_id = a_job(tx, JobState.UPLOADED, driver=Driver.QUEUE, stored_path=str(kept))
        jobs.claim_job(tx, job_id, me)

    @contextmanager
    def slot() -> Iterator[None]:
        slots.append(rows)
        yield

    import_roster(ledger, job_id, RowRules(), owner=me, chunk_context=slot)
    return len(slots)


def test_each_chunk_of_a_roster_is_written_in_a_slot_of_its_own(ledger: Ledger, tmp_path: Path) -> None:
    short = chunk_slots_of(ledger, tmp_path, 10)

    assert chunk_slots_of(ledger, tmp_path, 2 * CHUNK_ROWS + 10) == short + 2


def test_a_few_chunks_are_written_at_once_and_the_others_hold_no_database_connection(
    ledger: Ledger, tmp_path: Path
) -> None:
    writing, most, gate = [], [], Event()
    budgets = [YieldBudget.of(ledger, an_import_of(ledger, tmp_path, 10)) for _ in range(6)]

    def write(budget: YieldBudget) -> None:
        with budget.chunk_slot():
            writing.append(budget)
            most.append(len(writing))
            gate.wait(LONGEST_SECONDS)
            writing.remove(budget)

    imports = [Thread(target=write, args=(budget,)) for budget in budgets]
    for importing in imports:
        importing.start()
    wait_until(lambda: len(writing) >= MAX_WRITERS, "the writers")
    gate.set()
    for importing in imports:
        importing.join(LONGEST_SECONDS)

    assert max(most) == MAX_WRITERS
    assert len(most) == len(budgets)
