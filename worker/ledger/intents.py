"""The two commits around every call that changes something: the intent before it, the outcome after it.

Each function returns the `Write`s of one event, for `Ledger.commit`. All are fenced by the claim: when another
worker has claimed the batch meanwhile, nothing is written and the commit raises StaleClaim.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import String, bindparam, case, func, null, select, update

from worker.ledger.batches import RUNNING
from worker.ledger.candidates import hash_identifier, id_key_of
from worker.ledger.database import now
from worker.ledger.rows import read_row
from worker.ledger.schema import batch, candidate, registration, row
from worker.ledger.transactions import Write
from worker.model import PENDING, Action, CandidateState, RegistrationState, RosterRow, RowStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Row
    from sqlalchemy.sql.dml import Update
    from sqlalchemy.sql.schema import Table

    from worker.ledger.batches import Claim
    from worker.ledger.database import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRecord:
    """A candidate as the ledger has it."""

    table: ClassVar[Table] = candidate
    states: ClassVar[type[CandidateState]] = CandidateState
    #: The state of a candidate who exists at the LMS.
    exists: ClassVar[CandidateState] = CandidateState.KNOWN

    id: int
    state: CandidateState
    lms_id: str | None
    job_id: int | None
    row_id: int | None
    sent_at: float | None
    #: The action that is being sent or in doubt; None when it is the creation.
    pending_action: Action | None
    #: Whether the claim that loaded it holds it; otherwise another batch may.
    is_claimed: bool

    @property
    def is_suspected(self) -> bool:
        """Return whether it is in doubt since the ledger was restored, not because of a call of this ledger."""
        return self.is_being_created and self.job_id is None

    @property
    def is_being_created(self) -> bool:
        """Return whether it is the creation that is in doubt."""
        return self.state is CandidateState.IN_DOUBT and self.pending_action is None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationRecord:
    """A registration as the ledger has it."""

    table: ClassVar[Table] = registration
    states: ClassVar[type[RegistrationState]] = RegistrationState
    #: The state of a registration that exists at the LMS.
    exists: ClassVar[RegistrationState] = RegistrationState.REGISTERED

    id: int
    state: RegistrationState
    lms_id: str | None
    series: int
    job_id: int | None
    sent_at: float | None
    #: The action that is being sent or in doubt; None when it is the registration itself.
    pending_action: Action | None
    #: The job whose row was sent last.
    sent_by: int | None
    is_claimed: bool
    #: Whether another one is to be made, is being made or is in doubt; all else says what is known of this one.
    is_repeat: bool = False

    @property
    def is_suspected(self) -> bool:
        """Return whether it is in doubt since the ledger was restored, not because of a call of this ledger."""
        in_doubt = self.state is RegistrationState.IN_DOUBT and self.pending_action is None
        return in_doubt and self.job_id is None

    @property
    def is_being_made(self) -> bool:
        """Return whether what is in doubt, if anything, is a registration and no other action on it."""
        in_doubt = self.state is RegistrationState.IN_DOUBT
        return not in_doubt or self.is_repeat or self.pending_action is None

    @property
    def sender(self) -> int | None:
        """Return the job that sent the registration which is in doubt; None for none of this ledger."""
        return self.sent_by if self.is_repeat else self.job_id

    @property
    def number(self) -> int:
        """Return the number, in its series, of the registration to make or to look up."""
        return self.series + self.is_repeat

    @property
    def not_made(self) -> RegistrationState:
        """Return its state when the call to make it certainly did nothing."""
        return RegistrationState.REGISTERED if self.is_repeat else RegistrationState.NEW


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """A row to be processed, with its candidate and its registration as the ledger has them."""

    row_id: int
    row: RosterRow
    status: RowStatus
    attempts: int
    candidate: CandidateRecord
    registration: RegistrationRecord
    #: The `series` of the known registration after which it makes another one; None when it makes none.
    repeats: int | None = None

    def repeated(self) -> WorkItem | None:
        """Return the item with another registration to make; None when the row makes none after the known one."""
        known = self.registration
        if known.state is not RegistrationState.REGISTERED or self.repeats != known.series:
            return None
        return replace(self, registration=replace(known, is_repeat=True))


def fenced_update(table: Table, *changed: str) -> Update:
    """Return an UPDATE of one record, by its id, that matches only while the claim `b_claim` holds it."""
    return (
        update(table)
        .where(table.c.id == bindparam("b_id"), table.c.claimed_by == bindparam("b_claim"))
        .values({name: bindparam(f"b_{name}") for name in changed})
    )


_INTENT_TO_CREATE = {
    table: fenced_update(table, "state", "pending_action", "job_id", "row_id", "sent_at")
    for table in (candidate, registration)
}
_SET_STATE = {table: fenced_update(table, "state") for table in (candidate, registration)}
SET_LMS_ID = fenced_update(candidate, "state", "lms_id", "id_key")
_SET_REGISTERED = fenced_update(registration, "state", "lms_id", "job_id", "series").values(
    external_key=func.coalesce(bindparam("b_external_key", type_=String), registration.c.external_key)
)
COUNT_ATTEMPT = update(row).where(row.c.id == bindparam("b_id")).values(attempts=row.c.attempts + 1)
_UNCOUNT_ATTEMPT = update(row).where(row.c.id == bindparam("b_id")).values(attempts=row.c.attempts - 1)
_MARK_CREATED = update(row).where(row.c.id == bindparam("b_id")).values(created=True)
_MY_BATCH = select(batch.c.id).where(
    batch.c.id == bindparam("b_batch"), batch.c.epoch == bindparam("b_epoch"), batch.c.state == RUNNING
)
_SET_OUTCOME = (
    update(row)
    .where(row.c.id == bindparam("b_id"), row.c.batch_id == _MY_BATCH.scalar_subquery())
    .values(
        status=bindparam("b_status"),
        kept_status=null(),
        error=bindparam("b_error"),
        error_code=bindparam("b_error_code"),
        http_status=bindparam("b_http_status"),
        lms_registration_id=bindparam("b_lms_registration_id"),
        changed_at=bindparam("b_changed_at"),
    )
)
#: Of a row for which nothing was sent: an outcome that it had before is kept.
_EXPLAIN_UNSENT = (
    update(row)
    .where(row.c.id == bindparam("b_id"), row.c.batch_id == _MY_BATCH.scalar_subquery())
    .values(
        error=case((row.c.kept_status.is_not(None), row.c.error), else_=bindparam("b_error")),
        error_code=case((row.c.kept_status.is_not(None), row.c.error_code), else_=bindparam("b_error_code")),
    )
)


#: The other rows that wait for the same registration, in whichever job: made by the job that sent the call.
_SETTLE_DOUBT = (
    update(row)
    .where(row.c.registration_id == bindparam("b_registration"), row.c.id != bindparam("b_id"))
    .where(row.c.status == RowStatus.IN_DOUBT, row.c.action == Action.REGISTER)
    .values(
        status=case(
            (row.c.job_id == bindparam("b_made_by"), RowStatus.REGISTERED), else_=RowStatus.ALREADY_REGISTERED
        ),
        error="",
        error_code="",
        lms_registration_id=bindparam("b_lms_registration_id"),
        changed_at=bindparam("b_changed_at"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOutcome:
    """The outcome of a row, for its report."""

    status: RowStatus
    error: str = ""
    code: str = ""
    http_status: int | None = None
    registration_id: str | None = None
    #: Whether something was done for the row; otherwise an outcome that it had before is kept.
    is_made: bool = True


def intent_to_create(
    claim: Claim, work: WorkItem, record: CandidateRecord | RegistrationRecord
) -> tuple[Write, ...]:
    """Record that the creation of this candidate or registration is about to be sent.

    When a known registration is made again, who made that one stays until the new one is known.
    """
    repeated = record if isinstance(record, RegistrationRecord) and record.is_repeat else None
    values = {
        "b_state": record.states.SENDING,
        "b_pending_action": Action.REGISTER if repeated else None,
        "b_job_id": repeated.job_id if repeated else claim.job_id,
        "b_row_id": work.row_id,
        "b_sent_at": now(),
    }
    return (
        fenced_write(_INTENT_TO_CREATE[record.table], record.id, claim, values),
        Write(COUNT_ATTEMPT, {"b_id": work.row_id}),
    )


def state_changed(
    claim: Claim,
    work: WorkItem,
    record: CandidateRecord | RegistrationRecord,
    state: CandidateState | RegistrationState,
    *,
    unsent: bool = False,
) -> tuple[Write, ...]:
    """Record the state after a call without a result: in doubt, or as before because nothing was done.

    `unsent`: nothing was sent either, so that the attempt does not count.
    """
    changed = fenced_write(_SET_STATE[record.table], record.id, claim, {"b_state": state})
    return (changed, Write(_UNCOUNT_ATTEMPT, {"b_id": work.row_id})) if unsent else (changed,)


def candidate_created(claim: Claim, work: WorkItem, lms_id: str) -> tuple[Write, ...]:
    """Record the id of the new candidate, and `created` on the row for which the creation was sent."""
    sent_for = work.candidate.row_id if work.candidate.state is CandidateState.IN_DOUBT else work.row_id
    return (*candidate_found(claim, work, lms_id), Write(_MARK_CREATED, {"b_id": sent_for}))


def candidate_found(claim: Claim, work: WorkItem, lms_id: str) -> tuple[Write, ...]:
    """Record the id of a candidate that existed before."""
    values = {"b_state": CandidateState.KNOWN, "b_lms_id": lms_id, "b_id_key": id_key_of(lms_id)}
    return (fenced_write(SET_LMS_ID, work.candidate.id, claim, values),)


def registration_not_made(claim: Claim, work: WorkItem, *, unsent: bool = False) -> tuple[Write, ...]:
    """Record that the LMS certainly did not make a registration; `unsent`: nothing was sent either."""
    return state_changed(claim, work, work.registration, work.registration.not_made, unsent=unsent)


def registered(
    claim: Claim, work: WorkItem, outcome: RowOutcome, *, made_by: int | None = None
) -> tuple[Write, ...]:
    """Record that the candidate is registered: by this job, by the one whose call was in doubt, or already.

    `made_by`: that other job. What is known of a registration that existed stays where the LMS does not show it.
    """
    known = work.registration
    made_by = claim.job_id if outcome.status is RowStatus.REGISTERED else made_by
    is_new = made_by is not None
    forgets = is_new or known.state is RegistrationState.NEW
    under_its_id = outcome.status is RowStatus.REGISTERED and not known.number
    values = {
        "b_state": RegistrationState.REGISTERED,
        "b_lms_id": outcome.registration_id or (None if forgets else known.lms_id),
        "b_job_id": made_by if is_new else known.job_id,
        "b_series": known.number if is_new else known.series,
        "b_external_key": hash_identifier("registration", work.row.registration_external_id)
        if under_its_id
        else None,
    }
    return (
        fenced_write(_SET_REGISTERED, work.registration.id, claim, values),
        row_outcome(claim, work, outcome),
    )


def doubt_settled(work: WorkItem, outcome: RowOutcome, *, made_by: int | None) -> Write:
    """Record on the rows of other jobs that the registration in doubt exists; `made_by`: the job that made it."""
    values = {
        "b_id": work.row_id,
        "b_registration": work.registration.id,
        "b_made_by": made_by,
        "b_lms_registration_id": outcome.registration_id,
        "b_changed_at": now(),
    }
    return Write(_SETTLE_DOUBT, values)


def row_outcome(claim: Claim, work: WorkItem, outcome: RowOutcome) -> Write:
    """Record the outcome of a row."""
    if not outcome.is_made:
        return _explanation(claim, work, outcome)
    return Write(
        _SET_OUTCOME,
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


def _explanation(claim: Claim, work: WorkItem, outcome: RowOutcome) -> Write:
    values = {"b_error": outcome.error, "b_error_code": outcome.code}
    mine = {"b_id": work.row_id, "b_batch": claim.batch_id, "b_epoch": claim.epoch}
    return Write(_EXPLAIN_UNSENT, {**mine, **values}, fenced=True)


def fenced_write(statement: Update, record_id: int, claim: Claim, values: Mapping[str, object]) -> Write:
    """Return a write on one record that fails when the claim does not hold it."""
    return Write(statement, {"b_id": record_id, "b_claim": claim.token, **values}, fenced=True)


_OF_CANDIDATE = ("id", "state", "lms_id", "job_id", "row_id", "sent_at", "pending_action", "claimed_by")
_OF_REGISTRATION = ("id", "state", "lms_id", "series", "job_id", "sent_at", "pending_action", "claimed_by")
_sent = row.alias("sent")
_SENT_BY = select(_sent.c.job_id).where(_sent.c.id == registration.c.row_id).scalar_subquery()
_OF_ITEM: tuple[Any, ...] = (
    *(row.c[name] for name in ("id", "parsed", "status", "attempts", "repeats")),
    *(candidate.c[name] for name in _OF_CANDIDATE),
    *(registration.c[name] for name in _OF_REGISTRATION),
    _SENT_BY,
)
#: Built once: building a statement takes longer than executing it.
WORK_ITEMS = (
    select(*_OF_ITEM)
    .join(candidate, candidate.c.id == row.c.candidate_id)
    .join(registration, registration.c.id == row.c.registration_id)
)
_ITEMS_OF_BATCH = (
    WORK_ITEMS.where(row.c.batch_id == bindparam("b_batch")).where(row.c.status.in_(PENDING)).order_by(row.c.id)
)
_ITEM_OF_ROW = WORK_ITEMS.where(row.c.id == bindparam("b_id"))


def load_items(tx: Transaction, claim: Claim) -> list[WorkItem]:
    """Return the rows of a claimed batch that have no outcome yet, in roster order."""
    records = tx.execute(_ITEMS_OF_BATCH, {"b_batch": claim.batch_id})
    return [as_work_item(record, claim.token) for record in records]


def load_item(tx: Transaction, claim: Claim, row_id: int) -> WorkItem:
    """Return one row of a claimed batch as the ledger has it now."""
    return as_work_item(tx.execute(_ITEM_OF_ROW, {"b_id": row_id}).one(), claim.token)


def as_work_item(record: Row[Any], token: str) -> WorkItem:
    """Return the work item of a record of `WORK_ITEMS`; `token` is that of the claim that loads it."""
    row_id, parsed, status, attempts, repeats, *held = tuple(record)
    return WorkItem(
        row_id=row_id,
        row=read_row(parsed),
        status=RowStatus(status),
        attempts=attempts,
        repeats=repeats,
        candidate=_as_candidate(held[: len(_OF_CANDIDATE)], token),
        registration=_as_registration(held[len(_OF_CANDIDATE) :], token),
    )


def _as_candidate(values: Sequence[Any], token: str) -> CandidateRecord:
    record_id, state, lms_id, job_id, row_id, sent_at, pending_action, claimed_by = values
    return CandidateRecord(
        id=record_id,
        state=CandidateState(state),
        lms_id=lms_id,
        job_id=job_id,
        row_id=row_id,
        sent_at=sent_at,
        pending_action=Action(pending_action) if pending_action else None,
        is_claimed=claimed_by == token,
    )


def _as_registration(values: Sequence[Any], token: str) -> RegistrationRecord:
    record_id, state, lms_id, series, job_id, sent_at, pending_action, claimed_by, sent_by = values
    is_pending = state in {RegistrationState.SENDING, RegistrationState.IN_DOUBT}
    return RegistrationRecord(
        id=record_id,
        state=RegistrationState(state),
        lms_id=lms_id,
        series=series,
        job_id=job_id,
        sent_by=sent_by,
        is_repeat=is_pending and pending_action == Action.REGISTER,
        sent_at=sent_at,
        pending_action=Action(pending_action) if pending_action else None,
        is_claimed=claimed_by == token,
    )
