"""What an LMS told settles a doubt only where it surely is about our call, and changes nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import NORTH, a_job_of, a_row, change_records, records_of, reported, state_of
from worker.jobs.webhooks import apply_all, store
from worker.ledger import batches, schema, webhooks
from worker.ledger.candidates import id_key_of
from worker.ledger.database import now
from worker.lms.contract import WebhookEvent
from worker.model import CandidateState, JobState, RegistrationState, RowStatus

if TYPE_CHECKING:
    from worker.ledger.transactions import Ledger


@pytest.fixture
def job(ledger: Ledger) -> int:
    """Leave a job with one row, its registration in doubt, on course 58 of legal entity 42."""
    job_id = a_job_of(ledger, a_row(2), state=JobState.COMPLETED_WITH_ERRORS)
    with ledger.write() as tx:
        batches.close_batches(tx, job_id)
    change_records(ledger, schema.row, status=RowStatus.IN_DOUBT, error="lost", error_code="answer_lost")
    change_records(ledger, schema.candidate, state=CandidateState.KNOWN, lms_id="7", id_key=id_key_of("7"))
    change_records(ledger, schema.registration, state=RegistrationState.IN_DOUBT, job_id=job_id, sent_at=now())
    return job_id


def told(ledger: Ledger, connection: str = NORTH, mark: str = "m", **changes: Any) -> int:
    notice = WebhookEvent(**{"candidate_id": "7", "course_id": "58", "registration_id": "900", **changes})
    store(ledger, connection, mark, [notice])
    return apply_all(ledger)


def fates(ledger: Ledger) -> list[str]:
    return [event.status for event in records_of(ledger, schema.webhook_event)]


def test_a_doubt_is_settled_and_the_job_reads_succeeded(ledger: Ledger, job: int) -> None:
    assert told(ledger) == 1

    line = reported(ledger, job, 2)
    assert (line.status, line.registration_id, line.error, line.code) == (RowStatus.REGISTERED, "900", "", "")
    assert state_of(ledger, job) is JobState.SUCCEEDED
    assert fates(ledger) == ["settled"]


def test_a_row_of_another_job_than_the_one_that_sent_it_was_registered_already(ledger: Ledger, job: int) -> None:
    change_records(ledger, schema.registration, job_id=job + 1)

    told(ledger)

    assert reported(ledger, job, 2).status is RowStatus.ALREADY_REGISTERED


@pytest.mark.parametrize(
    "other",
    [{"candidate_id": "8"}, {"course_id": "59"}, {"legal_entity_id": "43"}, {"connection": "south"}],
)
def test_what_is_about_somebody_or_something_else_settles_nothing(ledger: Ledger, job: int, other: Any) -> None:
    assert told(ledger, **other) == 0

    assert reported(ledger, job, 2).status is RowStatus.IN_DOUBT
    assert fates(ledger) == ["waiting"]


def test_while_somebody_is_at_work_on_it_it_waits(ledger: Ledger, job: int) -> None:
    change_records(ledger, schema.registration, claimed_by="1:1")
    assert told(ledger) == 0

    change_records(ledger, schema.registration, claimed_by=None)

    assert apply_all(ledger) == 1
    assert reported(ledger, job, 2).status is RowStatus.REGISTERED


@pytest.mark.parametrize("state", [RegistrationState.NEW, RegistrationState.SENDING, RegistrationState.WITHDRAWN])
def test_a_registration_in_any_other_state_is_left_as_it_is(ledger: Ledger, job: int, state: Any) -> None:
    change_records(ledger, schema.registration, state=state)

    assert told(ledger) == 0

    (line,) = records_of(ledger, schema.registration)
    assert (line.state, line.lms_id) == (state, None)


def test_what_came_before_our_call_was_about_something_else(ledger: Ledger, job: int) -> None:
    change_records(ledger, schema.registration, sent_at=now() + 10 * webhooks.CLOCK_SKEW_SECONDS)

    assert told(ledger) == 0

    assert reported(ledger, job, 2).status is RowStatus.IN_DOUBT


def test_another_id_confirms_nothing_and_the_same_does(ledger: Ledger, job: int) -> None:
    change_records(ledger, schema.registration, state=RegistrationState.REGISTERED, lms_id="900")
    change_records(ledger, schema.row, status=RowStatus.REGISTERED, error="", error_code="")

    told(ledger, registration_id="901", mark="one")
    assert records_of(ledger, schema.row)[0].verified is None
    told(ledger, mark="two")

    assert records_of(ledger, schema.row)[0].verified == "confirmed"
    assert fates(ledger) == ["waiting", "confirmed"]


def test_what_matched_nothing_for_a_week_is_ignored_and_in_the_end_forgotten(ledger: Ledger, job: int) -> None:
    told(ledger, candidate_id="8")
    change_records(ledger, schema.webhook_event, received_at=now() - webhooks.WAITING_SECONDS - 1)
    apply_all(ledger)
    assert fates(ledger) == ["ignored"]

    change_records(ledger, schema.webhook_event, received_at=now() - webhooks.RETENTION_SECONDS - 1)
    apply_all(ledger)

    assert fates(ledger) == []


def test_the_same_one_is_kept_once(ledger: Ledger) -> None:
    assert store(ledger, NORTH, "m", []) is True
    assert store(ledger, NORTH, "m", []) is False
    assert fates(ledger) == ["ignored"]
