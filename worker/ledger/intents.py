"""The two commits around every call that changes something: the intent before it, the outcome after it.

Each function returns the `Write`s of one event, for `Ledger.commit`. All are fenced by the claim: when another
worker has taken the batch over, nothing is written and the caller learns it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import String, bindparam, func, select, update

from worker.ledger.batches import RUNNING
from worker.ledger.candidates import hashed, id_key_of
from worker.ledger.database import now
from worker.ledger.rows import read_row
from worker.ledger.schema import batch, candidate, registration, row
from worker.ledger.transactions import Write
from worker.model import Action, CandidateState, RegistrationState, RosterRow, RowStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Row
    from sqlalchemy.sql.dml import Update
    from sqlalchemy.sql.schema import Table

    from worker.ledger.batches import Claim
    from worker.ledger.database import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateLine:
    """A candidate as the ledger holds it."""

    id: int
    state: CandidateState
    lms_id: str | None
    job_id: int | None
    row_id: int | None
    sent_at: float | None
    #: What is sending or in doubt; None when it is the creation.
    doing: Action | None
    #: Held by the claim that asked; otherwise another batch is at work on it.
    mine: bool

    @property
    def is_being_created(self) -> bool:
        """Tell whether it is the creation that is in doubt."""
        return self.state is CandidateState.IN_DOUBT and self.doing is None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationLine:
    """A registration as the ledger holds it."""

    id: int
    state: RegistrationState
    lms_id: str | None
    series: int
    job_id: int | None
    sent_at: float | None
    #: What is sending or in doubt; None when it is the registration itself.
    doing: Action | None
    mine: bool

    @property
    def is_being_made(self) -> bool:
        """Tell whether what is in doubt, if anything, is the registration itself."""
        return self.state is not RegistrationState.IN_DOUBT or self.doing is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A row that is to be worked off, with what the ledger knows of its candidate and its registration."""

    row_id: int
    row: RosterRow
    status: RowStatus
    attempts: int
    candidate: CandidateLine
    registration: RegistrationLine


def fenced(table: Table, *changed: str) -> Update:
    """Return an UPDATE of one line, by its id, for as long as the claim `b_claim` holds it."""
    return (
        update(table)
        .where(table.c.id == bindparam("b_id"), table.c.claimed_by == bindparam("b_claim"))
        .values({name: bindparam(f"b_{name}") for name in changed})
    )


