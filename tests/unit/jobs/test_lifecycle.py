"""What a person may do to a job in each of its states; and when a job closes by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    records_of,
    reported,
    state_of,
    statuses_of,
)
from worker.errors import UsageError
from worker.jobs import completion, lifecycle, resolve
from worker.jobs.resolve import Resolution
from worker.ledger import batches, intents, jobs, resolutions, rows, schema
from worker.ledger.database import now
from worker.ledger.intents import RowOutcome
from worker.model import DONE, ENDED, SENDING, CandidateState, JobState, RegistrationState, RowStatus
from worker.reports.labels import STATE_INFO

if TYPE_CHECKING:
    from worker.ledger.transactions import Ledger

OPEN = sorted(set(JobState) - ENDED)
NOT_DONE = sorted(set(RowStatus) - DONE - {RowStatus.SKIPPED})


def applied(ledger: Ledger, what: Any, *arguments: Any) -> Any:
    with ledger.write() as tx:
        return what(tx, *arguments)


def a_job_in(ledger: Ledger, state: JobState, *roster: Any) -> int:
    return a_job_of(ledger, *(roster or (a_row(2), a_row(3))), state=state)


@pytest.mark.parametrize("what", [lifecycle.pause, lifecycle.cancel, lifecycle.reopen, lifecycle.get_job])
def test_a_job_that_does_not_exist_says_how_to_list_those_that_do(ledger: Ledger, what: Any) -> None:
    with pytest.raises(UsageError, match="There is no job 99; `roster jobs` lists"):
        applied(ledger, what, 99)


# Pause


@pytest.mark.parametrize("state", sorted(set(OPEN) - {JobState.CANCELLING}))
def test_a_job_that_has_not_ended_can_be_paused(ledger: Ledger, state: JobState) -> None:
    job_id = a_job_in(ledger, state)

    assert f"roster resume {job_id}" in applied(ledger, lifecycle.pause, job_id)

    assert state_of(ledger, job_id) is JobState.PAUSED


@pytest.mark.parametrize("state", sorted(ENDED))
@pytest.mark.parametrize("what", [lifecycle.pause, lifecycle.cancel])
def test_a_job_that_has_ended_can_be_neither_paused_nor_cancelled(
    ledger: Ledger, state: JobState, what: Any
) -> None:
    job_id = a_job_in(ledger, state)

    with pytest.raises(UsageError, match=rf"has ended \({STATE_INFO[state].label}\)"):
        applied(ledger, what, job_id)

    assert state_of(ledger, job_id) is state


def test_pausing_does_not_revert_a_cancellation(ledger: Ledger) -> None:
    job_id = a_job_in(ledger, JobState.CANCELLING)

    with pytest.raises(UsageError):
        applied(ledger, lifecycle.pause, job_id)

    assert state_of(ledger, job_id) is JobState.CANCELLING


# Cancel


@pytest.mark.parametrize("state", OPEN)
def test_a_job_that_no_process_runs_is_cancelled_at_once_and_its_counts_are_right(
    ledger: Ledger, state: JobState
) -> None:
    job_id = a_job_in(ledger, state, a_row(2), a_row(3), a_row(4))
    with ledger.write() as tx:
        tx.execute(schema.row.update().where(schema.row.c.row == 2).values(status=RowStatus.REGISTERED))

    message = applied(ledger, lifecycle.cancel, job_id)

    assert "1 processed, 0 people created but not registered, 2 not sent" in message
    assert state_of(ledger, job_id) is JobState.CANCELLED
    assert open_batches_of(ledger, job_id) == []
    assert [reported(ledger, job_id, number).code for number in (2, 3, 4)] == ["", "cancelled", "cancelled"]
    assert records_of(ledger, schema.job)[0].finished_at is not None


def test_a_job_that_a_process_runs_is_cancelling_until_its_calls_have_finished(
    ledger: Ledger,
) -> None:
    job_id = a_job_in(ledger, JobState.RUNNING)
    claim = claimed(ledger, job_id)

    assert "calls in progress finish" in applied(ledger, lifecycle.cancel, job_id)
    assert state_of(ledger, job_id) is JobState.CANCELLING

    with ledger.write() as tx:
        batches.release(tx, claim, closed=False)
        lifecycle.finish_cancelling(tx, job_id)
    assert state_of(ledger, job_id) is JobState.CANCELLED
    assert set(statuses_of(ledger, job_id).values()) == {RowStatus.NOT_ATTEMPTED}


def test_cancelling_a_job_whose_worker_died_does_not_wait_for_it_and_marks_what_is_in_doubt(ledger: Ledger) -> None:
    job_id = a_job_in(ledger, JobState.RUNNING)
    claim = claimed(ledger, job_id, ELSEWHERE)
    with ledger.write() as tx:
        work = works_of_in(tx, claim)
        for write in intents.intent_to_create(claim, work, work.registration):
            tx.execute(write.statement, write.values)
    change_records(ledger, schema.batch, lease_until=now() - 1)

    applied(ledger, lifecycle.cancel, job_id)

    assert state_of(ledger, job_id) is JobState.CANCELLED
    assert sorted(statuses_of(ledger, job_id).values()) == [RowStatus.IN_DOUBT, RowStatus.NOT_ATTEMPTED]


def works_of_in(tx: Any, claim: Any) -> Any:
    return intents.load_items(tx, claim)[0]


def test_cancelling_twice_finishes_what_the_first_could_not(ledger: Ledger) -> None:
    job_id = a_job_in(ledger, JobState.RUNNING)
    claimed(ledger, job_id, ELSEWHERE)
    applied(ledger, lifecycle.cancel, job_id)
    assert state_of(ledger, job_id) is JobState.CANCELLING
    change_records(ledger, schema.batch, lease_until=now() - 1)

    applied(ledger, lifecycle.cancel, job_id)

    assert state_of(ledger, job_id) is JobState.CANCELLED


# Retry


def a_job_with_every_status(ledger: Ledger, state: JobState) -> int:
    job_id = a_job_in(ledger, state, *(a_row(number) for number in range(2, 2 + len(RowStatus))))
    for number, status in enumerate(sorted(RowStatus), start=2):
        with ledger.write() as tx:
            tx.execute(schema.row.update().where(schema.row.c.row == number).values(status=status, error="why"))
    return job_id


@pytest.mark.parametrize("state", sorted(ENDED - {JobState.INVALID, JobState.UNDONE}))
def test_retry_sends_what_was_never_sent_and_rejected_rows_only_when_asked(ledger: Ledger, state: JobState) -> None:
    job_id = a_job_with_every_status(ledger, state)
    before = statuses_of(ledger, job_id)

    assert applied(ledger, lifecycle.reopen, job_id) == 1
    assert state_of(ledger, job_id) is JobState.QUEUED
    assert records_of(ledger, schema.job)[0].finished_at is None
    with ledger.write() as tx:
        tx.execute(schema.job.update().values(state=state))
        assert lifecycle.reopen(tx, job_id, rejected=True) == 2

    assert statuses_of(ledger, job_id) == before, "the last outcome is kept until there is a newer one"


def test_rows_that_were_to_be_sent_again_have_their_outcome_back_when_the_job_is_cancelled(ledger: Ledger) -> None:
    job_id = a_job_with_every_status(ledger, JobState.COMPLETED_WITH_ERRORS)
    before = records_of(ledger, schema.row)
    with ledger.write() as tx:
        lifecycle.reopen(tx, job_id, rejected=True)
        lifecycle.cancel(tx, job_id)

    after = records_of(ledger, schema.row)
    assert [(each.status, each.error) for each in after if each.status == RowStatus.REJECTED] == [
        (each.status, each.error) for each in before if each.status == RowStatus.REJECTED
    ]


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.HELD, JobState.SCHEDULED])
def test_retry_of_a_stopped_job_opens_its_rows_and_leaves_its_state(ledger: Ledger, state: JobState) -> None:
    job_id = a_job_with_every_status(ledger, state)

    assert applied(ledger, lifecycle.reopen, job_id) == 1
    assert state_of(ledger, job_id) is state


@pytest.mark.parametrize("state", sorted(set(OPEN) - {JobState.PAUSED, JobState.HELD, JobState.SCHEDULED}))
def test_retry_of_a_running_job_says_to_resume_it(ledger: Ledger, state: JobState) -> None:
    job_id = a_job_with_every_status(ledger, state)
    before = statuses_of(ledger, job_id)

    with pytest.raises(UsageError, match=f"roster resume {job_id}"):
        applied(ledger, lifecycle.reopen, job_id)

    assert statuses_of(ledger, job_id) == before


def test_retry_of_an_undone_job_says_to_run_its_file_again(ledger: Ledger) -> None:
    job_id = a_job_with_every_status(ledger, JobState.UNDONE)
    before = statuses_of(ledger, job_id)

    with pytest.raises(UsageError, match=r"was undone .* run or upload its file again"):
        applied(ledger, lifecycle.reopen, job_id)

    assert statuses_of(ledger, job_id) == before


def test_retry_of_a_job_whose_roster_must_be_fixed_says_so(ledger: Ledger) -> None:
    job_id = a_job_in(ledger, JobState.INVALID)

    with pytest.raises(UsageError, match="upload the fixed file"):
        applied(ledger, lifecycle.reopen, job_id)


def test_retried_rows_are_planned_again_and_leave_their_old_batch(ledger: Ledger) -> None:
    job_id = a_job_in(ledger, JobState.COMPLETED_WITH_ERRORS)
    change_records(ledger, schema.row, status=RowStatus.REJECTED)
    with ledger.write() as tx:
        batches.close_batches(tx, job_id)

    with ledger.write() as tx:
        assert lifecycle.reopen(tx, job_id, rejected=True) == 2

    with ledger.read() as tx:
        assert len(batches.rows_to_plan(tx, job_id)) == 2


# Resolve


def in_doubt(ledger: Ledger, what: str) -> int:
    """Open a job whose only row is in doubt, for its candidate or for its registration."""
    job_id = a_job_in(ledger, JobState.COMPLETED_WITH_ERRORS, a_row(2))
    doubt_row(ledger, what)
    with ledger.write() as tx:
        batches.close_batches(tx, job_id)
    return job_id


def doubt_row(ledger: Ledger, what: str) -> None:
    change_records(ledger, schema.row, status=RowStatus.IN_DOUBT, error="lost", error_code="answer_lost")
    if what == "candidate":
        change_records(ledger, schema.candidate, state=CandidateState.IN_DOUBT)
    else:
        change_records(ledger, schema.candidate, state=CandidateState.KNOWN, lms_id="7")
        change_records(ledger, schema.registration, state=RegistrationState.IN_DOUBT)


def resolved(ledger: Ledger, job_id: int, **answer: Any) -> str:
    return str(applied(ledger, resolve.resolve_row, job_id, 2, Resolution(**answer)))


def lines(ledger: Ledger) -> tuple[Any, Any]:
    return records_of(ledger, schema.candidate)[0], records_of(ledger, schema.registration)[0]


def test_a_candidate_who_is_there_is_known_and_the_row_is_still_to_be_registered(ledger: Ledger) -> None:
    job_id = in_doubt(ledger, "candidate")

    assert f"roster resume {job_id}" in resolved(ledger, job_id, candidate_id="7")

    candidate, registration = lines(ledger)
    assert (candidate.state, candidate.lms_id) == (CandidateState.KNOWN, "7")
    assert registration.state == RegistrationState.NEW
    line = reported(ledger, job_id, 2)
    assert (line.status, line.error, line.code) == (RowStatus.NOT_ATTEMPTED, "", "")


def test_a_candidate_who_is_absent_is_new_and_may_be_sent_again(ledger: Ledger) -> None:
    job_id = in_doubt(ledger, "candidate")

    resolved(ledger, job_id, absent=True)

    assert lines(ledger)[0].state == CandidateState.NEW
    assert reported(ledger, job_id, 2).status is RowStatus.NOT_ATTEMPTED


def test_a_registration_that_another_job_sent_is_already_there_for_this_one(ledger: Ledger) -> None:
    job_id = in_doubt(ledger, "registration")
    change_records(ledger, schema.registration, job_id=job_id + 1)

    resolved(ledger, job_id, registration_id="R-9")

    registration = lines(ledger)[1]
    assert (registration.state, registration.lms_id) == (RegistrationState.REGISTERED, "R-9")
    assert registration.job_id == job_id + 1
    assert reported(ledger, job_id, 2).status is RowStatus.ALREADY_REGISTERED


def test_a_registration_that_is_there_is_done(ledger: Ledger) -> None:
    job_id = in_doubt(ledger, "registration")

    resolved(ledger, job_id, registration_id="R-9")

    registration = lines(ledger)[1]
    assert (registration.state, registration.lms_id) == (RegistrationState.REGISTERED, "R-9")
    line = reported(ledger, job_id, 2)
    assert (line.status, line.registration_id, line.error) == (RowStatus.REGISTERED, "R-9", "")


def test_a_registration_that_is_absent_is_new_and_its_candidate_stays_known(ledger: Ledger) -> None:
    job_id = in_doubt(ledger, "registration")

    resolved(ledger, job_id, absent=True)

    candidate, registration = lines(ledger)
    assert (candidate.state, candidate.lms_id) == (CandidateState.KNOWN, "7")
    assert registration.state == RegistrationState.NEW
    assert reported(ledger, job_id, 2).status is RowStatus.NOT_ATTEMPTED


def test_a_candidate_id_does_not_answer_for_a_registration(ledger: Ledger) -> None:
    job_id = in_doubt(ledger, "registration")

    with pytest.raises(UsageError, match="--registration-id"):
        resolved(ledger, job_id, candidate_id="7")

    assert reported(ledger, job_id, 2).status is RowStatus.IN_DOUBT


@pytest.mark.parametrize(
    "answer", [{}, {"absent": True, "candidate_id": "7"}, {"candidate_id": "7", "registration_id": "R"}]
)
def test_exactly_one_answer_must_be_given(ledger: Ledger, answer: dict[str, Any]) -> None:
    job_id = in_doubt(ledger, "candidate")

    with pytest.raises(UsageError, match="exactly one of"):
        resolved(ledger, job_id, **answer)


@pytest.mark.parametrize("status", sorted(set(RowStatus) - {RowStatus.IN_DOUBT}))
def test_only_a_row_in_doubt_is_resolved(ledger: Ledger, status: RowStatus) -> None:
    job_id = in_doubt(ledger, "candidate")
    change_records(ledger, schema.row, status=status)

    with pytest.raises(UsageError, match=f"is not in doubt; it is {status}"):
        resolved(ledger, job_id, absent=True)


def test_a_row_that_does_not_exist_is_not_resolved(ledger: Ledger) -> None:
    job_id = in_doubt(ledger, "candidate")

    with pytest.raises(UsageError, match="has no row 99"):
        applied(ledger, resolve.resolve_row, job_id, 99, Resolution(absent=True))


def test_absent_for_a_person_who_was_found_meanwhile_does_not_make_them_unknown(ledger: Ledger) -> None:
    """Two jobs wait for one candidate; a person settles one job's row, then hastily answers for the other."""
    first, second = (in_doubt(ledger, "candidate") for _ in range(2))
    doubt_row(ledger, "candidate")
    resolved(ledger, first, candidate_id="7")

    resolved(ledger, second, absent=True)

    candidate, _ = lines(ledger)
    assert (candidate.state, candidate.lms_id) == (CandidateState.KNOWN, "7")


