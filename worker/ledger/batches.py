"""Batches: planned, claimed by one worker with a lease, released. Every statement on `batch` is in this module.

A claim is written as `<batch>:<epoch>` on the candidates and registrations it holds. Whatever a dead claim left
`sending` is in doubt: the call may have had its effect or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, exists, insert, null, or_, select, update

from worker.ledger.chunks import chunks
from worker.ledger.database import now
from worker.ledger.leases import LEASE_SECONDS, is_dead
from worker.ledger.person_claims import RELEASE_ALL
from worker.ledger.rows import explain_rows, is_course_proven
from worker.ledger.schema import batch, candidate, job, registration, row
from worker.model import PENDING, SENDING, Action, CandidateState, RegistrationState, RowStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.database import Transaction

OPEN, RUNNING, CLOSED = "open", "running", "closed"
#: The error of a row whose call was interrupted.
INTERRUPTED = "Roster was stopped while it was sending this row; it is unknown whether the call had its effect."


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to process one batch, as long as its lease is renewed."""

    batch_id: int
    job_id: int
    epoch: int
    course_key: str
    canary: bool
    action: Action = Action.REGISTER

    @property
    def token(self) -> str:
        """Return the value of `claimed_by` of the candidates and registrations that this claim holds."""
        return f"{self.batch_id}:{self.epoch}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """A batch to be made: rows of one course and one action, for one claim."""

    course_key: str
    canary: bool
    row_ids: Sequence[int]
    action: Action = Action.REGISTER


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBatch:
    """A batch that is not closed: waiting for a claim, or running."""

    id: int
    course_key: str
    canary: bool
    running: bool
    not_before: float | None
    enqueued_at: float | None = None
    deaths: int = 0
    action: Action = Action.REGISTER
    #: It has no rows: it compares what the others registered with the list of the course.
    confirms: bool = False


def save_plan(tx: Transaction, job_id: int, planned: Sequence[BatchPlan]) -> None:
    """Save the batches and assign their rows to them."""
    for plan in planned:
        values = {
            "job_id": job_id,
            "course_key": plan.course_key,
            "action": plan.action,
            "canary": plan.canary,
            "state": OPEN,
        }
        batch_id = tx.execute(insert(batch).values(**values).returning(batch.c.id)).scalar_one()
        for chunk in chunks(plan.row_ids):
            tx.execute(update(row).where(row.c.id.in_(chunk)).values(batch_id=batch_id))


def rows_to_plan(tx: Transaction, job_id: int) -> list[tuple[int, str, Action]]:
    """Return (row id, course key, action) of the rows to be sent or looked up that are in no open batch."""
    query = (
        select(row.c.id, row.c.course_key, row.c.action)
        .outerjoin(batch, batch.c.id == row.c.batch_id)
        .where(row.c.job_id == job_id, row.c.status.in_(PENDING), row.c.candidate_id.is_not(None))
        .where(or_(row.c.batch_id.is_(None), batch.c.state == CLOSED))
        .order_by(row.c.id)
    )
    return [(record.id, record.course_key or "", Action(record.action)) for record in tx.execute(query)]


_OPEN_BATCHES = (
    select(batch, (~exists().where(row.c.batch_id == batch.c.id)).label("confirms"))
    .where(batch.c.job_id == bindparam("b_job"), batch.c.state != CLOSED)
    .order_by(batch.c.id)
)


def open_batches(tx: Transaction, job_id: int) -> list[OpenBatch]:
    """Return the batches of a job that are not closed, in order."""
    records = tx.execute(_OPEN_BATCHES, {"b_job": job_id})
    return [
        OpenBatch(
            id=record.id,
            course_key=record.course_key,
            canary=record.canary,
            running=record.state == RUNNING,
            not_before=record.not_before,
            enqueued_at=record.enqueued_at,
            deaths=record.deaths,
            action=Action(record.action),
            # A canary whose row was moved into another batch has none either.
            confirms=record.confirms and not record.canary,
        )
        for record in records
    ]


def job_of(tx: Transaction, batch_id: int) -> int | None:
    """Return the job of a batch; None when there is no such batch."""
    return tx.execute(select(batch.c.job_id).where(batch.c.id == batch_id)).scalar()


def claim_batch(tx: Transaction, batch_id: int, owner: str) -> Claim | None:
    """Claim a batch, changing it from open to running.

    None when another worker has it, it is not due, or its job is not running (paused, held, cancelled).
    """
    at = now()
    wanted = select(job.c.id).where(job.c.id == batch.c.job_id, job.c.state.in_(SENDING)).exists()
    won = tx.execute(
        update(batch)
        .where(batch.c.id == batch_id, batch.c.state == OPEN, wanted)
        .where(or_(batch.c.not_before.is_(None), batch.c.not_before <= at))
        .values(
            state=RUNNING,
            owner=owner,
            epoch=batch.c.epoch + 1,
            lease_until=at + LEASE_SECONDS,
            not_before=None,
            enqueued_at=None,
        )
    )
    if won.rowcount == 0:
        return None
    record = tx.execute(select(batch).where(batch.c.id == batch_id)).one()
    claim = Claim(
        batch_id=batch_id,
        job_id=record.job_id,
        epoch=record.epoch,
        course_key=record.course_key,
        canary=record.canary,
        action=Action(record.action),
    )
    claim_records(tx, claim)
    return claim


def claim_records(tx: Transaction, claim: Claim) -> None:
    """Claim the candidates and registrations of its rows that no other batch holds, unless the claim is void.

    The ids are selected first: without statistics, as on a ledger that was just filled, PostgreSQL would otherwise
    start with all records that no batch holds.
    """
    valid = exists().where(batch.c.id == claim.batch_id, batch.c.epoch == claim.epoch, batch.c.state == RUNNING)
    for table, column in ((candidate, row.c.candidate_id), (registration, row.c.registration_id)):
        mine = tx.execute(select(column).where(row.c.batch_id == claim.batch_id, column.is_not(None)).distinct())
        ids = sorted(mine.scalars())
        unheld = update(table).where(table.c.id.in_(ids), table.c.claimed_by.is_(None), valid)
        tx.execute(unheld.values(claimed_by=claim.token))


def renew(tx: Transaction, claim: Claim) -> bool:
    """Renew the lease; False when another worker has claimed the batch."""
    renewed = tx.execute(
        update(batch)
        .where(batch.c.id == claim.batch_id, batch.c.epoch == claim.epoch, batch.c.state == RUNNING)
        .values(lease_until=now() + LEASE_SECONDS)
    )
    return bool(renewed.rowcount)


def release(tx: Transaction, claim: Claim, *, closed: bool, not_before: float | None = None) -> None:
    """Release a claim: the batch is closed, or open again from `not_before` on."""
    _release_records(tx, claim.token)
    tx.execute(
        update(batch)
        .where(batch.c.id == claim.batch_id, batch.c.epoch == claim.epoch, batch.c.state == RUNNING)
        .values(state=CLOSED if closed else OPEN, owner=None, lease_until=None, not_before=not_before)
    )


def reopen_abandoned(tx: Transaction, job_id: int | None = None) -> int:
    """Reopen the batches whose worker has died; what they left `sending` becomes in doubt. Return how many."""
    query = select(batch.c.id, batch.c.epoch, batch.c.owner, batch.c.lease_until).where(batch.c.state == RUNNING)
    if job_id is not None:
        query = query.where(batch.c.job_id == job_id)
    dead = [record for record in tx.execute(query) if is_dead(record.owner, record.lease_until)]
    for record in dead:
        _release_records(tx, f"{record.id}:{record.epoch}")
        tx.execute(
            update(batch)
            .where(batch.c.id == record.id, batch.c.epoch == record.epoch)
            .values(state=OPEN, owner=None, lease_until=None, deaths=batch.c.deaths + 1)
        )
    return len(dead)


def close_all(tx: Transaction) -> None:
    """Close every batch of every job, also those that are claimed; what they left `sending` is in doubt."""
    for record in tx.execute(select(batch.c.id, batch.c.epoch).where(batch.c.state == RUNNING)).all():
        _release_records(tx, f"{record.id}:{record.epoch}")
    closed = {"state": CLOSED, "owner": None, "lease_until": None, "not_before": None, "enqueued_at": None}
    tx.execute(update(batch).where(batch.c.state != CLOSED).values(**closed))


def end_reason_to_wait(tx: Transaction, job_id: int) -> None:
    """Take the reason to wait away from a job that is being sent, when none of its batches waits any more."""
    waits = exists().where(batch.c.job_id == job.c.id, batch.c.state == OPEN, batch.c.not_before > now())
    had_to = (job.c.id == job_id, job.c.state.in_(SENDING), job.c.reason != "")
    tx.execute(update(job).where(*had_to, ~waits).values(reason=""))


def running_owner(tx: Transaction, job_id: int) -> str | None:
    """Return the owner of a live claim on the job, if there is one."""
    records = tx.execute(
        select(batch.c.owner, batch.c.lease_until).where(batch.c.job_id == job_id, batch.c.state == RUNNING)
    )
    return next((record.owner for record in records if not is_dead(record.owner, record.lease_until)), None)


def claimed_jobs(tx: Transaction) -> set[int]:
    """Return the jobs of which a live process holds a batch."""
    records = tx.execute(select(batch.c.job_id, batch.c.owner, batch.c.lease_until).where(batch.c.state == RUNNING))
    return {record.job_id for record in records if not is_dead(record.owner, record.lease_until)}


def make_canary(tx: Transaction, claim: Claim, row_id: int) -> None:
    """Make this row the canary: swap it with the row in the canary's batch."""
    theirs = tx.execute(select(row.c.batch_id).where(row.c.id == row_id)).scalar_one()
    tx.execute(update(row).where(row.c.batch_id == claim.batch_id, row.c.id != row_id).values(batch_id=theirs))
    tx.execute(update(row).where(row.c.id == row_id).values(batch_id=claim.batch_id))
    _release_records(tx, claim.token)
    claim_records(tx, claim)


