"""Rows of rosters: counted, reopened, explained, reported."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from sqlalchemy import and_, case, distinct, false, func, not_, or_, select, update

from worker.ledger.active import is_active
from worker.ledger.relations import Settled, is_settled, settled_by, withdrawn_by
from worker.ledger.schema import candidate, job, job_relation, registration, row
from worker.model import (
    DONE,
    MAY_LACK_REGISTRATION,
    Action,
    CandidateState,
    RegistrationState,
    Relation,
    RosterRow,
    RowStage,
    RowStatus,
    Verdict,
    stage_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Row, Select

    from worker.ledger.database import Transaction

#: The error of a row that was not sent when its job was cancelled, and of one whose person is in the LMS.
CANCELLED = "The job was cancelled before this row was sent"
CANCELLED_UNREGISTERED = "The job was cancelled before this person, who is in the LMS, was registered"


#: Statuses of a row whose person is on the course, unless a later job withdraws that.
_REGISTERED = (RowStatus.REGISTERED, RowStatus.ALREADY_REGISTERED)


@cache
def row_type() -> TypeAdapter[RosterRow]:
    """Return the reader and writer of `parsed`, built on first use: commands that only count rows save 15 ms."""
    return TypeAdapter(RosterRow)


def read_row(parsed: str) -> RosterRow:
    """Return a row from the JSON of `parsed`."""
    return row_type().validate_json(parsed)


def dump_row(understood: RosterRow) -> str:
    """Return a row as the JSON of `parsed`."""
    return row_type().dump_json(understood).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCounts:
    """The counts of a job's rows."""

    by_status: dict[RowStatus, int]
    #: Rows that are still to be sent, those included that had an outcome before.
    pending: int
    candidates_created: int
    registrations_created: int

    @property
    def total(self) -> int:
        """Return the number of rows."""
        return sum(self.by_status.values())


def count_rows(tx: Transaction, job_id: int) -> RowCounts:
    """Count the rows of a job by status; statuses without rows are 0."""
    return count_rows_of(tx, [job_id])[job_id]


def count_rows_of(tx: Transaction, job_ids: Sequence[int]) -> dict[int, RowCounts]:
    """Count the rows of jobs by status, as `count_rows` does, in one statement."""
    created = func.sum(case((row.c.created.is_(True), 1), else_=0))
    query = (
        select(row.c.job_id, row.c.status, row.c.kept_status, func.count(), created)
        .where(row.c.job_id.in_(job_ids))
        .group_by(row.c.job_id, row.c.status, row.c.kept_status)
    )
    records: dict[int, list[Any]] = {job_id: [] for job_id in job_ids}
    for job_id, *record in tx.execute(query):
        records[job_id].append(record)
    return {job_id: _add_up(found) for job_id, found in records.items()}