async def test_an_answer_on_one_row_of_a_registered_candidate_and_course_does_not_send_it_again(
    ledger: Ledger,
) -> None:
    first, second = (in_doubt(ledger, "registration") for _ in range(2))
    doubt_row(ledger, "registration")
    resolved(ledger, first, registration_id="R-9")

    resolved(ledger, second, absent=True)

    assert lines(ledger)[1].state == RegistrationState.REGISTERED


# Completion


@pytest.mark.parametrize("state", SENDING)
async def test_a_job_whose_rows_are_all_done_has_succeeded(ledger: Ledger, state: JobState) -> None:
    job_id = a_job_in(ledger, state)
    claim = claimed(ledger, job_id)
    for work in items_of(ledger, claim):
        await ledger.commit(*intents.registered(claim, work, RowOutcome(status=RowStatus.REGISTERED)))

    assert not applied(ledger, completion.close_if_done, job_id)
    with ledger.write() as tx:
        batches.release(tx, claim, closed=True)

    assert applied(ledger, completion.close_if_done, job_id)
    assert not applied(ledger, completion.close_if_done, job_id)
    assert state_of(ledger, job_id) is JobState.SUCCEEDED
    assert records_of(ledger, schema.job)[0].finished_at is not None


@pytest.mark.parametrize("status", sorted(DONE | {RowStatus.SKIPPED}))
def test_every_kind_of_done_is_success(ledger: Ledger, status: RowStatus) -> None:
    assert closed_with(ledger, status) is JobState.SUCCEEDED