_SEND_CANDIDATE = fenced(candidate, "state", "doing", "job_id", "row_id", "sent_at")
_KNOW_CANDIDATE = fenced(candidate, "state", "lms_id", "id_key")
_TURN_CANDIDATE = fenced(candidate, "state")
_SEND_REGISTRATION = fenced(registration, "state", "doing", "job_id", "row_id", "sent_at")
_KNOW_REGISTRATION = fenced(registration, "state", "lms_id", "job_id").values(
    external_key=func.coalesce(bindparam("b_external_key", type_=String), registration.c.external_key)
)
_TURN_REGISTRATION = fenced(registration, "state")
COUNT_ATTEMPT = update(row).where(row.c.id == bindparam("b_id")).values(attempts=row.c.attempts + 1)
TAKE_BACK_ATTEMPT = update(row).where(row.c.id == bindparam("b_id")).values(attempts=row.c.attempts - 1)
_MARK_CREATED = update(row).where(row.c.id == bindparam("b_id")).values(created=True)
_MY_BATCH = select(batch.c.id).where(
    batch.c.id == bindparam("b_batch"), batch.c.epoch == bindparam("b_epoch"), batch.c.state == RUNNING
)
_SETTLE_ROW = (
    update(row)
    .where(row.c.id == bindparam("b_id"), row.c.batch_id == _MY_BATCH.scalar_subquery())
    .values(
        status=bindparam("b_status"),
        error=bindparam("b_error"),
        error_code=bindparam("b_error_code"),
        http_status=bindparam("b_http_status"),
        lms_registration_id=bindparam("b_lms_registration_id"),
        changed_at=bindparam("b_changed_at"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a row, for its report."""

    status: RowStatus
    error: str = ""
    code: str = ""
    http_status: int | None = None
    registration_id: str | None = None


def sending_candidate(claim: Claim, work: Work) -> tuple[Write, ...]:
    """Note that the creation of this candidate is about to be sent."""
    values = {
        "b_state": CandidateState.SENDING,
        "b_doing": None,
        "b_job_id": claim.job_id,
        "b_row_id": work.row_id,
        "b_sent_at": now(),
    }
    return (
        write(_SEND_CANDIDATE, work.candidate.id, claim, values),
        Write(COUNT_ATTEMPT, {"b_id": work.row_id}),
    )


def candidate_created(claim: Claim, work: Work, lms_id: str) -> tuple[Write, ...]:
    """Note the id of the new candidate, and on the row for which the creation was sent that it made them."""
    sent_for = work.candidate.row_id if work.candidate.state is CandidateState.IN_DOUBT else work.row_id
    return (*candidate_found(claim, work, lms_id), Write(_MARK_CREATED, {"b_id": sent_for}))


def candidate_found(claim: Claim, work: Work, lms_id: str) -> tuple[Write, ...]:
    """Note the id of a candidate that was there before."""
    values = {"b_state": CandidateState.KNOWN, "b_lms_id": lms_id, "b_id_key": id_key_of(lms_id)}
    return (write(_KNOW_CANDIDATE, work.candidate.id, claim, values),)


def candidate_turned(claim: Claim, work: Work, state: CandidateState, *, unsent: bool = False) -> tuple[Write, ...]:
    """Note that they are in doubt, or new again because nothing was done; `unsent`: not even an attempt."""
    turned = write(_TURN_CANDIDATE, work.candidate.id, claim, {"b_state": state})
    return (turned, Write(TAKE_BACK_ATTEMPT, {"b_id": work.row_id})) if unsent else (turned,)


def sending_registration(claim: Claim, work: Work) -> tuple[Write, ...]:
    """Note that this registration is about to be sent."""
    values = {
        "b_state": RegistrationState.SENDING,
        "b_doing": None,
        "b_job_id": claim.job_id,
        "b_row_id": work.row_id,
        "b_sent_at": now(),
    }
    return (
        write(_SEND_REGISTRATION, work.registration.id, claim, values),
        Write(COUNT_ATTEMPT, {"b_id": work.row_id}),
    )


def registration_turned(
    claim: Claim, work: Work, state: RegistrationState, *, unsent: bool = False
) -> tuple[Write, ...]:
    """Note that it is in doubt, or new again because nothing was done; `unsent`: not even an attempt."""
    turned = write(_TURN_REGISTRATION, work.registration.id, claim, {"b_state": state})
    return (turned, Write(TAKE_BACK_ATTEMPT, {"b_id": work.row_id})) if unsent else (turned,)


def registered(claim: Claim, work: Work, outcome: Outcome) -> tuple[Write, ...]:
    """Note that the candidate is registered: by this job, or already."""
    under_its_id = outcome.status is RowStatus.REGISTERED and not work.registration.series
    values = {
        "b_state": RegistrationState.REGISTERED,
        "b_lms_id": outcome.registration_id,
        "b_job_id": claim.job_id if outcome.status is RowStatus.REGISTERED else work.registration.job_id,
        "b_external_key": hashed("registration", work.row.registration_external_id) if under_its_id else None,
    }
    return (write(_KNOW_REGISTRATION, work.registration.id, claim, values), settled(claim, work, outcome))


def settled(claim: Claim, work: Work, outcome: Outcome) -> Write:
    """Note what became of a row."""
    return Write(
        _SETTLE_ROW,
        {
            "b_id": work.row_id,
            "b_batch": claim.batch_id,
            "b_epoch": claim.epoch,
            "b_status": outcome.status,
            "b_error": outcome.error,
            "b_error_code": outcome.code,
            "b_http_status": outcome.http_status,
            "b_lms_registration_id": outcome.registration_id,
            "b_changed_at": now(),
        },
        fenced=True,
    )


def write(statement: Update, line_id: int, claim: Claim, values: Mapping[str, object]) -> Write:
    """Return a fenced write on one line that the claim holds."""
    return Write(statement, {"b_id": line_id, "b_claim": claim.token, **values}, fenced=True)


_OF_CANDIDATE = ("id", "state", "lms_id", "job_id", "row_id", "sent_at", "doing", "claimed_by")
_OF_REGISTRATION = ("id", "state", "lms_id", "series", "job_id", "sent_at", "doing", "claimed_by")
#: Built once: to build a statement takes longer than to execute it.
WORKS = (
    select(
        row.c.id,
        row.c.parsed,
        row.c.status,
        row.c.attempts,
        *(candidate.c[name] for name in _OF_CANDIDATE),
        *(registration.c[name] for name in _OF_REGISTRATION),
    )
    .join(candidate, candidate.c.id == row.c.candidate_id)
    .join(registration, registration.c.id == row.c.registration_id)
)
_WORKS_OF_BATCH = (
    WORKS.where(row.c.batch_id == bindparam("b_batch"))
    .where(row.c.status.in_((RowStatus.NOT_ATTEMPTED, RowStatus.IN_DOUBT)))
    .order_by(row.c.id)
)
_WORK_OF_ROW = WORKS.where(row.c.id == bindparam("b_id"))


def load_work(tx: Transaction, claim: Claim) -> list[Work]:
    """Return the rows of a claimed batch that have no outcome yet, in roster order."""
    lines = tx.execute(_WORKS_OF_BATCH, {"b_batch": claim.batch_id})
    return [as_work(line, claim.token) for line in lines]


def load_row(tx: Transaction, claim: Claim, row_id: int) -> Work:
    """Return one row of a claimed batch as the ledger has it now."""
    return as_work(tx.execute(_WORK_OF_ROW, {"b_id": row_id}).one(), claim.token)


def as_work(line: Row[Any], token: str) -> Work:
    """Return a line of `WORKS`; `token` is the claim of whoever asks."""
    row_id, parsed, status, attempts, *held = tuple(line)
    return Work(
        row_id=row_id,
        row=read_row(parsed),
        status=RowStatus(status),
        attempts=attempts,
        candidate=_as_candidate(held[: len(_OF_CANDIDATE)], token),
        registration=_as_registration(held[len(_OF_CANDIDATE) :], token),
    )


def _as_candidate(values: Sequence[Any], token: str) -> CandidateLine:
    line_id, state, lms_id, job_id, row_id, sent_at, doing, claimed_by = values
    return CandidateLine(
        id=line_id,
        state=CandidateState(state),
        lms_id=lms_id,
        job_id=job_id,
        row_id=row_id,
        sent_at=sent_at,
        doing=Action(doing) if doing else None,
        mine=claimed_by == token,
    )


def _as_registration(values: Sequence[Any], token: str) -> RegistrationLine:
    line_id, state, lms_id, series, job_id, sent_at, doing, claimed_by = values
    return RegistrationLine(
        id=line_id,
        state=RegistrationState(state),
        lms_id=lms_id,
        series=series,
        job_id=job_id,
        sent_at=sent_at,
        doing=Action(doing) if doing else None,
        mine=claimed_by == token,
    )
