"""Batches: planned, claimed by one worker with a lease, given back. All statements on `batch` stand here.

A claim is written as `<batch>:<epoch>` on the candidates and registrations it holds. Whatever a dead claim left
`sending` is in doubt: perhaps the call had its effect, perhaps not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, or_, select, update

from worker.ledger.candidates import chunks
from worker.ledger.database import now
from worker.ledger.leases import LEASE_SECONDS, is_dead
from worker.ledger.schema import batch, candidate, job, registration, row
from worker.model import AT_WORK, Action, CandidateState, RegistrationState, RowStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.database import Transaction

OPEN, RUNNING, CLOSED = "open", "running", "closed"
#: What a person reads of a row whose call was cut off.
CUT_OFF = (
    "The program was stopped while the call for this row was under way; nobody knows whether it had its effect."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to work on one batch, for as long as its lease is renewed."""

    batch_id: int
    job_id: int
    epoch: int
    course_key: str
    canary: bool
    action: Action = Action.REGISTER

    @property
    def token(self) -> str:
        """Return what stands on the candidates and registrations that this claim holds."""
        return f"{self.batch_id}:{self.epoch}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBatch:
    """Rows of one course that one claim works off, all of one action."""

    course_key: str
    canary: bool
    row_ids: Sequence[int]
    action: Action = Action.REGISTER


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBatch:
    """A batch that waits to be claimed, or is being worked on."""

    id: int
    course_key: str
    canary: bool
    running: bool
    not_before: float | None
    rung_at: float | None = None
    deaths: int = 0
    action: Action = Action.REGISTER


def save_plan(tx: Transaction, job_id: int, planned: Sequence[PlannedBatch]) -> None:
    """Write the batches and put their rows into them."""
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
    waiting = (RowStatus.NOT_ATTEMPTED, RowStatus.IN_DOUBT)
    query = (
        select(row.c.id, row.c.course_key, row.c.action)
        .outerjoin(batch, batch.c.id == row.c.batch_id)
        .where(row.c.job_id == job_id, row.c.status.in_(waiting), row.c.candidate_id.is_not(None))
        .where(or_(row.c.batch_id.is_(None), batch.c.state == CLOSED))
        .order_by(row.c.id)
    )
    return [(line.id, line.course_key or "", Action(line.action)) for line in tx.execute(query)]


def open_batches(tx: Transaction, job_id: int) -> list[OpenBatch]:
    """Return the batches of a job that are not closed, in order."""
    lines = tx.execute(select(batch).where(batch.c.job_id == job_id, batch.c.state != CLOSED).order_by(batch.c.id))
    return [
        OpenBatch(
            id=line.id,
            course_key=line.course_key,
            canary=line.canary,
            running=line.state == RUNNING,
            not_before=line.not_before,
            rung_at=line.rung_at,
            deaths=line.deaths,
            action=Action(line.action),
        )
        for line in lines
    ]


def job_of(tx: Transaction, batch_id: int) -> int | None:
    """Return the job of a batch; None when there is no such batch."""
    return tx.execute(select(batch.c.job_id).where(batch.c.id == batch_id)).scalar()


def claim_batch(tx: Transaction, batch_id: int, owner: str) -> Claim | None:
    """Claim a batch, changing it from open to running.

    None when another worker has it, its time has not come, or its job is not at work (paused, held, cancelled).
    """
    at = now()
    wanted = select(job.c.id).where(job.c.id == batch.c.job_id, job.c.state.in_(AT_WORK)).exists()
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
            rung_at=None,
        )
    )
    if won.rowcount == 0:
        return None
    line = tx.execute(select(batch).where(batch.c.id == batch_id)).one()
    claim = Claim(
        batch_id=batch_id,
        job_id=line.job_id,
        epoch=line.epoch,
        course_key=line.course_key,
        canary=line.canary,
        action=Action(line.action),
    )
    hold(tx, claim)
    return claim


def hold(tx: Transaction, claim: Claim) -> None:
    """Put the claim on those candidates and registrations of its rows that nobody else holds.

    They are named by their ids: as long as it has no statistics of a ledger that was just filled, PostgreSQL would
    begin with everybody whom nobody holds.
    """
    for table, column in ((candidate, row.c.candidate_id), (registration, row.c.registration_id)):
        mine = tx.execute(select(column).where(row.c.batch_id == claim.batch_id, column.is_not(None)).distinct())
        ids = sorted(mine.scalars())
        unheld = update(table).where(table.c.id.in_(ids), table.c.claimed_by.is_(None))
        tx.execute(unheld.values(claimed_by=claim.token))


