"""What a job of the queue is rung for: a few batches at a time, its canary first, and nothing twice."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.builders import (
    a_candidate,
    a_job_of,
    a_row,
    change_lines,
    claimed,
    line_of,
    lines_of,
    open_batches_of,
    state_of,
)
from worker.jobs import advance
from worker.jobs.advance import Window
from worker.ledger import batches, jobs, queue, schema
from worker.ledger.database import now
from worker.ledger.leases import owner_name
from worker.ledger.queue import Task, Urgency
from worker.model import Driver, JobState, RowStatus

if TYPE_CHECKING:
    from pathlib import Path

    from worker.ledger.queue import Bell
    from worker.ledger.transactions import Ledger

WINDOW = Window(batches=3, lost_after=60.0)


def a_queued_job(ledger: Ledger, rows: int = 10, **changes: object) -> int:
    """Open a job of the queue that is at work, one row to a batch."""
    roster = (a_row(number, a_candidate(email=f"p{number}@example.com")) for number in range(2, rows + 2))
    values = {"driver": Driver.QUEUE, "planned": True, **changes}
    return a_job_of(ledger, *roster, size=1, **values)


def go_on(ledger: Ledger, job_id: int, at: float | None = None) -> list[Bell]:
    with ledger.write() as tx:
        return advance.go_on(tx, job_id, WINDOW, at or now())


def test_a_job_has_no_more_bells_in_the_broker_than_its_window(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger)

    first = go_on(ledger, job_id)

    assert [bell.task for bell in first] == [Task.REGISTER] * 3
    assert go_on(ledger, job_id) == []
    claimed(ledger, job_id)
    assert go_on(ledger, job_id) == []


def test_a_batch_that_ended_makes_room_for_the_next(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger)
    rung = go_on(ledger, job_id)
    claim = claimed(ledger, job_id)
    with ledger.write() as tx:
        batches.release(tx, claim, closed=True)

    (further,) = go_on(ledger, job_id)

    assert further.id not in {bell.id for bell in rung}


def test_a_bell_that_nobody_answered_is_rung_again_and_comes_first(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger)
    rung = go_on(ledger, job_id)

    again = go_on(ledger, job_id, now() + WINDOW.lost_after + 1)

    assert again == [replace(bell, urgency=Urgency.FIRST) for bell in rung]


def test_bells_that_could_not_be_rung_are_rung_by_the_next_sweep(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger)
    rung = go_on(ledger, job_id)

    with ledger.write() as tx:
        queue.unring(tx, rung)

    assert go_on(ledger, job_id) == rung


def test_a_broker_that_forgot_gets_every_bell_anew(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger)
    rung = go_on(ledger, job_id)

    with ledger.write() as tx:
        queue.unring_all(tx)

    assert go_on(ledger, job_id) == rung


def test_the_rest_of_a_course_waits_for_its_canary(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger)
    canary = open_batches_of(ledger, job_id)[0].id
    change_lines(ledger, schema.batch, canary=False)
    with ledger.write() as tx:
        tx.execute(schema.batch.update().where(schema.batch.c.id == canary).values(canary=True))

    assert [bell.id for bell in go_on(ledger, job_id)] == [canary]


def test_a_batch_that_may_go_on_soon_is_rung_for_then_and_a_later_one_waits_in_the_ledger(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, rows=2)
    at = now()
    soon, late = (batch.id for batch in open_batches_of(ledger, job_id))
    with ledger.write() as tx:
        for batch_id, seconds in ((soon, 10.0), (late, 3600.0)):
            tx.execute(schema.batch.update().where(schema.batch.c.id == batch_id).values(not_before=at + seconds))

    (bell,) = go_on(ledger, job_id, at)

    assert (bell.id, bell.seconds) == (soon, pytest.approx(10.0))
    assert state_of(ledger, job_id) is JobState.WAITING


def test_a_waiting_job_runs_again_when_its_time_has_come(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, rows=1)
    change_lines(ledger, schema.batch, not_before=now() + 100)
    go_on(ledger, job_id)
    assert state_of(ledger, job_id) is JobState.WAITING

    change_lines(ledger, schema.batch, not_before=now() - 1)
    go_on(ledger, job_id)

    assert state_of(ledger, job_id) is JobState.RUNNING


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.HELD])
def test_a_job_that_waits_for_a_person_is_not_rung_for(ledger: Ledger, state: JobState) -> None:
    job_id = a_queued_job(ledger, state=state)

    assert go_on(ledger, job_id) == []


def test_the_last_batch_closes_the_job_and_rings_for_its_reports_once(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, rows=1)
    claim = claimed(ledger, job_id)
    change_lines(ledger, schema.row, status=RowStatus.REGISTERED)
    with ledger.write() as tx:
        batches.release(tx, claim, closed=True)

    (bell,) = go_on(ledger, job_id)

    assert (bell.task, bell.id) == (Task.REPORT, job_id)
    assert state_of(ledger, job_id) is JobState.SUCCEEDED
    assert go_on(ledger, job_id) == []


def test_reports_that_were_not_written_are_rung_for_again(ledger: Ledger) -> None:
    ended = now() - 500
    job_id = a_queued_job(ledger, state=JobState.SUCCEEDED, finished_at=ended, rung_at=ended)

    assert [bell.task for bell in go_on(ledger, job_id)] == [Task.REPORT]
    change_lines(ledger, schema.job, reported_at=now(), rung_at=None)
    assert go_on(ledger, job_id) == []
    with ledger.read() as tx:
        assert queue.open_jobs(tx) == []


@pytest.mark.parametrize("state", [JobState.UPLOADED, JobState.VALIDATING, JobState.QUEUED])
def test_a_roster_that_was_not_read_in_is_rung_for_until_somebody_reads_it(ledger: Ledger, state: JobState) -> None:
    job_id = a_queued_job(ledger, state=state, planned=False)

    assert [bell.task for bell in go_on(ledger, job_id)] == [Task.SPLIT]
    change_lines(ledger, schema.job, owner=owner_name(), lease_until=now() + 60, rung_at=None)
    assert go_on(ledger, job_id) == []
    change_lines(ledger, schema.job, owner="here/4194303/1.0", lease_until=now() - 1)
    assert [bell.task for bell in go_on(ledger, job_id)] == [Task.SPLIT]


def test_a_job_for_later_is_read_in_when_its_time_has_come(ledger: Ledger) -> None:
    at = now()
    job_id = a_queued_job(ledger, state=JobState.SCHEDULED, planned=False, not_before=at + 20)

    assert go_on(ledger, job_id, at) == []
    (bell,) = go_on(ledger, job_id, at + 21)

    assert bell.task is Task.SPLIT
    assert state_of(ledger, job_id) is JobState.UPLOADED


def test_a_cancelled_job_ends_when_nobody_works_on_it_any_more(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, rows=2)
    claim = claimed(ledger, job_id)
    change_lines(ledger, schema.job, state=JobState.CANCELLING)

    assert go_on(ledger, job_id) == []
    with ledger.write() as tx:
        batches.release(tx, claim, closed=False)

    assert [bell.task for bell in go_on(ledger, job_id)] == [Task.REPORT]
    assert state_of(ledger, job_id) is JobState.CANCELLED


def test_a_batch_at_which_worker_after_worker_died_is_shown_to_a_person(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger)
    change_lines(ledger, schema.batch, deaths=advance.MOST_DEATHS)

    assert go_on(ledger, job_id) == []
    assert state_of(ledger, job_id) is JobState.HELD
    assert "workers died" in line_of(ledger, schema.job, job_id).reason


def test_a_claim_of_a_dead_worker_counts_as_a_death(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, rows=1)
    claimed(ledger, job_id, "here/4194303/1.0")
    change_lines(ledger, schema.batch, lease_until=now() - 1)

    with ledger.write() as tx:
        assert batches.reap(tx) == 1

    assert lines_of(ledger, schema.batch)[0].deaths == 1


@pytest.mark.parametrize(
    ("rows", "urgency"), [(1, Urgency.FIRST), (200, Urgency.FIRST), (201, Urgency.NEXT), (2001, Urgency.LAST)]
)
def test_who_has_few_rows_left_comes_first(rows: int, urgency: Urgency) -> None:
    assert queue.urgency(rows) is urgency


def test_a_batch_gives_way_to_a_shorter_job_to_which_nobody_comes_and_to_no_other(ledger: Ledger) -> None:
    large, small = a_queued_job(ledger, rows=230), a_queued_job(ledger, rows=3)
    long_ago = now() - queue.LONG_SECONDS - 1

    with ledger.write() as tx:
        assert not queue.others_wait(tx, large)
        advance.go_on(tx, small, WINDOW, now())
        assert not queue.others_wait(tx, large)
    with ledger.write() as tx:
        advance.go_on(tx, large, WINDOW, now())
    change_lines(ledger, schema.batch, rung_at=long_ago)

    with ledger.write() as tx:
        assert queue.others_wait(tx, large)
        assert not queue.others_wait(tx, small)


def test_of_rosters_to_which_nobody_comes_the_shortest_is_first(ledger: Ledger, tmp_path: Path) -> None:
    found = []
    for size in (20_000, 300, 9_000):
        kept = tmp_path / f"{size}.csv"
        kept.write_bytes(b"x" * size)
        found.append(a_queued_job(ledger, state=JobState.UPLOADED, kept_at=str(kept)))
    with ledger.write() as tx:
        for job_id in found:
            advance.go_on(tx, job_id, WINDOW, now())

        waiting = queue.unanswered(tx, besides=())

    long, short, middling = found
    assert [bell.job_id for bell in waiting] == [short, middling, long]


def test_what_nobody_has_come_to_is_found_once_for_each_job(ledger: Ledger) -> None:
    large, small = a_queued_job(ledger, rows=230), a_queued_job(ledger, rows=3)
    unread = a_queued_job(ledger, state=JobState.UPLOADED)
    with ledger.write() as tx:
        for job_id in (large, small, unread):
            advance.go_on(tx, job_id, WINDOW, now())

    with ledger.read() as tx:
        found = {bell.job_id: (bell.task, bell.urgency) for bell in queue.unanswered(tx, besides=())}
        beside = [bell.job_id for bell in queue.unanswered(tx, besides=(large, unread))]

    assert found == {
        large: (Task.REGISTER, Urgency.NEXT),
        small: (Task.REGISTER, Urgency.FIRST),
        unread: (Task.SPLIT, Urgency.FIRST),
    }
    assert beside == [small]


def test_a_held_job_whose_reports_were_rung_for_makes_nobody_give_way(ledger: Ledger) -> None:
    mine, held = a_queued_job(ledger, rows=3), a_queued_job(ledger, rows=3, state=JobState.HELD)

    with ledger.write() as tx:
        advance.ring_report(tx, held, now())
        assert not queue.others_wait(tx, mine)


def test_of_two_that_want_to_read_a_roster_in_one_gets_it(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, state=JobState.UPLOADED)
    with ledger.write() as tx:
        assert jobs.take_job(tx, job_id, owner_name())
        assert not jobs.take_job(tx, job_id, "elsewhere/1/1.0")
        jobs.leave_job(tx, job_id, owner_name())
        assert jobs.take_job(tx, job_id, "elsewhere/1/1.0")
        assert not jobs.renew_job(tx, job_id, owner_name())
