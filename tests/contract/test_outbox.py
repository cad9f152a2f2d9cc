"""What is told of jobs, to whom and how often: on SQLite and PostgreSQL, whoever looks and whoever dies."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert

from tests.builders import a_job, a_job_of, a_row, change_lines, lines_of, open_ledger
from tests.message_receivers import SECRET
from worker.ledger import jobs, outbox, schema
from worker.ledger.database import now
from worker.ledger.transactions import Ledger
from worker.model import Driver, JobState, RowStatus
from worker.notifications import events
from worker.settings import Post, Settings, read_post

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENDED, NEEDS, TROUBLE, WELL = "job.ended", "job.needs_person", "connection.trouble", "connection.well"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path)
    yield opened
    opened.close()


def told_by(**changes: Any) -> Post:
    """Return one receiver, a webhook that nobody calls here."""
    raw = {"kind": "webhook", "url": "https://example.com/hook", "secret": SECRET, **changes}
    return read_post(Settings(messages={"hook": raw}, connections={"north": {}, "south": {}}))


EVERYTHING = told_by()


def a_queued_job(ledger: Ledger, state: JobState, **changes: Any) -> int:
    """Open a job that works in the background, with four rows, none of them sent."""
    rows = [a_row(number) for number in range(2, 6)]
    return a_job_of(ledger, *rows, state=state, driver=Driver.QUEUE, **changes)


def settle(ledger: Ledger, job_id: int, *statuses: str) -> None:
    """Say what became of a job's rows, in order."""
    with ledger.write() as tx:
        table = schema.row
        for number, status in enumerate(statuses, start=2):
            tx.execute(table.update().where(table.c.job_id == job_id, table.c.row == number).values(status=status))


def come_to(ledger: Ledger, job_id: int, state: JobState, **values: Any) -> None:
    with ledger.write() as tx:
        jobs.change_job(tx, job_id, state=state, **values)


def look(ledger: Ledger, post: Post = EVERYTHING) -> list[str]:
    """Sweep once and return every event that was ever put out, in order."""
    with ledger.write() as tx:
        events.put_due(tx, post)
    return events_of(ledger)


def events_of(ledger: Ledger) -> list[str]:
    return [line.event for line in lines_of(ledger, schema.message)]


# Once, whoever looks


def test_an_end_is_put_out_once_by_however_many_sweeps(two: tuple[Ledger, Ledger]) -> None:
    for _ in range(5):
        a_queued_job(two[0], JobState.SUCCEEDED)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(look, [*two, *two] * 3))

    assert look(two[0]) == [ENDED] * 5
    assert look(two[1]) == [ENDED] * 5


def test_of_two_that_claim_a_message_one_gets_it(two: tuple[Ledger, Ledger]) -> None:
    for _ in range(10):
        a_queued_job(two[0], JobState.SUCCEEDED)
    look(two[0])
    with two[0].read() as tx:
        waiting = outbox.due(tx, 100)

    def claim(pair: tuple[Ledger, outbox.Message]) -> bool:
        with pair[0].write() as tx:
            return outbox.claim(tx, pair[1], now() + 60) is not None

    with ThreadPoolExecutor(4) as threads:
        won = list(threads.map(claim, [(ledger, message) for message in waiting for ledger in two]))

    assert sum(won) == len(waiting) == 10


def test_what_an_older_claim_has_to_say_is_void(two: tuple[Ledger, Ledger]) -> None:
    a_queued_job(two[0], JobState.SUCCEEDED)
    look(two[0])
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

    (line,) = lines_of(two[0], schema.message)
    assert (line.sent, line.error, line.attempts) == (True, "", 2)


def test_nothing_is_due_before_its_time_and_while_somebody_holds_it(ledger: Ledger) -> None:
    a_queued_job(ledger, JobState.SUCCEEDED)
    look(ledger)

    with ledger.write() as tx:
        (message,) = outbox.due(tx, 10)
        outbox.claim(tx, message, now() + 60)
        assert outbox.due(tx, 10) == []


def test_the_whole_story_is_the_same_on_both_databases(two: tuple[Ledger, Ledger]) -> None:
    post = told_by(threshold_percent=25)
    settle(two[0], a_queued_job(two[0], JobState.COMPLETED_WITH_ERRORS), *["rejected"] * 4)
    look(two[0], post)
    go_through(two[1])
    look(two[1], post)
    first = hold(two[0])
    look(two[0], post)
    second = hold(two[1])
    look(two[1], post)
    waiting = a_queued_job(two[0], JobState.RUNNING, connection="south")
    come_to(two[0], waiting, JobState.WAITING, not_before=now() + 2 * outbox.LONG_WAIT_SECONDS)
    look(two[1], post)
    fail(two[0])
    with two[1].read() as tx:
        failed = outbox.last_failed(tx, "hook", 0.0)
        assert failed is not None
        assert (failed.event, failed.error, outbox.count_waiting(tx)) == (NEEDS, "away", 4)
        assert outbox.held_jobs(tx, "north") == [first, second]
    change_lines(two[0], schema.message, not_before=now() - 1)
    reach(two[0])
    come_to(two[0], first, JobState.RUNNING)
    go_through(two[0], first)

    assert look(two[1], post) == [ENDED, WELL, TROUBLE, NEEDS, WELL]
    with two[0].read() as tx:
        assert outbox.last_failed(tx, "hook", 0.0) is None
        assert outbox.count_waiting(tx) == 1
        assert [each.state for each in outbox.newest(tx, 2)] == ["waiting", "sent"]