@pytest.mark.parametrize("status", NOT_DONE)
def test_one_row_that_is_not_done_is_an_error(ledger: Ledger, status: RowStatus) -> None:
    assert closed_with(ledger, status) is JobState.COMPLETED_WITH_ERRORS


def closed_with(ledger: Ledger, status: RowStatus) -> JobState:
    job_id = a_job_in(ledger, JobState.RUNNING)
    change_records(ledger, schema.row, status=RowStatus.REGISTERED)
    with ledger.write() as tx:
        tx.execute(schema.row.update().where(schema.row.c.row == 2).values(status=status))
        batches.close_batches(tx, job_id)
        assert completion.close_if_done(tx, job_id)
    return state_of(ledger, job_id)


@pytest.mark.parametrize("state", sorted(set(JobState) - set(SENDING)))
def test_a_job_that_a_person_or_the_breaker_stopped_does_not_close_by_itself(
    ledger: Ledger, state: JobState
) -> None:
    job_id = a_job_in(ledger, state)
    with ledger.write() as tx:
        batches.close_batches(tx, job_id)

        assert not completion.close_if_done(tx, job_id)

    assert state_of(ledger, job_id) is state


def test_a_course_that_is_given_up_leaves_the_others_open_and_says_why(ledger: Ledger) -> None:
    ana = a_candidate()
    job_id = a_job_in(ledger, JobState.RUNNING, a_row(2, ana), a_row(3, ana, course=a_course("59")))

    applied(ledger, batches.give_up_course, job_id, a_course("59").key, "No course.", "course_stopped")

    assert [batch.course_key for batch in open_batches_of(ledger, job_id)] == [a_course().key]
    line = reported(ledger, job_id, 3)
    assert (line.status, line.code, line.error) == (
        RowStatus.NOT_ATTEMPTED,
        "course_stopped",
        "Not sent: No course.",
    )
    with ledger.read() as tx:
        assert rows.count_rows(tx, job_id).total == 2
        job = jobs.find_job(tx, job_id)
    assert job is not None
    assert not job.has_ended