def renew(tx: Transaction, claim: Claim) -> bool:
    """Renew the lease; False when the claim has gone to somebody else."""
    renewed = tx.execute(
        update(batch)
        .where(batch.c.id == claim.batch_id, batch.c.epoch == claim.epoch, batch.c.state == RUNNING)
        .values(lease_until=now() + LEASE_SECONDS)
    )
    return bool(renewed.rowcount)


def release(tx: Transaction, claim: Claim, *, closed: bool, not_before: float | None = None) -> None:
    """Give a claim back: the batch is closed, or open again from `not_before` on."""
    _void(tx, claim.token)
    tx.execute(
        update(batch)
        .where(batch.c.id == claim.batch_id, batch.c.epoch == claim.epoch, batch.c.state == RUNNING)
        .values(state=CLOSED if closed else OPEN, owner=None, lease_until=None, not_before=not_before)
    )


def reap(tx: Transaction, job_id: int | None = None) -> int:
    """Open the batches again whose worker has died; what they left `sending` becomes in doubt. Return how many."""
    query = select(batch.c.id, batch.c.epoch, batch.c.owner, batch.c.lease_until).where(batch.c.state == RUNNING)
    if job_id is not None:
        query = query.where(batch.c.job_id == job_id)
    dead = [line for line in tx.execute(query) if is_dead(line.owner, line.lease_until)]
    for line in dead:
        _void(tx, f"{line.id}:{line.epoch}")
        tx.execute(
            update(batch)
            .where(batch.c.id == line.id, batch.c.epoch == line.epoch)
            .values(state=OPEN, owner=None, lease_until=None, deaths=batch.c.deaths + 1)
        )
    return len(dead)


def running_owner(tx: Transaction, job_id: int) -> str | None:
    """Return the owner of a live claim on the job, if there is one."""
    lines = tx.execute(
        select(batch.c.owner, batch.c.lease_until).where(batch.c.job_id == job_id, batch.c.state == RUNNING)
    )
    return next((line.owner for line in lines if not is_dead(line.owner, line.lease_until)), None)


def go_first(tx: Transaction, claim: Claim, row_id: int) -> None:
    """Let this row be the canary: it changes places with the row of the canary's batch."""
    theirs = tx.execute(select(row.c.batch_id).where(row.c.id == row_id)).scalar_one()
    tx.execute(update(row).where(row.c.batch_id == claim.batch_id, row.c.id != row_id).values(batch_id=theirs))
    tx.execute(update(row).where(row.c.id == row_id).values(batch_id=claim.batch_id))
    _void(tx, claim.token)
    hold(tx, claim)


def close_batches(tx: Transaction, job_id: int, course_key: str | None = None) -> None:
    """Close the open batches of a job, or of one course of it: their rows stay as they are."""
    statement = update(batch).where(batch.c.job_id == job_id, batch.c.state == OPEN)
    if course_key is not None:
        statement = statement.where(batch.c.course_key == course_key)
    tx.execute(statement.values(state=CLOSED))


def _voiding() -> list[Any]:
    """Return what takes a claim off everything it holds; built once, which takes longer than to execute it."""
    tables = ((candidate, CandidateState), (registration, RegistrationState))
    held = [(table, states, table.c.claimed_by == bindparam("b_token")) for table, states in tables]
    cut_off = [
        update(row)
        .where(row.c.id.in_(select(table.c.row_id).where(mine, table.c.state == states.SENDING)))
        .values(status=RowStatus.IN_DOUBT, error=CUT_OFF, error_code="answer_lost", changed_at=bindparam("b_at"))
        for table, states, mine in held
    ]
    doubt = [
        update(table).where(mine, table.c.state == states.SENDING).values(state=states.IN_DOUBT, claimed_by=None)
        for table, states, mine in held
    ]
    let_go = [update(table).where(mine).values(claimed_by=None) for table, _, mine in held]
    return [*((statement, "b_at") for statement in cut_off), *((statement,) for statement in (*doubt, *let_go))]


_VOIDING = _voiding()


def _void(tx: Transaction, token: str) -> None:
    """Take a claim off everything it holds; what is still `sending` under it is in doubt."""
    for statement, *further in _VOIDING:
        tx.execute(statement, {"b_token": token, **dict.fromkeys(further, now())})