def fail(ledger: Ledger) -> None:
    """Let no message that waits arrive."""
    with ledger.write() as tx:
        for message in outbox.due(tx, 100, "hook"):
            claimed = outbox.claim(tx, message, now() + 60)
            assert claimed is not None
            outbox.postpone(tx, claimed, now() + 60, "away")


# Of what


@pytest.mark.parametrize(
    ("state", "told"),
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
def test_people_are_told_of_ends_and_of_what_waits_for_them(
    ledger: Ledger, state: JobState, told: list[str]
) -> None:
    a_queued_job(ledger, state)

    assert look(ledger) == told


def test_whoever_runs_a_job_in_a_terminal_is_told_nothing(ledger: Ledger) -> None:
    a_job_of(ledger, a_row(2), state=JobState.SUCCEEDED)

    assert look(ledger) == []


def test_who_is_told_for_the_first_time_is_not_told_the_past(ledger: Ledger) -> None:
    a_queued_job(ledger, JobState.SUCCEEDED)

    assert look(ledger, Post()) == []
    assert look(ledger) == []


def test_a_job_of_an_older_ledger_is_the_past_too(ledger: Ledger) -> None:
    a_queued_job(ledger, JobState.SUCCEEDED)
    change_lines(ledger, schema.job, state_at=None)

    assert look(ledger) == []


def test_a_job_that_ends_again_is_told_again(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, JobState.COMPLETED_WITH_ERRORS)
    look(ledger)

    come_to(ledger, job_id, JobState.QUEUED)
    come_to(ledger, job_id, JobState.SUCCEEDED)

    assert look(ledger) == [ENDED, ENDED]


def test_a_job_that_comes_to_the_state_it_is_in_is_told_once(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, JobState.HELD)
    look(ledger)

    come_to(ledger, job_id, JobState.HELD, reason="still")

    assert look(ledger) == [NEEDS]


def test_a_long_pause_of_the_lms_is_told_and_a_short_one_is_not(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, JobState.RUNNING)
    come_to(ledger, job_id, JobState.WAITING, not_before=now() + 600)
    assert look(ledger) == []

    come_to(ledger, job_id, JobState.WAITING, not_before=now() + outbox.LONG_WAIT_SECONDS + 60)

    assert look(ledger) == [NEEDS]


def test_rows_in_doubt_need_a_person_who_wants_to_hear_of_nothing_else(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, JobState.COMPLETED_WITH_ERRORS)
    settle(ledger, job_id, "registered", "registered", "registered", "in_doubt")

    assert look(ledger, told_by(on=["needs_person"])) == [NEEDS]


def test_a_receiver_hears_of_its_own_connections_only(ledger: Ledger) -> None:
    a_queued_job(ledger, JobState.SUCCEEDED)
    a_queued_job(ledger, JobState.SUCCEEDED, connection="south")

    look(ledger, told_by(connections=["SOUTH"]))

    assert [line.connection for line in lines_of(ledger, schema.message)] == ["south"]


# The threshold


@pytest.mark.parametrize(
    ("limit", "bad", "told"),
    [(None, 0, 1), (None, 4, 1), (0, 0, 0), (0, 1, 1), (25, 1, 0), (25, 2, 1), (50, 4, 1), (99, 3, 0)],
)
def test_an_end_is_told_above_the_threshold(ledger: Ledger, limit: float | None, bad: int, told: int) -> None:
    job_id = a_queued_job(ledger, JobState.COMPLETED_WITH_ERRORS)
    settle(ledger, job_id, *["rejected"] * bad, *["registered"] * (4 - bad))

    assert look(ledger, told_by(threshold_percent=limit)) == [ENDED] * told


def test_repeats_within_a_roster_count_as_done(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, JobState.SUCCEEDED)
    settle(ledger, job_id, "registered", *["skipped"] * 3)

    assert look(ledger, told_by(threshold_percent=0)) == []


def test_doubt_is_told_below_the_threshold_too(ledger: Ledger) -> None:
    job_id = a_queued_job(ledger, JobState.COMPLETED_WITH_ERRORS)
    settle(ledger, job_id, *["registered"] * 3, "in_doubt")

    assert look(ledger, told_by(threshold_percent=50)) == [NEEDS]


def test_a_roster_that_could_not_be_read_is_above_every_threshold(ledger: Ledger) -> None:
    with ledger.write() as tx:
        a_job(tx, JobState.INVALID, driver=Driver.QUEUE)

    assert look(ledger, told_by(threshold_percent=90)) == [ENDED]


def test_the_first_good_end_after_a_bad_one_is_told_as_well_again_once(ledger: Ledger) -> None:
    post = told_by(threshold_percent=25)
    for statuses in (["registered"] * 4, ["rejected"] * 4, ["registered"] * 4, ["registered"] * 4):
        settle(ledger, a_queued_job(ledger, JobState.SUCCEEDED), *statuses)
        look(ledger, post)

    assert events_of(ledger) == [ENDED, WELL]


# Trouble, and well again


def hold(ledger: Ledger, code: str = "credentials_refused", **changes: Any) -> int:
    job_id = a_queued_job(ledger, JobState.RUNNING, **changes)
    come_to(ledger, job_id, JobState.HELD, reason="…", reason_code=code)
    return job_id


def go_through(ledger: Ledger, job_id: int | None = None, *, calls: int = 3, connection: str = "north") -> None:
    """Let a job end that has called its LMS."""
    job_id = job_id or a_queued_job(ledger, JobState.RUNNING, connection=connection)
    settle(ledger, job_id, *["registered"] * 4)
    with ledger.write() as tx:
        tx.execute(insert(schema.call).values(job_id=job_id, operation="register", calls=calls))
    come_to(ledger, job_id, JobState.SUCCEEDED)


def reach(ledger: Ledger) -> None:
    """Let every message that waits arrive."""
    with ledger.write() as tx:
        for message in outbox.due(tx, 100):
            claimed = outbox.claim(tx, message, now() + 60)
            assert claimed is not None
            outbox.end(tx, claimed, sent=True)


def test_trouble_of_a_connection_is_told_once_however_many_jobs_meet_it(ledger: Ledger) -> None:
    hold(ledger)
    look(ledger)
    hold(ledger)
    hold(ledger)

    assert look(ledger) == [TROUBLE]
    hold(ledger, connection="south")
    assert look(ledger) == [TROUBLE, TROUBLE]


def test_it_is_told_once_that_a_connection_is_well_again(ledger: Ledger) -> None:
    hold(ledger)
    look(ledger)
    reach(ledger)
    go_through(ledger)
    look(ledger, told_by(on=["trouble", "well_again"]))
    go_through(ledger)

    assert look(ledger, told_by(on=["trouble", "well_again"])) == [TROUBLE, WELL]


def test_the_job_that_met_the_trouble_may_be_the_one_that_shows_it_is_over(ledger: Ledger) -> None:
    job_id = hold(ledger)
    look(ledger)
    reach(ledger)

    come_to(ledger, job_id, JobState.RUNNING)
    go_through(ledger, job_id)

    assert look(ledger) == [TROUBLE, ENDED, WELL]


def test_a_job_that_called_nobody_shows_nothing(ledger: Ledger) -> None:
    hold(ledger)
    look(ledger)
    reach(ledger)

    go_through(ledger, calls=0)
    go_through(ledger, connection="south")

    assert WELL not in look(ledger)


def test_new_trouble_after_a_good_job_is_told_anew(ledger: Ledger) -> None:
    for _ in range(2):
        hold(ledger)
        look(ledger)
        reach(ledger)
        go_through(ledger)
        look(ledger)

    assert [event for event in look(ledger) if event != ENDED] == [TROUBLE, WELL] * 2


def test_a_job_that_is_held_again_after_somebody_resumed_it_is_told(ledger: Ledger) -> None:
    job_id = hold(ledger)
    look(ledger)

    come_to(ledger, job_id, JobState.RUNNING)
    come_to(ledger, job_id, JobState.HELD, reason_code="credentials_refused")

    assert look(ledger) == [TROUBLE, NEEDS]


def test_who_heard_nothing_of_the_trouble_hears_nothing_of_its_end(ledger: Ledger) -> None:
    hold(ledger)
    look(ledger)

    go_through(ledger)

    assert look(ledger) == [TROUBLE, ENDED]


def test_what_is_the_matter_with_one_roster_is_no_trouble_of_its_connection(ledger: Ledger) -> None:
    hold(ledger, "course_not_found")
    hold(ledger, "course_not_found")

    assert look(ledger) == [NEEDS, NEEDS]


def test_the_code_of_a_hold_goes_with_it(ledger: Ledger) -> None:
    job_id = hold(ledger)
    come_to(ledger, job_id, JobState.RUNNING)

    with ledger.read() as tx:
        job = jobs.find_job(tx, job_id)
    assert job is not None
    assert job.reason_code is None


def test_every_status_of_a_row_is_counted_as_done_or_not(ledger: Ledger) -> None:
    for status in RowStatus:
        job_id = a_queued_job(ledger, JobState.COMPLETED_WITH_ERRORS)
        settle(ledger, job_id, *[status] * 4)
    look(ledger, told_by(threshold_percent=0, on=["ended"]))

    assert len(events_of(ledger)) == len(
        {RowStatus.INVALID, RowStatus.REJECTED, RowStatus.IN_DOUBT, RowStatus.NOT_ATTEMPTED}
    )


def test_what_ended_long_ago_is_forgotten(ledger: Ledger) -> None:
    a_queued_job(ledger, JobState.SUCCEEDED)
    look(ledger)
    reach(ledger)
    change_lines(ledger, schema.message, ended_at=now() - events.KEPT_SECONDS - 1)

    assert look(ledger) == []
