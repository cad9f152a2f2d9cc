"""Claims on batches: one of two wins, a lease, what a dead worker leaves behind, and fencing against zombies."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.builders import (
    ELSEWHERE,
    a_candidate,
    a_course,
    a_job_of,
    a_row,
    change_records,
    claimed,
    items_of,
    open_batches_of,
    open_ledger,
    plan,
    record_of,
    records_of,
    reported,
    statuses_of,
)
from worker.errors import StaleClaim
from worker.ledger import batches, intents, schema
from worker.ledger.batches import INTERRUPTED, BatchPlan
from worker.ledger.database import now
from worker.ledger.intents import RowOutcome
from worker.ledger.leases import LEASE_SECONDS, is_alive, owner_name
from worker.model import CandidateState, JobState, RegistrationState, RowStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.ledger.transactions import Ledger

CLAIMANT = """
import sys, time
from pathlib import Path
from sqlalchemy import update
from worker.ledger import batches, schema
from worker.ledger.transactions import Ledger
from worker.ledger.database import open_engine
from worker.ledger.leases import owner_name
ledger = Ledger(open_engine(sys.argv[1]))
with ledger.write() as tx:
    claim = batches.claim_batch(tx, int(sys.argv[2]), owner_name())
    for table in (schema.candidate, schema.registration):
        held = update(table).where(table.c.claimed_by == claim.token)
        tx.execute(held.values(state="sending", row_id=table.c.id))
