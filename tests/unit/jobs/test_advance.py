"""Which messages a job of the queue gets: a few batches at a time, its canary first, and nothing twice."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.builders import (
    a_candidate,
    a_job_of,
    a_row,
    change_records,
    claimed,
    open_batches_of,
    record_of,
    records_of,
    state_of,
)
from worker.errors import LmsUnavailable, LookupFailed, RateLimited, RetryLater
from worker.intake.storage import estimate_rows
from worker.jobs import advance, completion, lifecycle
from worker.jobs.advance import Window
from worker.ledger import batches, jobs, queue, schema
from worker.ledger.database import now
from worker.ledger.leases import owner_name
from worker.ledger.queue import Priority, Task
from worker.model import Driver, JobState, RowStatus
from worker.registration.batch import BatchEnd
from worker.registration.reconcile import LOOKUP_FAILED

if TYPE_CHECKING:
    from pathlib import Path

    from worker.ledger.queue import TaskMessage
    from worker.ledger.transactions import Ledger

WINDOW = Window(batches=3, lost_after=60.0)


def a_queued_job(ledger: Ledger, rows: int = 10, **changes: object) -> int:
    """Open a running job of the queue, one row to a batch."""
    roster = (a_row(number, a_candidate(email=f"p{number}@example.com")) for number in range(2, rows + 2))
    values = {"driver": Driver.QUEUE, "planned": True, **changes}
    return a_job_of(ledger, *roster, size=1, **values)


def advanced(ledger: Ledger, job_id: int, at: float | None = None) -> list[TaskMessage]:
    with ledger.write() as tx:
        return advance.advance(tx, job_id, WINDOW, at or now())


def test_a_job_has_no_more_messages_in_the_broker_than_its_window(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger)

    first = advanced(ledger, job_id)

    assert [message.task for message in first] == [Task.REGISTER] * 3
    assert advanced(ledger, job_id) == []
    claimed(ledger, job_id)
    assert advanced(ledger, job_id) == []


def test_a_batch_that_ended_makes_room_for_the_next(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger)
    sent = advanced(ledger, job_id)
    claim = claimed(ledger, job_id)
    with ledger.write() as tx:
        batches.release(tx, claim, closed=True)

    (further,) = advanced(ledger, job_id)

    assert further.id not in {message.id for message in sent}


def test_a_message_that_no_worker_claimed_is_published_again_with_high_priority(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger)
    sent = advanced(ledger, job_id)

    again = advanced(ledger, job_id, now() + WINDOW.lost_after + 1)

    assert again == [replace(message, priority=Priority.HIGH) for message in sent]


def test_messages_that_could_not_be_published_are_published_by_the_next_sweep(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger)
    sent = advanced(ledger, job_id)

    with ledger.write() as tx:
        queue.mark_unsent(tx, sent)

    assert advanced(ledger, job_id) == sent


def test_a_broker_that_lost_its_messages_gets_all_of_them_again(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger)
    sent = advanced(ledger, job_id)

    with ledger.write() as tx:
        queue.mark_all_unsent(tx)

    assert advanced(ledger, job_id) == sent


def test_a_message_that_came_while_the_job_was_paused_is_published_again_when_it_is_resumed(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger)
    sent = advanced(ledger, job_id)
    with ledger.write() as tx:
        lifecycle.pause(tx, job_id)
    assert advanced(ledger, job_id) == []

    with ledger.write() as tx:
        lifecycle.hand_to_queue(tx, job_id)
        # As the split does that looks for people and plans again.
        jobs.change_job(tx, job_id, state=JobState.RUNNING, planned=True)

    assert [message.id for message in advanced(ledger, job_id)] == [message.id for message in sent]


def test_the_rest_of_a_course_waits_for_its_canary(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger)
    canary = open_batches_of(ledger, job_id)[0].id
    change_records(ledger, schema.batch, canary=False)
    with ledger.write() as tx:
        tx.execute(schema.batch.update().where(schema.batch.c.id == canary).values(canary=True))

    assert [message.id for message in advanced(ledger, job_id)] == [canary]


def test_a_batch_that_may_start_soon_gets_a_countdown_and_a_later_one_waits_in_the_ledger(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, rows=2)
    at = now()
    soon, late = (batch.id for batch in open_batches_of(ledger, job_id))
    with ledger.write() as tx:
        for batch_id, seconds in ((soon, 10.0), (late, 3600.0)):
            tx.execute(schema.batch.update().where(schema.batch.c.id == batch_id).values(not_before=at + seconds))

    (message,) = advanced(ledger, job_id, at)

    assert (message.id, message.countdown) == (soon, pytest.approx(10.0))
    assert state_of(ledger, job_id) is JobState.WAITING


@pytest.mark.parametrize(
    ("later", "reason"),
    [
        (RateLimited(60, "The LMS asked for a pause (429)"), "The LMS asked for a pause (429)"),
        (
            RateLimited(60, "The LMS states that its limit is used up; this call may go in 60.0 s."),
            "The LMS states that its limit is used up",
        ),
        (LookupFailed(60, LOOKUP_FAILED), LOOKUP_FAILED),
        (
            LmsUnavailable(60, "A look-up got no usable answer (The LMS answered 500 (no ana@example.com))"),
            "A look-up got no usable answer (The LMS answered 500 (no …))",
        ),
    ],
)
def test_a_waiting_job_says_what_its_batch_waits_for(ledger: Ledger, later: RetryLater, reason: str) -> None:
    job_id = a_queued_job(ledger, rows=2)
    first, second = open_batches_of(ledger, job_id)
    advanced(ledger, job_id)
    change_records(ledger, schema.batch, not_before=now() + 60)
    with ledger.write() as tx:
        jobs.change_job(tx, job_id, state=JobState.RUNNING)
        completion.apply_batch_end(tx, job_id, BatchEnd(retry_later=later), None)
    advanced(ledger, job_id)

    assert [(each.state, each.reason) for each in records_of(ledger, schema.job)] == [(JobState.WAITING, reason)]

    # Another batch has ended; then the one that waited.
    for batch_id, left in ((second.id, reason), (first.id, "")):
        with ledger.write() as tx:
            tx.execute(schema.batch.update().where(schema.batch.c.id == batch_id).values(not_before=None))
            completion.apply_batch_end(tx, job_id, BatchEnd(), None)
        assert records_of(ledger, schema.job)[0].reason == left


def test_a_waiting_job_runs_again_when_its_time_has_come(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, rows=1)
    change_records(ledger, schema.batch, not_before=now() + 100)
    advanced(ledger, job_id)
    assert state_of(ledger, job_id) is JobState.WAITING

    change_records(ledger, schema.batch, not_before=now() - 1)
    advanced(ledger, job_id)

    assert state_of(ledger, job_id) is JobState.RUNNING


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.HELD])
def test_a_job_that_waits_for_a_person_gets_no_message(ledger: Ledger, state: JobState) -> None:
    job_id = a_queued_job(ledger, state=state)

    assert advanced(ledger, job_id) == []


def test_the_last_batch_closes_the_job_and_its_reports_are_enqueued_once(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, rows=1)
    claim = claimed(ledger, job_id)
    change_records(ledger, schema.row, status=RowStatus.REGISTERED)
    with ledger.write() as tx:
        batches.release(tx, claim, closed=True)

    (message,) = advanced(ledger, job_id)

    assert (message.task, message.id) == (Task.REPORT, job_id)
    assert state_of(ledger, job_id) is JobState.SUCCEEDED
    assert advanced(ledger, job_id) == []


def test_reports_that_were_not_written_are_enqueued_again(ledger: Ledger) -> None:
    ended = now() - 500
    job_id = a_queued_job(ledger, state=JobState.SUCCEEDED, finished_at=ended, enqueued_at=ended)

    assert [message.task for message in advanced(ledger, job_id)] == [Task.REPORT]
    change_records(ledger, schema.job, reported_at=now(), enqueued_at=None)
    assert advanced(ledger, job_id) == []
    with ledger.read() as tx:
        assert queue.open_jobs(tx) == []


@pytest.mark.parametrize("state", [JobState.UPLOADED, JobState.VALIDATING, JobState.QUEUED])
def test_a_roster_that_was_not_imported_is_enqueued_until_a_worker_imports_it(
    ledger: Ledger, state: JobState
) -> None:
    job_id = a_queued_job(ledger, state=state, planned=False)

    assert [message.task for message in advanced(ledger, job_id)] == [Task.SPLIT]
    change_records(ledger, schema.job, owner=owner_name(), lease_until=now() + 60, enqueued_at=None)
    assert advanced(ledger, job_id) == []
    change_records(ledger, schema.job, owner="here/4194303/1.0", lease_until=now() - 1)
    assert [message.task for message in advanced(ledger, job_id)] == [Task.SPLIT]


def test_a_scheduled_job_is_imported_when_its_time_has_come(ledger: Ledger) -> None:
    at = now()
    job_id = a_queued_job(ledger, state=JobState.SCHEDULED, planned=False, not_before=at + 20)

    assert advanced(ledger, job_id, at) == []
    (message,) = advanced(ledger, job_id, at + 21)

    assert message.task is Task.SPLIT
    assert state_of(ledger, job_id) is JobState.UPLOADED


def test_a_cancelled_job_ends_when_no_worker_has_a_batch_of_it(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, rows=2)
    claim = claimed(ledger, job_id)
    change_records(ledger, schema.job, state=JobState.CANCELLING)

    assert advanced(ledger, job_id) == []
    with ledger.write() as tx:
        batches.release(tx, claim, closed=False)

    assert [message.task for message in advanced(ledger, job_id)] == [Task.REPORT]
    assert state_of(ledger, job_id) is JobState.CANCELLED


def test_a_job_is_held_when_worker_after_worker_died_with_the_same_batch(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger)
    change_records(ledger, schema.batch, deaths=advance.MAX_DEATHS)

    assert advanced(ledger, job_id) == []
    assert state_of(ledger, job_id) is JobState.HELD
    assert "workers died" in record_of(ledger, schema.job, job_id).reason


def test_a_claim_of_a_dead_worker_counts_as_a_death(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, rows=1)
    claimed(ledger, job_id, "here/4194303/1.0")
    change_records(ledger, schema.batch, lease_until=now() - 1)

    with ledger.write() as tx:
        assert batches.reopen_abandoned(tx) == 1

    assert records_of(ledger, schema.batch)[0].deaths == 1


@pytest.mark.parametrize(
    ("rows", "priority"), [(1, Priority.HIGH), (200, Priority.HIGH), (201, Priority.NORMAL), (2001, Priority.LOW)]
)
def test_a_job_with_few_rows_left_has_a_high_priority(rows: int, priority: Priority) -> None:
    assert queue.priority_of(rows) is priority


def test_a_job_yields_to_a_shorter_unclaimed_job_and_to_no_other(ledger: Ledger) -> None:
    large, small = a_queued_job(ledger, rows=230), a_queued_job(ledger, rows=3)
    long_ago = now() - queue.BUSY_SECONDS - 1

    with ledger.write() as tx:
        assert not queue.shorter_job_waits(tx, large, estimate_rows)
        advance.advance(tx, small, WINDOW, now())
        assert not queue.shorter_job_waits(tx, large, estimate_rows)
    with ledger.write() as tx:
        advance.advance(tx, large, WINDOW, now())
    change_records(ledger, schema.batch, enqueued_at=long_ago)

    with ledger.write() as tx:
        assert queue.shorter_job_waits(tx, large, estimate_rows)
        assert not queue.shorter_job_waits(tx, small, estimate_rows)


def test_of_unclaimed_imports_the_shortest_is_first(ledger: Ledger, tmp_path: Path) -> None:
    found = []
    for size in (20_000, 300, 9_000):
        kept = tmp_path / f"{size}.csv"
        kept.write_bytes(b"x" * size)
        found.append(a_queued_job(ledger, state=JobState.UPLOADED, stored_path=str(kept)))
    with ledger.write() as tx:
        for job_id in found:
            advance.advance(tx, job_id, WINDOW, now())

        waiting = queue.unclaimed(tx, estimate_rows, exclude=())

    long, short, middling = found
    assert [message.job_id for message in waiting] == [short, middling, long]


def test_each_job_has_one_unclaimed_message(ledger: Ledger) -> None:
    large, small = a_queued_job(ledger, rows=230), a_queued_job(ledger, rows=3)
    unread = a_queued_job(ledger, state=JobState.UPLOADED)
    with ledger.write() as tx:
        for job_id in (large, small, unread):
            advance.advance(tx, job_id, WINDOW, now())

    with ledger.read() as tx:
        found = {
            message.job_id: (message.task, message.priority)
            for message in queue.unclaimed(tx, estimate_rows, exclude=())
        }
        others = [message.job_id for message in queue.unclaimed(tx, estimate_rows, exclude=(large, unread))]

    assert found == {
        large: (Task.REGISTER, Priority.NORMAL),
        small: (Task.REGISTER, Priority.HIGH),
        unread: (Task.SPLIT, Priority.HIGH),
    }
    assert others == [small]


def test_no_job_yields_to_the_reports_of_a_held_job(ledger: Ledger) -> None:
    mine, held = a_queued_job(ledger, rows=3), a_queued_job(ledger, rows=3, state=JobState.HELD)

    with ledger.write() as tx:
        advance.enqueue_report(tx, held, now())
        assert not queue.shorter_job_waits(tx, mine, estimate_rows)


def test_of_two_processes_that_claim_a_job_one_gets_it(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, state=JobState.UPLOADED)
    with ledger.write() as tx:
        assert jobs.claim_job(tx, job_id, owner_name())
        assert not jobs.claim_job(tx, job_id, "elsewhere/1/1.0")
        jobs.release_job(tx, job_id, owner_name())
        assert jobs.claim_job(tx, job_id, "elsewhere/1/1.0")
        assert not jobs.renew_job(tx, job_id, owner_name())
