"""Which events of jobs are notified, to which receivers and how often; on SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert

from tests.builders import a_job, a_job_of, a_row, change_records, open_ledger, records_of
from tests.message_receivers import SECRET
from worker.ledger import jobs, outbox, schema
from worker.ledger.database import now
from worker.ledger.transactions import Ledger
from worker.model import Driver, JobState, RowStatus
from worker.notifications import events
from worker.settings import MessageSettings, Settings, read_message_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENDED, NEEDS, TROUBLE, WELL = "job.ended", "job.needs_person", "connection.trouble", "connection.well"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path)
    yield opened
    opened.close()


def receiver(**changes: Any) -> MessageSettings:
    """Return the settings of one receiver, a webhook that is not called here."""
    raw = {"kind": "webhook", "url": "https://example.com/hook", "secret": SECRET, **changes}
    return read_message_settings(Settings(messages={"hook": raw}, connections={"north": {}, "south": {}}))


EVERYTHING = receiver()


def a_queued_job(ledger: Ledger, state: JobState, **changes: Any) -> int:
    """Open a job of the queue with four rows, none of them sent."""
    rows = [a_row(number) for number in range(2, 6)]
    return a_job_of(ledger, *rows, state=state, driver=Driver.QUEUE, **changes)


def set_statuses(ledger: Ledger, job_id: int, *statuses: str) -> None:
    """Set the statuses of a job's rows, in order."""
    with ledger.write() as tx:
        table = schema.row
        for number, status in enumerate(statuses, start=2):
            tx.execute(table.update().where(table.c.job_id == job_id, table.c.row == number).values(status=status))


def enter(ledger: Ledger, job_id: int, state: JobState, **values: Any) -> None:
    with ledger.write() as tx:
        jobs.change_job(tx, job_id, state=state, **values)


def sweep(ledger: Ledger, post: MessageSettings = EVERYTHING) -> list[str]:
    """Sweep once and return the events of all messages in the outbox, in order."""
    with ledger.write() as tx:
        events.enqueue_due(tx, post)
    return events_of(ledger)


def events_of(ledger: Ledger) -> list[str]:
    return [record.event for record in records_of(ledger, schema.message)]


# Once, by any process


def test_an_end_is_added_once_by_any_number_of_sweeps(two: tuple[Ledger, Ledger]) -> None:
    for _ in range(5):
        a_queued_job(two[0], JobState.SUCCEEDED)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(sweep, [*two, *two] * 3))

    assert sweep(two[0]) == [ENDED] * 5
    assert sweep(two[1]) == [ENDED] * 5


def test_of_two_that_claim_a_message_one_gets_it(two: tuple[Ledger, Ledger]) -> None:
    for _ in range(10):
        a_queued_job(two[0], JobState.SUCCEEDED)
    sweep(two[0])
    with two[0].read() as tx:
        waiting = outbox.due(tx, 100)

    def claim(pair: tuple[Ledger, outbox.Message]) -> bool:
        with pair[0].write() as tx:
            return outbox.claim(tx, pair[1], now() + 60) is not None

    with ThreadPoolExecutor(4) as threads:
        won = list(threads.map(claim, [(ledger, message) for message in waiting for ledger in two]))

    assert sum(won) == len(waiting) == 10


def test_writes_of_an_older_claim_are_ignored(two: tuple[Ledger, Ledger]) -> None:
    a_queued_job(two[0], JobState.SUCCEEDED)
    sweep(two[0])
    claims = []
    for ledger in two:
        with ledger.write() as tx:
            (message,) = outbox.due(tx, 10)
            claims.append(outbox.claim(tx, message, now() - 1))

    with two[0].write() as tx:
        assert not outbox.postpone(tx, claims[0], now() + 99, "too late")
    with two[1].write() as tx:
        assert outbox.end(tx, claims[1], sent=True)
        assert not outbox.end(tx, claims[1], sent=False)

    (record,) = records_of(two[0], schema.message)
    assert (record.sent, record.error, record.attempts) == (True, "", 2)


def test_a_message_is_not_due_before_its_time_or_while_it_is_claimed(ledger: Ledger) -> None:
    a_queued_job(ledger, JobState.SUCCEEDED)
    sweep(ledger)

    with ledger.write() as tx:
        (message,) = outbox.due(tx, 10)
        outbox.claim(tx, message, now() + 60)
        assert outbox.due(tx, 10) == []