def pass_canary_on(tx: Transaction, claim: Claim) -> None:
    """Make the next row of the course its canary when the one of this claim was not registered.

    It was refused for its own data, which does not say whether the LMS has the course. A registration in doubt ends
    the search: an LMS that loses every answer would get one row per call. A row that is a canary already stays
    where it is: two batches, one of which a retry has emptied, would take it from each other for good.
    """
    if not claim.canary or claim.action is not Action.REGISTER:
        return
    if is_course_proven(tx, claim.job_id, claim.course_key) or _is_registration_in_doubt(tx, claim):
        return
    following = select(batch.c.id, batch.c.canary).where(
        batch.c.job_id == claim.job_id,
        batch.c.course_key == claim.course_key,
        batch.c.action == claim.action,
        batch.c.state == OPEN,
        exists().where(row.c.batch_id == batch.c.id, row.c.status.in_(PENDING)),
    )
    found = tx.execute(following.order_by(batch.c.id).limit(1)).first()
    if found is None or found.canary:
        return
    waiting = select(row.c.id).where(row.c.batch_id == found.id, row.c.status.in_(PENDING)).order_by(row.c.id)
    row_id = tx.execute(waiting.limit(1)).scalar_one()
    save_plan(tx, claim.job_id, [BatchPlan(course_key=claim.course_key, canary=True, row_ids=[row_id])])


