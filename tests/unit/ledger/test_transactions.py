"""Commits that calls in flight share: each whole or not at all, and none spoilt by another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, select, text

from tests.builders import a_job, a_job_of, a_row, claimed, items_of, open_ledger, record_of, records_of, reported
from worker.errors import LedgerError, StaleClaim
from worker.ledger import intents, jobs, rows, schema
from worker.ledger.intents import RowOutcome
from worker.ledger.transactions import Write
from worker.model import CandidateState, RegistrationState, RowStatus

if TYPE_CHECKING:
    from pathlib import Path

    from worker.ledger.transactions import Ledger


def commits_of(ledger: Ledger) -> list[int]:
    """Return a list that grows by one with every commit."""
    seen: list[int] = []
    event.listen(ledger.engine, "commit", lambda _: seen.append(1))
    return seen


async def test_many_commits_at_once_share_a_few_transactions_and_all_are_written(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, *(a_row(number) for number in range(2, 202)), size=500)
    claim = claimed(ledger, job_id)
    works = items_of(ledger, claim)
    seen = commits_of(ledger)

    await asyncio.gather(
        *(ledger.commit(*intents.intent_to_create(claim, work, work.registration)) for work in works)
    )

    assert len(seen) <= 5
    assert {record.state for record in records_of(ledger, schema.registration)} == {RegistrationState.SENDING}
    assert {record.attempts for record in records_of(ledger, schema.row)} == {1}


async def test_a_commit_is_on_disk_when_it_returns(ledger: Ledger, tmp_path: Path) -> None:
    job_id = a_job_of(ledger, a_row(2))
    claim = claimed(ledger, job_id)
    (work,) = items_of(ledger, claim)

    await ledger.commit(*intents.intent_to_create(claim, work, work.candidate))

    other = open_ledger(tmp_path)
    assert record_of(other, schema.candidate, work.candidate.id).state == CandidateState.SENDING
    other.close()


async def test_a_stale_commit_among_many_fails_alone_and_writes_nothing(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, *(a_row(number) for number in range(2, 12)))
    claim = claimed(ledger, job_id)
    works = items_of(ledger, claim)
    with ledger.write() as tx:
        theirs = schema.registration.c.id == works[4].registration.id
        tx.execute(schema.registration.update().where(theirs).values(claimed_by="9:9"))

    results = await asyncio.gather(
        *(ledger.commit(*intents.intent_to_create(claim, work, work.registration)) for work in works),
        return_exceptions=True,
    )

    assert [isinstance(result, StaleClaim) for result in results] == [place == 4 for place in range(10)]
    states = [record.state for record in records_of(ledger, schema.registration)]
    assert states == [RegistrationState.NEW if place == 4 else RegistrationState.SENDING for place in range(10)]
    assert [record.attempts for record in records_of(ledger, schema.row)] == [
        int(place != 4) for place in range(10)
    ]


async def test_a_commit_is_written_completely_or_not_at_all(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2), a_row(3))
    claim = claimed(ledger, job_id)
    good, bad = items_of(ledger, claim)
    with ledger.write() as tx:
        theirs = schema.registration.c.id == bad.registration.id
        tx.execute(schema.registration.update().where(theirs).values(claimed_by="9:9"))

    with pytest.raises(StaleClaim):
        await ledger.commit(
            *intents.intent_to_create(claim, good, good.registration),
            *intents.intent_to_create(claim, bad, bad.registration),
        )

    assert {record.state for record in records_of(ledger, schema.registration)} == {RegistrationState.NEW}
    assert {record.attempts for record in records_of(ledger, schema.row)} == {0}


async def test_a_broken_statement_among_many_takes_no_other_down(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, *(a_row(number) for number in range(2, 7)))
    claim = claimed(ledger, job_id)
    works = items_of(ledger, claim)

    results = await asyncio.gather(
        ledger.commit(Write(text("UPDATE nothing SET x = :x"), {"x": 1})),
        *(ledger.commit(*intents.intent_to_create(claim, work, work.registration)) for work in works),
        return_exceptions=True,
    )

    assert isinstance(results[0], LedgerError)
    assert results[1:] == [None] * 5
    assert {record.attempts for record in records_of(ledger, schema.row)} == {1}


async def test_a_function_that_fails_keeps_its_own_error_and_takes_no_other_down(ledger: Ledger) -> None:
    with ledger.write() as tx:
        job_id = a_job(tx)

    def breaks(_: Any) -> None:
        raise KeyError("mine")

    broken, named = await asyncio.gather(
        ledger.run(breaks),
        ledger.run(lambda tx: jobs.change_job(tx, job_id, reason="named")),
        return_exceptions=True,
    )

    assert isinstance(broken, KeyError)
    assert named is True
    assert record_of(ledger, schema.job, job_id).reason == "named"


@pytest.mark.parametrize("error", [StopIteration, SystemExit])
async def test_an_error_that_no_caller_can_be_given_leaves_nobody_waiting(
    ledger: Ledger, error: type[BaseException]
) -> None:
    def breaks(_: Any) -> None:
        raise error

    async with asyncio.timeout(20):
        broken, other = await asyncio.gather(
            ledger.run(breaks), ledger.run(lambda _: "done"), return_exceptions=True
        )
        later = await ledger.run(lambda _: "done")

    assert isinstance(broken, LedgerError)
    assert [other, later] == ["done", "done"]


async def test_commits_of_one_caller_are_written_in_the_order_in_which_it_made_them(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2))
    claim = claimed(ledger, job_id)
    (work,) = items_of(ledger, claim)

    for status in (RowStatus.IN_DOUBT, RowStatus.REJECTED, RowStatus.REGISTERED):
        await ledger.commit(intents.row_outcome(claim, work, RowOutcome(status=status)))

    assert reported(ledger, job_id, 2).status is RowStatus.REGISTERED


async def test_functions_and_writes_may_share_a_commit(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2))
    claim = claimed(ledger, job_id)
    (work,) = items_of(ledger, claim)

    _, tally = await asyncio.gather(
        ledger.commit(intents.row_outcome(claim, work, RowOutcome(status=RowStatus.REJECTED))),
        ledger.run(lambda tx: rows.count_rows(tx, job_id)),
    )

    assert tally.by_status[RowStatus.REJECTED] == 1


async def test_a_caller_that_is_cancelled_while_waiting_does_not_affect_the_others(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2), a_row(3))
    claim = claimed(ledger, job_id)
    one, two = items_of(ledger, claim)
    impatient = asyncio.create_task(ledger.commit(*intents.intent_to_create(claim, one, one.registration)))
    patient = asyncio.create_task(ledger.commit(*intents.intent_to_create(claim, two, two.registration)))
    await asyncio.sleep(0)

    impatient.cancel()
    await patient

    assert record_of(ledger, schema.registration, two.registration.id).state == RegistrationState.SENDING
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_a_ledger_serves_one_event_loop_after_the_other(ledger: Ledger) -> None:
    async def count() -> int:
        return await ledger.run(lambda tx: len(list(tx.execute(select(schema.job.c.id)))))

    assert await asyncio.to_thread(lambda: asyncio.run(count())) == 0
    assert await count() == 0


def test_a_dry_run_leaves_nothing_behind(ledger: Ledger) -> None:
    with ledger.dry_run() as tx:
        a_job(tx)
        assert len(jobs.list_jobs(tx)) == 1

    assert records_of(ledger, schema.job) == []


def test_a_reader_sees_one_snapshot(ledger: Ledger, tmp_path: Path) -> None:
    other = open_ledger(tmp_path)
    with ledger.read() as tx:
        before = len(jobs.list_jobs(tx))
        with other.write() as elsewhere:
            a_job(elsewhere)

        assert len(jobs.list_jobs(tx)) == before
    other.close()
    assert len(records_of(ledger, schema.job)) == before + 1


def test_a_reader_cannot_write_by_mistake_and_block_others(ledger: Ledger, tmp_path: Path) -> None:
    other = open_ledger(tmp_path)
    with ledger.read() as tx:
        jobs.list_jobs(tx)
        with other.write() as elsewhere:
            a_job(elsewhere)
    other.close()

    assert len(records_of(ledger, schema.job)) == 1