# Handed to the workers


def test_a_scheduled_job_that_was_paused_starts_when_it_was_scheduled_to(ledger: Ledger) -> None:
    tomorrow = now() + 86_400
    job_id = a_job_in(ledger, JobState.SCHEDULED)
    change_records(ledger, schema.job, not_before=tomorrow, headings=[])

    applied(ledger, lifecycle.pause, job_id)
    message = applied(ledger, lifecycle.hand_to_queue, job_id)

    line = records_of(ledger, schema.job)[0]
    assert (line.state, line.not_before) == (JobState.SCHEDULED, tomorrow)
    assert "scheduled" in message


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.HELD, JobState.SCHEDULED])
def test_a_job_that_was_never_imported_is_imported_when_it_is_resumed(ledger: Ledger, state: JobState) -> None:
    job_id = a_job_in(ledger, state)
    change_records(ledger, schema.job, headings=[])

    applied(ledger, lifecycle.resume, job_id)

    assert state_of(ledger, job_id) is JobState.UPLOADED


def test_a_job_cancelled_before_it_was_imported_is_imported_when_it_is_retried(ledger: Ledger) -> None:
    job_id = a_job_in(ledger, JobState.CANCELLED)
    change_records(ledger, schema.job, headings=[])

    applied(ledger, lifecycle.reopen, job_id)

    assert state_of(ledger, job_id) is JobState.UPLOADED


