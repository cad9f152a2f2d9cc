"""A ledger that was restored from a backup: what may have been sent after the backup was made is in doubt.

The records of such candidates and registrations name no job: none in this ledger has sent them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, exists, func, null, or_, select, update

from worker.ledger import jobs
from worker.ledger.database import now
from worker.ledger.schema import audit, candidate, job, key_value, registration, row
from worker.model import Action, CandidateState, JobState, RegistrationState, RowStatus

if TYPE_CHECKING:
    from collections.abc import Collection

    from worker.ledger.database import Transaction

#: The code of rows and jobs of which a restored ledger does not know whether they were sent.
LEDGER_RESTORED = "ledger_restored"
#: The error of such a row.
MAY_BE_SENT = (
    "The ledger was restored from a backup, and this row may have been sent after the backup was made. Where the "
    "LMS can be asked, resuming the job finds out; otherwise check it at the LMS, then use `roster resolve`"
)
#: What a job says that waits for a person since.
HELD = (
    "The ledger was restored from a backup, and rows of this job may have been sent after the backup was made; "
    "resume it to have them looked up before anything is sent"
)
#: What a job says whose roster had not been read when the backup was made.
UNREAD = (
    "The ledger was restored from a backup that was made before this roster was read, and it may have been sent "
    "since. Check at the LMS whether its people are registered, then upload the file again with those who are not"
)
_TIMES = (job.c.state_at, job.c.created_at, row.c.changed_at, key_value.c.updated_at, audit.c.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnendedJob:
    """A job that had not ended when the backup was made."""

    id: int
    is_read: bool
    #: It was to start in the future, and has not: nothing of it can have been sent.
    is_ahead: bool


def is_restored_doubt() -> ColumnElement[bool]:
    """Return the condition that a candidate is in doubt since the ledger was restored, not because of a call."""
    return and_(
        candidate.c.state == CandidateState.IN_DOUBT,
        candidate.c.job_id.is_(None),
        candidate.c.pending_action.is_(None),
    )


def last_written(tx: Transaction) -> float | None:
    """Return when something was last written to the ledger: the backup is not older (seconds since 1970)."""
    found = [tx.execute(select(func.max(column))).scalar() for column in _TIMES]
    return max((at for at in found if at is not None), default=None)


def unended_jobs(tx: Transaction) -> list[UnendedJob]:
    """Return the jobs that have not ended, in order."""
    ended = [state.value for state in JobState if state.has_ended]
    records = tx.execute(select(job).where(job.c.state.not_in(ended)).order_by(job.c.id)).all()
    return [
        UnendedJob(
            id=record.id,
            is_read=bool(record.headings),
            is_ahead=JobState(record.state).is_idle and (record.not_before or 0.0) > now(),
        )
        for record in records
    ]


def doubt_unsent(tx: Transaction, sent_at: float | None, *, ahead: Collection[int]) -> tuple[int, int]:
    """Let every candidate and registration that was not sent be in doubt; return how many.

    `sent_at`: they were not sent earlier than this (seconds since 1970). Not those that only rows of jobs `ahead`
    want.
    """
    registering = (row.c.action == Action.REGISTER, row.c.job_id.not_in(ahead))
    wanted = select(row.c.candidate_id).where(*registering, row.c.candidate_id.is_not(None))
    people = tx.execute(
        update(candidate)
        .where(candidate.c.state == CandidateState.NEW, candidate.c.id.in_(wanted))
        .values(state=CandidateState.IN_DOUBT, pending_action=null(), job_id=null(), row_id=null(), sent_at=sent_at)
    )
    wanted = select(row.c.registration_id).where(*registering, row.c.registration_id.is_not(None))
    places = tx.execute(
        update(registration)
        .where(registration.c.state == RegistrationState.NEW, registration.c.id.in_(wanted))
        .values(
            state=RegistrationState.IN_DOUBT, pending_action=null(), job_id=null(), row_id=null(), sent_at=sent_at
        )
    )
    return people.rowcount, places.rowcount + _doubt_repeats(tx, sent_at, ahead=ahead)


def _doubt_repeats(tx: Transaction, sent_at: float | None, *, ahead: Collection[int]) -> int:
    """Let it be in doubt whether known registrations were made again that rows were to make again."""
    wanted = exists().where(
        row.c.registration_id == registration.c.id,
        row.c.repeats == registration.c.series,
        row.c.status == RowStatus.NOT_ATTEMPTED,
        row.c.job_id.not_in(ahead),
    )
    repeats = update(registration).where(registration.c.state == RegistrationState.REGISTERED, wanted)
    values = {"pending_action": Action.REGISTER, "row_id": null(), "sent_at": sent_at}
    return tx.execute(repeats.values(state=RegistrationState.IN_DOUBT, **values)).rowcount


def doubt_rows(tx: Transaction, job_id: int) -> int:
    """Let the rows of a job that were not sent be in doubt; return how many rows of it are."""
    unsettled = or_(
        row.c.candidate_id.in_(select(candidate.c.id).where(is_restored_doubt())),
        row.c.registration_id.in_(
            select(registration.c.id).where(
                registration.c.state == RegistrationState.IN_DOUBT,
                or_(registration.c.job_id.is_(None), registration.c.row_id.is_(None)),
            )
        ),
    )
    unsent = (row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED, row.c.action == Action.REGISTER)
    values: dict[str, Any] = {"status": RowStatus.IN_DOUBT, "kept_status": null(), "changed_at": now()}
    tx.execute(
        update(row).where(*unsent, unsettled).values(error=MAY_BE_SENT, error_code=LEDGER_RESTORED, **values)
    )
    in_doubt = select(func.count()).where(row.c.job_id == job_id, row.c.status == RowStatus.IN_DOUBT)
    return int(tx.execute(in_doubt.select_from(row)).scalar_one())


def stop_job(tx: Transaction, job_id: int, state: JobState, reason: str) -> None:
    """Let a job wait for a person, with its people to be found and its rows to be planned again."""
    ended: dict[str, Any] = {"finished_at": now()} if state.has_ended else {}
    jobs.change_job(
        tx,
        job_id,
        state=state,
        reason=reason,
        reason_code=LEDGER_RESTORED,
        not_before=None,
        planned=False,
        owner=None,
        lease_until=None,
        enqueued_at=None,
        **ended,
    )


def known_files(tx: Transaction) -> Collection[str]:
    """Return where the rosters of all jobs are stored."""
    return set(tx.execute(select(job.c.stored_path)).scalars())