def _add_up(records: Sequence[tuple[str, str | None, int, int]]) -> RowCounts:
    """Return the counts of a job from those by status, and by the status that a row had before it is sent again."""
    by_status, pending, candidates = dict.fromkeys(RowStatus, 0), 0, 0
    for status, kept, count, created in records:
        unsent = status == RowStatus.NOT_ATTEMPTED
        pending += count if unsent else 0
        by_status[RowStatus(kept if unsent and kept else status)] += count
        candidates += created
    return RowCounts(
        by_status=by_status,
        pending=pending,
        candidates_created=candidates,
        registrations_created=by_status[RowStatus.REGISTERED],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemCount:
    """Rows that were not accepted for the same reason."""

    #: Codes of the report, and headings of the roster, separated as in the report.
    code: str
    column: str
    count: int
    first_row: int


def count_problems(tx: Transaction, job_id: int) -> list[ProblemCount]:
    """Return why rows of a job are invalid or rejected, the most frequent reason first."""
    wrong = row.c.status.in_([RowStatus.INVALID, RowStatus.REJECTED])
    count, first = func.count(), func.min(row.c.row)
    query = select(row.c.error_code, row.c.column, count, first).where(row.c.job_id == job_id, wrong)
    found = tx.execute(query.group_by(row.c.error_code, row.c.column).order_by(count.desc(), first))
    return [ProblemCount(code=code, column=column, count=of, first_row=at) for code, column, of, at in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCounts:
    """The rows of a job that are not done, by stage."""

    by_stage: Mapping[RowStage, int]
    #: Rows without an outcome whose person this ledger has created, or found in the LMS.
    unsent_created: int = 0
    unsent_found: int = 0


def person_exists() -> ColumnElement[bool]:
    """Return the condition that a row's candidate is in the LMS; an id that only a roster gave proves nothing."""
    only_named = and_(candidate.c.key == candidate.c.id_key, candidate.c.job_id.is_(None))
    gone = candidate.c.state == CandidateState.DEACTIVATED
    return and_(candidate.c.lms_id.is_not(None), not_(only_named), not_(gone))


def is_unregistered() -> ColumnElement[bool]:
    """Return the condition that a row's candidate is in the LMS and not known to be registered on its course."""
    registered = select(registration.c.id).where(registration.c.id == row.c.registration_id, is_active())
    return and_(person_exists(), ~registered.correlate(row).exists())


def count_stages(tx: Transaction, job_id: int) -> StageCounts:
    """Count the rows of a job that are not done by stage; stages without rows are 0."""
    return count_stages_of(tx, [job_id])[job_id]


def count_stages_of(tx: Transaction, job_ids: Sequence[int]) -> dict[int, StageCounts]:
    """Count the rows of jobs that are not done by stage, as `count_stages` does, in one statement."""
    exists, created = func.coalesce(is_unregistered(), false()), candidate.c.job_id.is_not(None)
    unsent_now = row.c.kept_status.is_(None)
    query = (
        select(row.c.job_id, row.c.status, unsent_now, row.c.action, exists, created, func.count())
        .select_from(row)
        .outerjoin(candidate, candidate.c.id == row.c.candidate_id)
        .where(row.c.job_id.in_(job_ids), row.c.status.in_(MAY_LACK_REGISTRATION))
        .group_by(row.c.job_id, row.c.status, unsent_now, row.c.action, exists, created)
    )
    records: dict[int, list[Any]] = {job_id: [] for job_id in job_ids}
    for job_id, *record in tx.execute(query):
        records[job_id].append(record)
    return {job_id: _add_up_stages(found) for job_id, found in records.items()}


def _add_up_stages(records: Sequence[tuple[str, bool, str, bool, bool, int]]) -> StageCounts:
    by_stage = dict.fromkeys(RowStage, 0)
    unsent = {True: 0, False: 0}
    for status, is_unsent, action, is_there, is_ours, count in records:
        stage = stage_of(RowStatus(status), Action(action), person_exists=bool(is_there))
        if stage is not None:
            by_stage[stage] += count
        if stage is RowStage.CANDIDATE_CREATED and status == RowStatus.NOT_ATTEMPTED and is_unsent:
            unsent[bool(is_ours)] += count
    return StageCounts(by_stage=by_stage, unsent_created=unsent[True], unsent_found=unsent[False])


def count_verdicts(tx: Transaction, job_id: int) -> dict[Verdict, int]:
    """Count the rows of a job by verdict; verdicts without rows are 0."""
    return count_verdicts_of(tx, [job_id])[job_id]


def count_verdicts_of(tx: Transaction, job_ids: Sequence[int]) -> dict[int, dict[Verdict, int]]:
    """Count the rows of jobs by verdict, as `count_verdicts` does, in one statement."""
    query = (
        select(row.c.job_id, row.c.verified, func.count())
        .where(row.c.job_id.in_(job_ids), row.c.verified.is_not(None), row.c.status.in_(DONE))
        .group_by(row.c.job_id, row.c.verified)
    )
    counted = {job_id: dict.fromkeys(Verdict, 0) for job_id in job_ids}
    for job_id, verdict, count in tx.execute(query) if job_ids else ():
        counted[job_id][Verdict(verdict)] = count
    return counted


#: Codes of rows that were not sent; the error of any other code is that of something that was done.
_UNSENT_CODES = ("", "cancelled", "candidate_in_doubt", "course_refused", "not_sent", "strict")


def reopen_rows(tx: Transaction, job_id: int, *, rejected: bool = False) -> int:
    """Make the rows of a job ready that were never sent, and those that the LMS rejected. Return how many.

    The last outcome of a row is kept until there is a newer one.
    """
    mine = and_(row.c.job_id == job_id, row.c.parsed.is_not(None), row.c.status == RowStatus.NOT_ATTEMPTED)
    count = tx.execute(update(row).where(mine).values(batch_id=None)).rowcount
    unsent = update(row).where(mine, row.c.kept_status.is_(None), row.c.error_code.in_(_UNSENT_CODES))
    tx.execute(unsent.values(error="", error_code="", http_status=None))
    if rejected:
        again = update(row).where(
            row.c.job_id == job_id, row.c.parsed.is_not(None), row.c.status == RowStatus.REJECTED
        )
        kept = {"status": RowStatus.NOT_ATTEMPTED, "kept_status": RowStatus.REJECTED, "batch_id": None}
        count += tx.execute(again.values(**kept)).rowcount
    return count


def restore_outcomes(tx: Transaction, job_id: int) -> None:
    """Give the rows of a job their last outcome back that were to be sent again and were not."""
    waiting = update(row).where(row.c.job_id == job_id, row.c.kept_status.is_not(None))
    tx.execute(waiting.values(status=row.c.kept_status, kept_status=None))


def explain_rows(
    tx: Transaction, job_id: int, course_key: str | None, error: str, code: str, *, unregistered: str | None = None
) -> None:
    """Set the error of the rows that were not sent and have none yet.

    `unregistered` is the error of those whose person is in the LMS and not known to be on the course.
    """
    unsent = and_(row.c.status == RowStatus.NOT_ATTEMPTED, row.c.kept_status.is_(None), row.c.error_code == "")
    mine = and_(row.c.job_id == job_id, unsent)
    if course_key is not None:
        mine = and_(mine, row.c.course_key == course_key)
    if unregistered is not None:
        there = select(candidate.c.id).where(candidate.c.id == row.c.candidate_id, is_unregistered()).exists()
        created = update(row).where(mine, row.c.action == Action.REGISTER, there)
        tx.execute(created.values(error=unregistered, error_code=code))
    tx.execute(update(row).where(mine).values(error=error, error_code=code))


def explain_cancelled(tx: Transaction, job_id: int) -> None:
    """Set the error of the rows that a cancelled job did not send."""
    explain_rows(tx, job_id, None, CANCELLED, "cancelled", unregistered=CANCELLED_UNREGISTERED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedRow:
    """A row with its outcome, as reports show it."""

    row: int
    cells: Sequence[str]
    status: RowStatus
    #: Its problems, and what else a person should know of it.
    error: str
    #: How another job has settled a row that is not done here, and the number of that job.
    settled: tuple[Settled, int] | None
    code: str
    column: str
    stage: RowStage | None
    candidate_id: str | None
    registration_id: str | None
    created: bool
    attempts: int
    http_status: int | None
    changed_at: float | None
    differs: bool


def reported_rows(tx: Transaction, job_id: int) -> Iterator[ReportedRow]:
    """Yield the rows of a job in roster order."""
    for record in tx.execute(_reported(job_id)).yield_per(1_000):
        yield _as_reported(record)


def rows_with_status(tx: Transaction, job_id: int, status: RowStatus) -> Iterator[ReportedRow]:
    """Yield the rows of a job with this status, in roster order."""
    for record in tx.execute(_reported(job_id).where(row.c.status == status)).yield_per(1_000):
        yield _as_reported(record)


def page_of_rows(
    tx: Transaction,
    job_id: int,
    *,
    statuses: Collection[RowStatus] = (),
    only_created: bool = False,
    only_unsettled: bool = False,
    number: int | None = None,
    offset: int = 0,
    limit: int = 50,
) -> list[ReportedRow]:
    """Return a page of a job's rows in roster order: those of these statuses, or the one of this number.

    `only_created`: only those whose person is in the LMS and is not registered. `only_unsettled`: only those that
    no other job has settled.
    """
    query = _reported(job_id)
    if statuses:
        wanted = [status.value for status in statuses]
        latest = and_(row.c.kept_status.is_(None), row.c.status.in_(wanted))
        query = query.where(or_(latest, row.c.kept_status.in_(wanted)))
    if only_created:
        query = query.where(row.c.action == Action.REGISTER, is_unregistered(), row.c.kept_status.is_(None))
    if only_unsettled:
        query = query.where(~is_settled())
    if number is not None:
        query = query.where(row.c.row == number)
    return [_as_reported(record) for record in tx.execute(query.offset(offset).limit(limit))]


def _reported(job_id: int) -> Select[Any]:
    there = func.coalesce(is_unregistered(), false()).label("person_exists")
    # Asked only when a job undoes this one, or of registrations of other jobs: it costs a look-up for each row.
    is_undone = select(job_relation.c.job_id).where(
        job_relation.c.other_id == job_id, job_relation.c.kind == Relation.UNDOES
    )
    undone_by = case(
        (or_(row.c.status == RowStatus.ALREADY_REGISTERED, is_undone.exists()), withdrawn_by()), else_=None
    ).label("withdrawn_by")
    is_open = row.c.status.in_([status for status in RowStatus if status.is_open])
    settled = [case((is_open, by), else_=None).label(how.name) for how, by in settled_by().items()]
    found = select(row, candidate.c.lms_id, there, undone_by, *settled).outerjoin(
        candidate, candidate.c.id == row.c.candidate_id
    )
    return found.where(row.c.job_id == job_id).order_by(row.c.row)


def count_in_flight(tx: Transaction, job_id: int) -> int:
    """Count a job's rows that are being sent just now."""
    sent = or_(
        candidate.c.state == CandidateState.SENDING,
        registration.c.state == RegistrationState.SENDING,
    )
    being_sent = (
        select(func.count())
        .select_from(row)
        .join(candidate, candidate.c.id == row.c.candidate_id)
        .outerjoin(registration, registration.c.id == row.c.registration_id)
        .where(row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED, sent)
    )
    count: int = tx.execute(being_sent).scalar_one()
    return count


def _as_reported(record: Row[Any]) -> ReportedRow:
    error, code = record.error, record.error_code
    if record.status in _REGISTERED and record.withdrawn_by is not None and not error:
        error, code = f"Withdrawn by job {record.withdrawn_by}", "withdrawn_later"
    return ReportedRow(
        row=record.row,
        cells=record.cells,
        status=RowStatus(record.kept_status or record.status),
        error=_with_note(error, record.note),
        settled=next(
            ((how, job_id) for how in Settled if (job_id := record._mapping[how.name]) is not None),  # noqa: SLF001
            None,
        ),
        code=code,
        column=record.column,
        stage=stage_of(RowStatus(record.status), Action(record.action), person_exists=bool(record.person_exists)),
        candidate_id=record.lms_id,
        registration_id=record.lms_registration_id,
        created=record.created,
        attempts=record.attempts,
        http_status=record.http_status,
        changed_at=record.changed_at,
        differs=record.verified == Verdict.DIFFERS,
    )


def _with_note(error: str, note: str) -> str:
    if not (error and note):
        return error or note
    return f"{error if error.endswith('.') else f'{error}.'} {note}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemainingWork:
    """Rows that were not sent yet, by course, and the number of their new candidates."""

    rows_by_course: Mapping[str, int]
    new_candidates: int
    #: Rows of other actions than register, which `rows_by_course` does not count.
    actions: int
    #: Those of them that are not linked to a registration yet.
    unlinked: int = 0


def proven_courses(tx: Transaction, connection: str) -> set[str]:
    """Return the courses with a registration through this connection."""
    query = select(registration.c.course_key).where(
        registration.c.connection == connection, registration.c.state == RegistrationState.REGISTERED
    )
    return set(tx.execute(query.distinct()).scalars())


def is_course_proven(tx: Transaction, job_id: int, course_key: str) -> bool:
    """Return whether the ledger knows a registration on a course through the connection of a job."""
    connection = select(job.c.connection).where(job.c.id == job_id).scalar_subquery()
    known = select(registration.c.id).where(
        registration.c.connection == connection,
        registration.c.course_key == course_key,
        registration.c.state == RegistrationState.REGISTERED,
    )
    return tx.execute(known.limit(1)).first() is not None


def count_people_to_register(tx: Transaction, job_id: int) -> int:
    """Count the people of the rows of a job that are still to be registered."""
    query = select(func.count(distinct(row.c.candidate_id))).where(
        row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED, row.c.action == Action.REGISTER
    )
    count: int = tx.execute(query).scalar_one()
    return count


def count_remaining(tx: Transaction, job_id: int) -> RemainingWork:
    """Count the rows of a job that were not sent yet."""
    waiting = (
        select(row.c.course_key, func.count())
        .where(row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED, row.c.candidate_id.is_not(None))
        .where(row.c.action == Action.REGISTER)
        .group_by(row.c.course_key)
    )
    actions = (
        select(func.count())
        .where(row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED)
        .where(row.c.action != Action.REGISTER)
    )
    new = (
        select(func.count(distinct(candidate.c.id)))
        .join(row, row.c.candidate_id == candidate.c.id)
        .where(row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED, row.c.action == Action.REGISTER)
        .where(candidate.c.state == CandidateState.NEW)
    )
    return RemainingWork(
        rows_by_course=dict(tx.execute(waiting).all()),
        new_candidates=tx.execute(new).scalar_one(),
        actions=tx.execute(actions).scalar_one(),
        unlinked=tx.execute(actions.where(row.c.candidate_id.is_(None))).scalar_one(),
    )