def test_a_job_that_has_ended_and_has_nothing_open_cannot_be_resumed(ledger: Ledger) -> None:
    job_id = a_job_in(ledger, JobState.SUCCEEDED)
    change_records(ledger, schema.row, status=RowStatus.REGISTERED)

    with pytest.raises(UsageError, match="nothing is left to do"):
        applied(ledger, lifecycle.hand_to_queue, job_id)

    assert state_of(ledger, job_id) is JobState.SUCCEEDED


def test_rows_whose_calls_are_in_progress_are_not_retried(ledger: Ledger) -> None:
    job_id = a_job_in(ledger, JobState.RUNNING, a_row(2))
    claimed(ledger, job_id)
    change_records(ledger, schema.job, state=JobState.HELD)

    with pytest.raises(UsageError, match="in progress"):
        applied(ledger, lifecycle.reopen, job_id)


def test_absent_does_not_undo_a_registration_that_was_confirmed_meanwhile(ledger: Ledger) -> None:
    job_id = in_doubt(ledger, "registration")
    with ledger.read() as tx:
        seen = resolutions.find_row(tx, job_id, 2)
    assert seen is not None
    change_records(ledger, schema.registration, state=RegistrationState.REGISTERED)

    with pytest.raises(UsageError, match="confirmed just now"), ledger.write() as tx:
        resolutions.save_resolution(tx, job_id, seen, candidate_id=None, registration_id=None)
