"""Commits that calls in flight share: each whole or not at all, and none spoilt by another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, select, text

from tests.builders import a_job, a_job_of, a_row, claimed, line_of, lines_of, open_ledger, reported, works_of
from worker.errors import LedgerError, StaleClaim
from worker.ledger import intents, jobs, rows, schema
from worker.ledger.intents import Outcome
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
    works = works_of(ledger, claim)
    seen = commits_of(ledger)

    await asyncio.gather(*(ledger.commit(*intents.sending_registration(claim, work)) for work in works))

    assert len(seen) <= 5
    assert {line.state for line in lines_of(ledger, schema.registration)} == {RegistrationState.SENDING}
    assert {line.attempts for line in lines_of(ledger, schema.row)} == {1}


async def test_a_commit_is_on_disk_when_it_returns(ledger: Ledger, tmp_path: Path) -> None:
    job_id = a_job_of(ledger, a_row(2))
    claim = claimed(ledger, job_id)
    (work,) = works_of(ledger, claim)

    await ledger.commit(*intents.sending_candidate(claim, work))

    other = open_ledger(tmp_path)
    assert line_of(other, schema.candidate, work.candidate.id).state == CandidateState.SENDING
    other.close()


async def test_a_stale_commit_among_many_fails_alone_and_writes_nothing(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, *(a_row(number) for number in range(2, 12)))
    claim = claimed(ledger, job_id)
    works = works_of(ledger, claim)
    with ledger.write() as tx:
        theirs = schema.registration.c.id == works[4].registration.id
        tx.execute(schema.registration.update().where(theirs).values(claimed_by="9:9"))

    results = await asyncio.gather(
        *(ledger.commit(*intents.sending_registration(claim, work)) for work in works), return_exceptions=True
    )

    assert [isinstance(result, StaleClaim) for result in results] == [place == 4 for place in range(10)]
    states = [line.state for line in lines_of(ledger, schema.registration)]
    assert states == [RegistrationState.NEW if place == 4 else RegistrationState.SENDING for place in range(10)]
    assert [line.attempts for line in lines_of(ledger, schema.row)] == [int(place != 4) for place in range(10)]


async def test_a_commit_is_written_whole_or_not_at_all(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2), a_row(3))
    claim = claimed(ledger, job_id)
    good, bad = works_of(ledger, claim)
    with ledger.write() as tx:
        theirs = schema.registration.c.id == bad.registration.id
        tx.execute(schema.registration.update().where(theirs).values(claimed_by="9:9"))

    with pytest.raises(StaleClaim):
        await ledger.commit(*intents.sending_registration(claim, good), *intents.sending_registration(claim, bad))

    assert {line.state for line in lines_of(ledger, schema.registration)} == {RegistrationState.NEW}
    assert {line.attempts for line in lines_of(ledger, schema.row)} == {0}


async def test_a_broken_statement_among_many_takes_no_other_down(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, *(a_row(number) for number in range(2, 7)))
    claim = claimed(ledger, job_id)
    works = works_of(ledger, claim)

    results = await asyncio.gather(
        ledger.commit(Write(text("UPDATE nothing SET x = :x"), {"x": 1})),
        *(ledger.commit(*intents.sending_registration(claim, work)) for work in works),
        return_exceptions=True,
    )

    assert isinstance(results[0], LedgerError)
    assert results[1:] == [None] * 5
    assert {line.attempts for line in lines_of(ledger, schema.row)} == {1}


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
    assert line_of(ledger, schema.job, job_id).reason == "named"


async def test_commits_of_one_caller_are_written_in_the_order_in_which_it_made_them(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2))
    claim = claimed(ledger, job_id)
    (work,) = works_of(ledger, claim)

    for status in (RowStatus.IN_DOUBT, RowStatus.REJECTED, RowStatus.REGISTERED):
        await ledger.commit(intents.settled(claim, work, Outcome(status=status)))

    assert reported(ledger, job_id, 2).status is RowStatus.REGISTERED


async def test_functions_and_writes_may_share_a_commit(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2))
    claim = claimed(ledger, job_id)
    (work,) = works_of(ledger, claim)

    _, tally = await asyncio.gather(
        ledger.commit(intents.settled(claim, work, Outcome(status=RowStatus.REJECTED))),
        ledger.run(lambda tx: rows.tally(tx, job_id)),
    )

    assert tally.by_status[RowStatus.REJECTED] == 1


async def test_whoever_is_cancelled_while_waiting_spoils_nothing_for_the_others(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2), a_row(3))
    claim = claimed(ledger, job_id)
    one, two = works_of(ledger, claim)
    impatient = asyncio.create_task(ledger.commit(*intents.sending_registration(claim, one)))
    patient = asyncio.create_task(ledger.commit(*intents.sending_registration(claim, two)))
    await asyncio.sleep(0)

    impatient.cancel()
    await patient

    assert line_of(ledger, schema.registration, two.registration.id).state == RegistrationState.SENDING
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_a_ledger_serves_one_event_loop_after_the_other(ledger: Ledger) -> None:
    async def count() -> int:
        return await ledger.run(lambda tx: len(list(tx.execute(select(schema.job.c.id)))))

    assert await asyncio.to_thread(lambda: asyncio.run(count())) == 0
    assert await count() == 0


def test_a_rehearsal_leaves_nothing_behind(ledger: Ledger) -> None:
    with ledger.rehearse() as tx:
        a_job(tx)
        assert len(jobs.list_jobs(tx)) == 1

    assert lines_of(ledger, schema.job) == []


def test_a_reader_sees_one_state_throughout(ledger: Ledger, tmp_path: Path) -> None:
    other = open_ledger(tmp_path)
    with ledger.read() as tx:
        before = len(jobs.list_jobs(tx))
        with other.write() as elsewhere:
            a_job(elsewhere)

        assert len(jobs.list_jobs(tx)) == before
    other.close()
    assert len(lines_of(ledger, schema.job)) == before + 1


def test_a_reader_cannot_write_by_mistake_and_hold_others_up(ledger: Ledger, tmp_path: Path) -> None:
    other = open_ledger(tmp_path)
    with ledger.read() as tx:
        jobs.list_jobs(tx)
        with other.write() as elsewhere:
            a_job(elsewhere)
    other.close()

    assert len(lines_of(ledger, schema.job)) == 1