def _is_registration_in_doubt(tx: Transaction, claim: Claim) -> bool:
    query = select(row.c.id).join(registration, registration.c.id == row.c.registration_id)
    query = query.where(row.c.batch_id == claim.batch_id, registration.c.state == RegistrationState.IN_DOUBT)
    return tx.execute(query.limit(1)).first() is not None


def replace_confirmations(tx: Transaction, job_id: int, course_keys: Sequence[str]) -> None:
    """Plan a batch without rows for each course, in place of one that waits for it."""
    waiting = [each for each in open_batches(tx, job_id) if each.confirms and not each.running]
    old = [each.id for each in waiting if each.course_key in course_keys]
    tx.execute(update(batch).where(batch.c.id.in_(old), batch.c.state == OPEN).values(state=CLOSED))
    save_plan(tx, job_id, [BatchPlan(course_key=key, canary=False, row_ids=()) for key in course_keys])


def close_batches(tx: Transaction, job_id: int, course_key: str | None = None) -> None:
    """Close the open batches of a job, or of one course of it; their rows do not change."""
    statement = update(batch).where(batch.c.job_id == job_id, batch.c.state == OPEN)
    if course_key is not None:
        statement = statement.where(batch.c.course_key == course_key)
    tx.execute(statement.values(state=CLOSED))


def give_up_course(tx: Transaction, job_id: int, course_key: str, reason: str, code: str) -> None:
    """Close the batches of a course that the LMS refuses; its rows say why they were not sent."""
    unregistered = f"Person in the LMS, not registered by this job: {reason}"
    explain_rows(tx, job_id, course_key, f"Not sent: {reason}", code, unregistered=unregistered)
    close_batches(tx, job_id, course_key)


def _release_statements() -> list[Any]:
    """Return the statements that release all records of a claim, each with the names of its further parameters.

    They are built once: building them takes longer than executing them.
    """
    tables = ((candidate, CandidateState), (registration, RegistrationState))
    held = [(table, states, table.c.claimed_by == bindparam("b_token")) for table, states in tables]
    interrupted = [
        update(row)
        .where(row.c.id.in_(select(table.c.row_id).where(mine, table.c.state == states.SENDING)))
        .values(
            status=RowStatus.IN_DOUBT,
            kept_status=null(),
            error=INTERRUPTED,
            error_code="answer_lost",
            changed_at=bindparam("b_at"),
        )
        for table, states, mine in held
    ]
    in_doubt = [
        update(table).where(mine, table.c.state == states.SENDING).values(state=states.IN_DOUBT, claimed_by=None)
        for table, states, mine in held
    ]
    released = [update(table).where(mine).values(claimed_by=None) for table, _, mine in held]
    return [
        *((statement, "b_at") for statement in interrupted),
        *((statement,) for statement in (*in_doubt, *RELEASE_ALL, *released)),
    ]


_RELEASE_STATEMENTS = _release_statements()


def _release_records(tx: Transaction, token: str) -> None:
    """Release all records that a claim holds; what is still `sending` becomes in doubt."""
    for statement, *further in _RELEASE_STATEMENTS:
        tx.execute(statement, {"b_token": token, **dict.fromkeys(further, now())})