def test_the_whole_story_is_the_same_on_both_databases(two: tuple[Ledger, Ledger]) -> None:
    post = receiver(threshold_percent=25)
    set_statuses(two[0], a_queued_job(two[0], JobState.COMPLETED_WITH_ERRORS), *["rejected"] * 4)
    sweep(two[0], post)
    succeed(two[1])
    sweep(two[1], post)
    first = hold(two[0])
    sweep(two[0], post)
    second = hold(two[1])
    sweep(two[1], post)
    waiting = a_queued_job(two[0], JobState.RUNNING, connection="south")
    enter(two[0], waiting, JobState.WAITING, not_before=now() + 2 * outbox.LONG_WAIT_SECONDS)
    sweep(two[1], post)
    fail(two[0])
    with two[1].read() as tx:
        failed = outbox.last_failed(tx, "hook", 0.0)
        assert failed is not None
        assert (failed.event, failed.error, outbox.count_waiting(tx)) == (NEEDS, "away", 4)
        assert outbox.held_jobs(tx, "north") == [first, second]
    change_records(two[0], schema.message, not_before=now() - 1)
    deliver(two[0])
    enter(two[0], first, JobState.RUNNING)
    succeed(two[0], first)

    assert sweep(two[1], post) == [ENDED, WELL, TROUBLE, NEEDS, WELL]
    with two[0].read() as tx:
        assert outbox.last_failed(tx, "hook", 0.0) is None
        assert outbox.count_waiting(tx) == 1
        assert [each.state for each in outbox.newest(tx, 2)] == ["waiting", "sent"]


def fail(ledger: Ledger) -> None:
    """Let sending all due messages fail."""
    with ledger.write() as tx:
        for message in outbox.due(tx, 100, "hook"):
            claimed = outbox.claim(tx, message, now() + 60)
            assert claimed is not None
            outbox.postpone(tx, claimed, now() + 60, "away")


# Events


@pytest.mark.parametrize(
    ("state", "notified"),
    [
        (JobState.SUCCEEDED, [ENDED]),
        (JobState.COMPLETED_WITH_ERRORS, [ENDED]),
        (JobState.CANCELLED, [ENDED]),
        (JobState.FAILED, [ENDED]),
        (JobState.INVALID, [ENDED]),
        (JobState.HELD, [NEEDS]),
        (JobState.PAUSED, []),
        (JobState.RUNNING, []),
        (JobState.QUEUED, []),
        (JobState.WAITING, []),
        (JobState.CANCELLING, []),
    ],
)
def test_people_are_notified_of_ends_and_of_what_needs_them(
    ledger: Ledger, state: JobState, notified: list[str]
) -> None:
    a_queued_job(ledger, state)

    assert sweep(ledger) == notified


def test_a_job_run_in_a_terminal_sends_no_notification(ledger: Ledger) -> None:
    a_job_of(ledger, a_row(2), state=JobState.SUCCEEDED)

    assert sweep(ledger) == []


def test_a_new_receiver_gets_no_messages_about_the_past(ledger: Ledger) -> None:
    a_queued_job(ledger, JobState.SUCCEEDED)

    assert sweep(ledger, MessageSettings()) == []
    assert sweep(ledger) == []


def test_a_new_receiver_gets_no_messages_about_jobs_of_an_older_ledger(ledger: Ledger) -> None:
    a_queued_job(ledger, JobState.SUCCEEDED)
    change_records(ledger, schema.job, state_at=None)

    assert sweep(ledger) == []


def test_a_job_that_ends_again_is_notified_again(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, JobState.COMPLETED_WITH_ERRORS)
    sweep(ledger)

    enter(ledger, job_id, JobState.QUEUED)
    enter(ledger, job_id, JobState.SUCCEEDED)

    assert sweep(ledger) == [ENDED, ENDED]


def test_a_job_that_enters_its_own_state_again_is_notified_once(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, JobState.HELD)
    sweep(ledger)

    enter(ledger, job_id, JobState.HELD, reason="still")

    assert sweep(ledger) == [NEEDS]


