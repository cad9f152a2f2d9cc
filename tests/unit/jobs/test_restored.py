"""A ledger that was restored from a backup doubts what it did not send, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.builders import (
    a_candidate,
    a_job,
    a_job_of,
    a_row,
    claimed,
    open_batches_of,
    record_of,
    records_of,
    state_of,
    statuses_of,
)
from worker.bootstrap import Services
from worker.jobs.resolve import Resolution, resolve_row
from worker.jobs.restored import mark_restored
from worker.ledger import intents, jobs, schedules, schema
from worker.ledger.database import now
from worker.ledger.restoring import LEDGER_RESTORED
from worker.model import CandidateState, JobState, RegistrationState, RowStatus
from worker.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from worker.jobs.restored import Restored
    from worker.ledger.transactions import Ledger


def restored(ledger: Ledger, files: Path) -> Restored:
    return mark_restored(Services(settings=Settings(files=str(files)), ledger=ledger, owner="here/1/1.0"), now())


def people(count: int = 2) -> list[object]:
    return [a_row(number + 1, a_candidate(number)) for number in range(1, count + 1)]


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.WAITING, JobState.PAUSED, JobState.CANCELLING])
def test_a_job_that_had_not_ended_waits_for_a_person_with_its_unsent_rows_in_doubt(
    ledger: Ledger, tmp_path: Path, state: JobState
) -> None:
    job = a_job_of(ledger, *people())
    with ledger.write() as tx:
        jobs.change_job(tx, job, state=state)

    found = restored(ledger, tmp_path)

    assert found.held == {job: 2}
    assert (found.candidates, found.registrations) == (2, 2)
    assert state_of(ledger, job) is JobState.HELD
    assert set(statuses_of(ledger, job).values()) == {RowStatus.IN_DOUBT}
    assert records_of(ledger, schema.row)[0].error_code == LEDGER_RESTORED
    assert open_batches_of(ledger, job) == []
    assert not record_of(ledger, schema.job, job).planned


async def test_calls_that_were_under_way_are_in_doubt_because_of_their_job(ledger: Ledger, tmp_path: Path) -> None:
    job = a_job_of(ledger, *people(1))
    claim = claimed(ledger, job)
    with ledger.read() as tx:
        (work,) = intents.load_items(tx, claim)
    await ledger.commit(*intents.intent_to_create(claim, work, work.candidate))

    restored(ledger, tmp_path)

    (candidate,) = records_of(ledger, schema.candidate)
    assert (candidate.state, candidate.job_id, candidate.claimed_by) == (CandidateState.IN_DOUBT, job, None)
    assert records_of(ledger, schema.row)[0].error_code == "answer_lost"


def test_a_roster_that_was_not_read_is_not_sent_and_one_that_is_ahead_stays_as_it_is(
    ledger: Ledger, tmp_path: Path
) -> None:
    with ledger.write() as tx:
        unread = a_job(tx, JobState.UPLOADED, headings=[], fingerprint="a" * 64)
        late = a_job(tx, JobState.SCHEDULED, headings=[], not_before=now() - 60, fingerprint="b" * 64)
        ahead = a_job(tx, JobState.SCHEDULED, not_before=now() + 3600, fingerprint="c" * 64)

    found = restored(ledger, tmp_path)

    assert (found.unread, found.ahead, found.held) == ((unread, late), (ahead,), {})
    assert state_of(ledger, unread) is state_of(ledger, late) is JobState.INVALID
    assert state_of(ledger, ahead) is JobState.SCHEDULED


def test_what_was_done_stays_done_and_a_rejected_row_of_an_ended_job_is_looked_up_before_it_is_sent(
    ledger: Ledger, tmp_path: Path
) -> None:
    job = a_job_of(ledger, *people())
    with ledger.write() as tx:
        jobs.change_job(tx, job, state=JobState.COMPLETED_WITH_ERRORS)
        first, second = records_of(ledger, schema.row)
        for table, record in ((schema.candidate, first.candidate_id), (schema.registration, first.registration_id)):
            done = CandidateState.KNOWN if table is schema.candidate else RegistrationState.REGISTERED
            tx.execute(table.update().where(table.c.id == record).values(state=done))
        rows = schema.row.update()
        tx.execute(rows.where(schema.row.c.id == first.id).values(status=RowStatus.REGISTERED))
        tx.execute(rows.where(schema.row.c.id == second.id).values(status=RowStatus.REJECTED))

    found = restored(ledger, tmp_path)

    assert (found.held, found.candidates, found.registrations) == ({}, 1, 1)
    assert state_of(ledger, job) is JobState.COMPLETED_WITH_ERRORS
    assert list(statuses_of(ledger, job).values()) == [RowStatus.REGISTERED, RowStatus.REJECTED]
    states = [record.state for record in records_of(ledger, schema.candidate)]
    assert states == [CandidateState.KNOWN, CandidateState.IN_DOUBT]


@pytest.mark.parametrize(
    ("answer", "candidate", "registration"),
    [
        (Resolution(candidate_id="77"), CandidateState.KNOWN, RegistrationState.NEW),
        (Resolution(absent=True), CandidateState.NEW, RegistrationState.NEW),
        (Resolution(registration_id="5"), CandidateState.IN_DOUBT, RegistrationState.REGISTERED),
    ],
)
def test_a_person_answers_for_person_and_registration_at_once(
    ledger: Ledger,
    tmp_path: Path,
    answer: Resolution,
    candidate: CandidateState,
    registration: RegistrationState,
) -> None:
    job = a_job_of(ledger, *people(1))
    restored(ledger, tmp_path)

    with ledger.write() as tx:
        resolve_row(tx, job, 2, answer)

    assert records_of(ledger, schema.candidate)[0].state == candidate
    assert records_of(ledger, schema.registration)[0].state == registration


def test_stored_rosters_of_no_job_and_missed_runs_are_named(ledger: Ledger, tmp_path: Path) -> None:
    known, unknown = tmp_path / f"{'a' * 32}.csv", tmp_path / f"{'b' * 32}.csv"
    for file in (known, unknown, tmp_path / "notes.txt"):
        file.write_text("email\n", encoding="utf-8")
    with ledger.write() as tx:
        a_job(tx, JobState.SUCCEEDED, stored_path=str(known.resolve()))
        schedules.add(
            tx,
            name="nightly",
            cron="0 3 * * *",
            zone="UTC",
            source="/nowhere.csv",
            connection="north",
            options={},
            missed="once",
            next_at=now() - 60,
            report_dir="reports",
        )

    found = restored(ledger, tmp_path)

    assert found.unknown == (unknown.resolve(),)
    assert [each.name for each in found.schedules] == ["nightly"]
    assert found.last_written is not None