print("claimed", flush=True)
time.sleep(600)
"""


@pytest.fixture
def worker_process(ledger: Ledger) -> Iterator[object]:
    """Start a real process that claims a batch, records that it is sending, and then blocks."""
    started: list[subprocess.Popen[str]] = []

    def start(batch_id: int) -> subprocess.Popen[str]:
        url = str(ledger.engine.url)
        command = [sys.executable, "-c", CLAIMANT, url, str(batch_id)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def reap(ledger: Ledger, job_id: int | None = None) -> int:
    with ledger.write() as tx:
        return batches.reopen_abandoned(tx, job_id)


def let_the_lease_end(ledger: Ledger) -> None:
    change_records(ledger, schema.batch, lease_until=now() - 1)


def test_of_two_workers_that_claim_a_batch_only_one_gets_it(ledger: Ledger) -> None:
    batch_id = open_batches_of(ledger, a_job_of(ledger, a_row(2)))[0].id

    with ledger.write() as tx:
        won = batches.claim_batch(tx, batch_id, owner_name())
    with ledger.write() as tx:
        lost = batches.claim_batch(tx, batch_id, ELSEWHERE)

    assert won is not None
    assert lost is None


def test_of_many_workers_that_claim_a_batch_at_the_same_moment_only_one_gets_it(
    ledger: Ledger, tmp_path: Path
) -> None:
    batch_id = open_batches_of(ledger, a_job_of(ledger, a_row(2)))[0].id
    ledgers = [open_ledger(tmp_path) for _ in range(6)]

    def claim(each: Ledger) -> bool:
        with each.write() as tx:
            return batches.claim_batch(tx, batch_id, owner_name()) is not None

    with ThreadPoolExecutor(6) as threads:
        won = list(threads.map(claim, ledgers))
    for each in ledgers:
        each.close()

    assert won.count(True) == 1


def test_a_claim_counts_epochs_and_claims_its_candidates_and_registrations(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2), a_row(3))
    first = claimed(ledger, job_id)
    with ledger.write() as tx:
        batches.release(tx, first, closed=False)

    second = claimed(ledger, job_id)

    assert (first.epoch, second.epoch) == (1, 2)
    held = {
        record.claimed_by
        for table in (schema.candidate, schema.registration)
        for record in records_of(ledger, table)
    }
    assert held == {second.token}


def test_a_batch_that_is_not_due_cannot_be_claimed(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2))
    claim = claimed(ledger, job_id)
    with ledger.write() as tx:
        batches.release(tx, claim, closed=False, not_before=now() + 60)
        assert batches.claim_batch(tx, claim.batch_id, owner_name()) is None

    change_records(ledger, schema.batch, not_before=now() - 1)

    with ledger.write() as tx:
        assert batches.claim_batch(tx, claim.batch_id, owner_name()) is not None


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.HELD, JobState.CANCELLING, JobState.SUCCEEDED])
def test_a_batch_of_a_job_that_is_not_running_cannot_be_claimed(ledger: Ledger, state: JobState) -> None:
    job_id = a_job_of(ledger, a_row(2))
    (batch,) = open_batches_of(ledger, job_id)
    change_records(ledger, schema.job, state=state)

    with ledger.write() as tx:
        assert batches.claim_batch(tx, batch.id, owner_name()) is None


def test_a_batch_that_does_not_exist_cannot_be_claimed(ledger: Ledger) -> None:
    with ledger.write() as tx:
        assert batches.claim_batch(tx, 99, owner_name()) is None


def test_a_candidate_that_another_batch_holds_is_not_taken_from_it(ledger: Ledger) -> None:
    ana = a_candidate()
    job_id = a_job_of(ledger, a_row(2, ana), a_row(3, ana, course=a_course("59")), size=1)

    first, second = claimed(ledger, job_id, place=0), claimed(ledger, job_id, place=1)

    assert items_of(ledger, first)[0].candidate.is_claimed
    assert not items_of(ledger, second)[0].candidate.is_claimed
    assert items_of(ledger, second)[0].registration.is_claimed


def test_claiming_records_again_takes_those_released_meanwhile(ledger: Ledger) -> None:
    ana = a_candidate()
    job_id = a_job_of(ledger, a_row(2, ana), a_row(3, ana, course=a_course("59")), size=1)
    first, second = claimed(ledger, job_id, place=0), claimed(ledger, job_id, place=1)

    with ledger.write() as tx:
        batches.release(tx, first, closed=True)
        batches.claim_records(tx, second)

    assert items_of(ledger, second)[0].candidate.is_claimed


def test_a_claim_that_was_lost_takes_no_more_records(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2))
    lost = claimed(ledger, job_id, ELSEWHERE)
    let_the_lease_end(ledger)
    reap(ledger)

    with ledger.write() as tx:
        batches.claim_records(tx, lost)

    item = items_of(ledger, claimed(ledger, job_id))[0]
    assert item.candidate.is_claimed
    assert item.registration.is_claimed


def test_a_canary_that_waits_is_not_moved_into_another_batch(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2))
    (emptied,) = open_batches_of(ledger, job_id)
    (waiting,) = records_of(ledger, schema.row)
    change_records(ledger, schema.batch, canary=True)
    with ledger.write() as tx:
        again = BatchPlan(course_key=emptied.course_key, canary=True, row_ids=[waiting.id])
        batches.save_plan(tx, job_id, [again])
        claim = batches.claim_batch(tx, emptied.id, ELSEWHERE)
        assert claim is not None
        batches.release(tx, claim, closed=True)
        batches.pass_canary_on(tx, claim)

    (canary,) = open_batches_of(ledger, job_id)
    assert canary.id == record_of(ledger, schema.row, waiting.id).batch_id


def test_a_released_batch_is_open_again_from_the_given_time_on(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2))
    claim = claimed(ledger, job_id)

    with ledger.write() as tx:
        batches.release(tx, claim, closed=False, not_before=now() + 60)

    (batch,) = open_batches_of(ledger, job_id)
    assert not batch.running
    assert batch.not_before == pytest.approx(now() + 60, abs=5)
    assert {record.claimed_by for record in records_of(ledger, schema.candidate)} == {None}


def test_a_closed_batch_is_never_claimed_again(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2))
    claim = claimed(ledger, job_id)
    with ledger.write() as tx:
        batches.release(tx, claim, closed=True)
        assert batches.claim_batch(tx, claim.batch_id, owner_name()) is None

    assert open_batches_of(ledger, job_id) == []


def test_what_was_being_sent_when_a_claim_is_released_is_in_doubt(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2))
    claim = claimed(ledger, job_id)
    (work,) = items_of(ledger, claim)
    with ledger.write() as tx:
        for write in intents.intent_to_create(claim, work, work.registration):
            tx.execute(write.statement, write.values)

        batches.release(tx, claim, closed=False)

    assert record_of(ledger, schema.registration, work.registration.id).state == RegistrationState.IN_DOUBT
    assert reported(ledger, job_id, 2).status is RowStatus.IN_DOUBT


def test_a_lease_is_renewed_only_by_the_holder_of_the_claim(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2))
    claim = claimed(ledger, job_id, ELSEWHERE)
    let_the_lease_end(ledger)
    with ledger.write() as tx:
        assert batches.renew(tx, claim)
    assert reap(ledger) == 0

    let_the_lease_end(ledger)
    assert reap(ledger) == 1
    with ledger.write() as tx:
        assert not batches.renew(tx, claim)


def test_a_claim_on_another_machine_holds_until_its_lease_ends(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2))
    claimed(ledger, job_id, ELSEWHERE)

    assert reap(ledger) == 0
    with ledger.read() as tx:
        assert batches.running_owner(tx, job_id) == ELSEWHERE

    let_the_lease_end(ledger)
    with ledger.read() as tx:
        assert batches.running_owner(tx, job_id) is None
    assert reap(ledger) == 1
    assert not open_batches_of(ledger, job_id)[0].running


def test_a_lease_lasts_long_enough_for_two_missed_heartbeats(ledger: Ledger) -> None:
    claimed(ledger, a_job_of(ledger, a_row(2)), ELSEWHERE)

    (batch,) = records_of(ledger, schema.batch)

    assert batch.lease_until - now() == pytest.approx(LEASE_SECONDS, abs=5)


def test_a_live_process_keeps_its_claim_for_as_long_as_its_lease(ledger: Ledger, worker_process: object) -> None:
    job_id = a_job_of(ledger, a_row(2))
    worker_process(open_batches_of(ledger, job_id)[0].id)

    assert reap(ledger) == 0
    let_the_lease_end(ledger)
    assert reap(ledger) == 1


def test_a_killed_process_loses_its_claim_at_once_and_what_it_was_sending_is_in_doubt(
    ledger: Ledger, worker_process: object
) -> None:
    job_id = a_job_of(ledger, a_row(2), a_row(3))
    process = worker_process(open_batches_of(ledger, job_id)[0].id)
    assert reap(ledger) == 0

    process.kill()
    process.wait()

    assert reap(ledger) == 1
    assert {record.state for record in records_of(ledger, schema.candidate)} == {CandidateState.IN_DOUBT}
    assert {record.state for record in records_of(ledger, schema.registration)} == {RegistrationState.IN_DOUBT}
    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.IN_DOUBT}
    record = reported(ledger, job_id, 2)
    assert (record.error, record.code) == (INTERRUPTED, "answer_lost")
    assert reap(ledger) == 0
    again = claimed(ledger, job_id)
    assert all(work.candidate.is_claimed and work.registration.is_claimed for work in items_of(ledger, again))


def test_a_process_that_has_ended_and_whose_process_id_was_reused_is_dead() -> None:
    host, pid, started = owner_name().rsplit("/", 2)

    assert is_alive(f"{host}/{pid}/{started}")
    assert is_alive(f"{host}/{pid}/{float(started) - 500:.2f}") is False
    assert is_alive(f"{host}/4194303/{started}") is False
    assert is_alive(f"{host}-2/{pid}/{started}") is None


def test_reopening_abandoned_batches_of_one_job_leaves_the_others_alone(ledger: Ledger) -> None:
    mine, theirs = a_job_of(ledger, a_row(2)), a_job_of(ledger, a_row(3))
    for job_id in (mine, theirs):
        claimed(ledger, job_id, ELSEWHERE)
    let_the_lease_end(ledger)

    assert reap(ledger, mine) == 1
    assert [open_batches_of(ledger, job_id)[0].running for job_id in (mine, theirs)] == [False, True]


def test_a_dead_workers_candidate_that_was_not_being_sent_keeps_its_state(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2))
    claimed(ledger, job_id, ELSEWHERE)
    let_the_lease_end(ledger)

    reap(ledger)

    (candidate,) = records_of(ledger, schema.candidate)
    assert (candidate.state, candidate.claimed_by) == (CandidateState.NEW, None)
    assert reported(ledger, job_id, 2).status is RowStatus.NOT_ATTEMPTED


WRITES = {
    "sending a candidate": lambda claim, work: intents.intent_to_create(claim, work, work.candidate),
    "a candidate created": lambda claim, work: intents.candidate_created(claim, work, "7"),
    "a candidate found": lambda claim, work: intents.candidate_found(claim, work, "7"),
    "a candidate in doubt": lambda claim, work: intents.state_changed(
        claim, work, work.candidate, CandidateState.IN_DOUBT
    ),
    "a creation taken back": lambda claim, work: intents.state_changed(
        claim, work, work.candidate, CandidateState.NEW, unsent=True
    ),
    "sending a registration": lambda claim, work: intents.intent_to_create(claim, work, work.registration),
    "a registration in doubt": lambda claim, work: intents.state_changed(
        claim, work, work.registration, RegistrationState.IN_DOUBT
    ),
    "a registration taken back": lambda claim, work: intents.state_changed(
        claim, work, work.registration, RegistrationState.NEW, unsent=True
    ),
    "registered": lambda claim, work: intents.registered(
        claim, work, RowOutcome(status=RowStatus.REGISTERED, registration_id="R")
    ),
    "an outcome alone": lambda claim, work: (
        intents.row_outcome(claim, work, RowOutcome(status=RowStatus.REJECTED, error="late", code="refused")),
    ),
}


@pytest.mark.parametrize("what", WRITES)
async def test_the_writes_of_a_lost_claim_fail_as_a_whole(ledger: Ledger, what: str) -> None:
    """A worker that hung past its lease wakes up when another has taken its batch over."""
    job_id = a_job_of(ledger, a_row(2))
    stale = claimed(ledger, job_id, ELSEWHERE)
    (work,) = items_of(ledger, stale)
    let_the_lease_end(ledger)
    reap(ledger)
    claimed(ledger, job_id)
    before = [records_of(ledger, table) for table in (schema.candidate, schema.registration, schema.row)]

    with pytest.raises(StaleClaim):
        await ledger.commit(*WRITES[what](stale, work))

    assert [records_of(ledger, table) for table in (schema.candidate, schema.registration, schema.row)] == before


def test_releasing_a_lost_claim_changes_nothing(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2))
    stale = claimed(ledger, job_id, ELSEWHERE)
    let_the_lease_end(ledger)
    reap(ledger)
    heir = claimed(ledger, job_id)

    with ledger.write() as tx:
        batches.release(tx, stale, closed=True)

    assert open_batches_of(ledger, job_id)[0].running
    (work,) = items_of(ledger, heir)
    assert work.candidate.is_claimed
    assert work.registration.is_claimed


def test_a_plan_takes_waiting_rows_once(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, *(a_row(number) for number in range(2, 7)), size=2)

    with ledger.write() as tx:
        assert batches.rows_to_plan(tx, job_id) == []
        assert len(plan(tx, job_id)) == 3


def test_rows_in_doubt_and_unsent_rows_of_a_closed_batch_are_planned_again(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2), a_row(3), a_row(4))
    with ledger.write() as tx:
        tx.execute(schema.row.update().where(schema.row.c.row == 2).values(status=RowStatus.IN_DOUBT))
        tx.execute(schema.row.update().where(schema.row.c.row == 3).values(status=RowStatus.REGISTERED))
        batches.close_batches(tx, job_id)

        assert len(batches.rows_to_plan(tx, job_id)) == 2


def test_closing_a_course_leaves_the_other_courses_and_running_batches_alone(ledger: Ledger) -> None:
    rows = [a_row(2), a_row(3, course=a_course("59")), a_row(4, course=a_course("59"))]
    job_id = a_job_of(ledger, *rows, size=1)
    running = claimed(ledger, job_id, place=1)

    with ledger.write() as tx:
        batches.close_batches(tx, job_id, a_course("59").key)

    left = open_batches_of(ledger, job_id)
    assert [(batch.course_key, batch.running) for batch in left] == [
        (a_course().key, False),
        (a_course("59").key, True),
    ]
    assert left[1].id == running.batch_id


def test_work_items_are_the_rows_without_an_outcome_in_roster_order(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, *(a_row(number) for number in (2, 3, 4, 5)))
    with ledger.write() as tx:
        tx.execute(schema.row.update().where(schema.row.c.row == 3).values(status=RowStatus.REGISTERED))
        tx.execute(schema.row.update().where(schema.row.c.row == 4).values(status=RowStatus.IN_DOUBT))

    works = items_of(ledger, claimed(ledger, job_id))

    assert [work.row.row for work in works] == [2, 4, 5]


def test_a_process_is_distinguished_from_its_successor_by_its_start_time() -> None:
    assert owner_name() == owner_name()
    assert time.time() - float(owner_name().rsplit("/", 1)[1]) < 24 * 3600