def test_a_long_wait_for_the_lms_is_notified_and_a_short_one_is_not(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, JobState.RUNNING)
    enter(ledger, job_id, JobState.WAITING, not_before=now() + 600)
    assert sweep(ledger) == []

    enter(ledger, job_id, JobState.WAITING, not_before=now() + outbox.LONG_WAIT_SECONDS + 60)

    assert sweep(ledger) == [NEEDS]


def test_rows_in_doubt_are_sent_to_a_receiver_of_needs_person_only(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, JobState.COMPLETED_WITH_ERRORS)
    set_statuses(ledger, job_id, "registered", "registered", "registered", "in_doubt")

    assert sweep(ledger, receiver(on=["needs_person"])) == [NEEDS]


def test_a_receiver_gets_messages_of_its_own_connections_only(ledger: Ledger) -> None:
    a_queued_job(ledger, JobState.SUCCEEDED)
    a_queued_job(ledger, JobState.SUCCEEDED, connection="south")

    sweep(ledger, receiver(connections=["SOUTH"]))

    assert [record.connection for record in records_of(ledger, schema.message)] == ["south"]


# The threshold


@pytest.mark.parametrize(
    ("limit", "bad", "notified"),
    [(None, 0, 1), (None, 4, 1), (0, 0, 0), (0, 1, 1), (25, 1, 0), (25, 2, 1), (50, 4, 1), (99, 3, 0)],
)
def test_an_end_above_the_threshold_is_notified(
    ledger: Ledger, limit: float | None, bad: int, notified: int
) -> None:
    job_id = a_queued_job(ledger, JobState.COMPLETED_WITH_ERRORS)
    set_statuses(ledger, job_id, *["rejected"] * bad, *["registered"] * (4 - bad))

    assert sweep(ledger, receiver(threshold_percent=limit)) == [ENDED] * notified


def test_repeats_within_a_roster_count_as_done(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, JobState.SUCCEEDED)
    set_statuses(ledger, job_id, "registered", *["skipped"] * 3)

    assert sweep(ledger, receiver(threshold_percent=0)) == []


def test_rows_in_doubt_are_notified_below_the_threshold_too(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, JobState.COMPLETED_WITH_ERRORS)
    set_statuses(ledger, job_id, *["registered"] * 3, "in_doubt")

    assert sweep(ledger, receiver(threshold_percent=50)) == [NEEDS]


def test_a_roster_that_could_not_be_read_is_above_every_threshold(ledger: Ledger) -> None:
    with ledger.write() as tx:
        a_job(tx, JobState.INVALID, driver=Driver.QUEUE)

    assert sweep(ledger, receiver(threshold_percent=90)) == [ENDED]


def test_the_first_good_end_after_a_bad_one_is_notified_as_recovered_once(ledger: Ledger) -> None:
    post = receiver(threshold_percent=25)
    for statuses in (["registered"] * 4, ["rejected"] * 4, ["registered"] * 4, ["registered"] * 4):
        set_statuses(ledger, a_queued_job(ledger, JobState.SUCCEEDED), *statuses)
        sweep(ledger, post)

    assert events_of(ledger) == [ENDED, WELL]


# Incidents and recovery


def hold(ledger: Ledger, code: str = "credentials_refused", **changes: Any) -> int:
    job_id = a_queued_job(ledger, JobState.RUNNING, **changes)
    enter(ledger, job_id, JobState.HELD, reason="…", reason_code=code)
    return job_id


def succeed(ledger: Ledger, job_id: int | None = None, *, calls: int = 3, connection: str = "north") -> None:
    """Let a job end well that has called its LMS."""
    job_id = job_id or a_queued_job(ledger, JobState.RUNNING, connection=connection)
    set_statuses(ledger, job_id, *["registered"] * 4)
    with ledger.write() as tx:
        tx.execute(insert(schema.call_count).values(job_id=job_id, operation="register", calls=calls))
    enter(ledger, job_id, JobState.SUCCEEDED)


def deliver(ledger: Ledger) -> None:
    """Send all due messages."""
    with ledger.write() as tx:
        for message in outbox.due(tx, 100):
            claimed = outbox.claim(tx, message, now() + 60)
            assert claimed is not None
            outbox.end(tx, claimed, sent=True)


def test_a_job_of_which_no_row_is_done_does_not_show_that_the_connection_works_again(ledger: Ledger) -> None:
    hold(ledger, "breaker_open")
    sweep(ledger)
    deliver(ledger)
    job_id = a_queued_job(ledger, JobState.RUNNING)
    set_statuses(ledger, job_id, *["rejected"] * 4)
    with ledger.write() as tx:
        tx.execute(insert(schema.call_count).values(job_id=job_id, operation="register", calls=4))
    enter(ledger, job_id, JobState.COMPLETED_WITH_ERRORS)

    assert WELL not in sweep(ledger)
    succeed(ledger)
    assert WELL in sweep(ledger)


def test_an_incident_of_a_connection_is_notified_once_for_any_number_of_jobs(ledger: Ledger) -> None:
    hold(ledger)
    sweep(ledger)
    hold(ledger)
    hold(ledger)

    assert sweep(ledger) == [TROUBLE]
    hold(ledger, connection="south")
    assert sweep(ledger) == [TROUBLE, TROUBLE]


def test_the_end_of_an_incident_is_notified_once(ledger: Ledger) -> None:
    hold(ledger)
    sweep(ledger)
    deliver(ledger)
    succeed(ledger)
    sweep(ledger, receiver(on=["trouble", "well_again"]))
    succeed(ledger)

    assert sweep(ledger, receiver(on=["trouble", "well_again"])) == [TROUBLE, WELL]


def test_the_job_that_met_an_incident_may_be_the_one_that_ends_it(ledger: Ledger) -> None:
    job_id = hold(ledger)
    sweep(ledger)
    deliver(ledger)

    enter(ledger, job_id, JobState.RUNNING)
    succeed(ledger, job_id)

    assert sweep(ledger) == [TROUBLE, ENDED, WELL]


def test_a_job_without_calls_does_not_end_an_incident(ledger: Ledger) -> None:
    hold(ledger)
    sweep(ledger)
    deliver(ledger)

    succeed(ledger, calls=0)
    succeed(ledger, connection="south")

    assert WELL not in sweep(ledger)


def test_a_new_incident_after_a_good_job_is_notified_again(ledger: Ledger) -> None:
    for _ in range(2):
        hold(ledger)
        sweep(ledger)
        deliver(ledger)
        succeed(ledger)
        sweep(ledger)

    assert [event for event in sweep(ledger) if event != ENDED] == [TROUBLE, WELL] * 2


def test_a_job_that_is_held_again_after_it_was_resumed_is_notified(ledger: Ledger) -> None:
    job_id = hold(ledger)
    sweep(ledger)

    enter(ledger, job_id, JobState.RUNNING)
    enter(ledger, job_id, JobState.HELD, reason_code="credentials_refused")

    assert sweep(ledger) == [TROUBLE, NEEDS]


def test_a_receiver_without_a_message_about_an_incident_gets_none_about_its_end(ledger: Ledger) -> None:
    hold(ledger)
    sweep(ledger)

    succeed(ledger)

    assert sweep(ledger) == [TROUBLE, ENDED]


def test_a_problem_of_one_roster_is_no_incident_of_its_connection(ledger: Ledger) -> None:
    hold(ledger, "course_not_found")
    hold(ledger, "course_not_found")

    assert sweep(ledger) == [NEEDS, NEEDS]


def test_the_code_of_a_hold_goes_with_it(ledger: Ledger) -> None:
    job_id = hold(ledger)
    enter(ledger, job_id, JobState.RUNNING)

    with ledger.read() as tx:
        job = jobs.find_job(tx, job_id)
    assert job is not None
    assert job.reason_code is None


def test_every_status_of_a_row_is_counted_as_done_or_not(ledger: Ledger) -> None:
    for status in RowStatus:
        job_id = a_queued_job(ledger, JobState.COMPLETED_WITH_ERRORS)
        set_statuses(ledger, job_id, *[status] * 4)
    sweep(ledger, receiver(threshold_percent=0, on=["ended"]))

    assert len(events_of(ledger)) == len(
        {RowStatus.INVALID, RowStatus.REJECTED, RowStatus.IN_DOUBT, RowStatus.NOT_ATTEMPTED}
    )


def test_messages_that_ended_long_ago_are_deleted(ledger: Ledger) -> None:
    a_queued_job(ledger, JobState.SUCCEEDED)
    sweep(ledger)
    deliver(ledger)
    change_records(ledger, schema.message, ended_at=now() - events.RETENTION_SECONDS - 1)

    assert sweep(ledger) == []
