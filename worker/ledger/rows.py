"""Rows of rosters: counted, opened again, explained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from sqlalchemy import and_, distinct, func, or_, select, update

from worker.ledger.database import now
from worker.ledger.schema import candidate, registration, row
from worker.model import DONE, Action, CandidateState, RegistrationState, RosterRow, RowStatus, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Row, Select

    from worker.ledger.database import Transaction

#: What a person reads of a row that was not sent when its job was cancelled.
CANCELLED = "The job was cancelled before this row was sent"


@cache
def row_type() -> TypeAdapter[RosterRow]:
    """Return what reads and writes a row, made when it is first used: commands that only count rows save 15 ms."""
    return TypeAdapter(RosterRow)


def read_row(parsed: str) -> RosterRow:
    """Return a row as it was understood when the roster was read."""
    return row_type().validate_json(parsed)


def dump_row(understood: RosterRow) -> str:
    """Return a row as the ledger keeps it."""
    return row_type().dump_json(understood).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The counts of a job's rows."""

    by_status: dict[RowStatus, int]
    candidates_created: int
    registrations_created: int

    @property
    def total(self) -> int:
        """Return the number of rows."""
        return sum(self.by_status.values())


def tally(tx: Transaction, job_id: int) -> Tally:
    """Count the rows of a job by status, every status with its number, zeros included."""
    lines = tx.execute(select(row.c.status, func.count()).where(row.c.job_id == job_id).group_by(row.c.status))
    counted: dict[str, int] = dict(lines.all())
    created = tx.execute(select(func.count()).where(row.c.job_id == job_id, row.c.created.is_(True))).scalar_one()
    return Tally(
        by_status={status: counted.get(status, 0) for status in RowStatus},
        candidates_created=created,
        registrations_created=counted.get(RowStatus.REGISTERED, 0),
    )


def count_verdicts(tx: Transaction, job_id: int) -> dict[Verdict, int]:
    """Count the rows of a job by what reading them back showed, zeros included."""
    lines = tx.execute(
        select(row.c.verified, func.count())
        .where(row.c.job_id == job_id, row.c.verified.is_not(None), row.c.status.in_(DONE))
        .group_by(row.c.verified)
    )
    counted: dict[str, int] = dict(lines.all())
    return {verdict: counted.get(verdict, 0) for verdict in Verdict}


def reopen_rows(tx: Transaction, job_id: int, statuses: Sequence[RowStatus]) -> int:
    """Make rows of these statuses `not_attempted` again, to be sent anew. Return how many."""
    return tx.execute(
        update(row)
        .where(row.c.job_id == job_id, row.c.status.in_(statuses), row.c.parsed.is_not(None))
        .values(status=RowStatus.NOT_ATTEMPTED, error="", error_code="", http_status=None, batch_id=None)
    ).rowcount


def explain_rows(tx: Transaction, job_id: int, course_key: str | None, error: str, code: str) -> None:
    """Say on the rows that were not sent why they were not."""
    statement = update(row).where(row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED)
    if course_key is not None:
        statement = statement.where(row.c.course_key == course_key)
    tx.execute(statement.values(error=error, error_code=code))


def skip_repeated(tx: Transaction, job_id: int) -> None:
    """Mark the rows that ask for what stands in the roster above them: the same action on the same registration."""
    mine = select(row.c.registration_id, row.c.action, func.min(row.c.row).label("first")).where(
        row.c.job_id == job_id, row.c.registration_id.is_not(None)
    )
    first = mine.group_by(row.c.registration_id, row.c.action).having(func.count() > 1).subquery()
    same = and_(first.c.registration_id == row.c.registration_id, first.c.action == row.c.action)
    repeated = select(row.c.id, row.c.action, first.c.first).join(first, same)
    unsent = row.c.status.in_((RowStatus.NOT_ATTEMPTED, RowStatus.ALREADY_REGISTERED))
    for line in tx.execute(repeated.where(row.c.job_id == job_id, row.c.row != first.c.first, unsent)).all():
        tx.execute(
            update(row)
            .where(row.c.id == line.id)
            .values(
                status=RowStatus.SKIPPED,
                error=_repeats(Action(line.action), line.first),
                error_code="duplicate_row",
                lms_registration_id=None,
                changed_at=now(),
            )
        )


def _repeats(action: Action, first: int) -> str:
    if action is Action.REGISTER:
        return f"The same candidate and course as row {first}, which carries the registration"
    what = "candidate" if action.is_about_a_person else "candidate and course"
    return f"The same {what} and action as row {first}, which carries the outcome"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedRow:
    """A row with its outcome, as the report tells it."""

    row: int
    cells: Sequence[str]
    status: RowStatus
    error: str
    code: str
    column: str
    candidate_id: str | None
    registration_id: str | None
    created: bool
    attempts: int
    http_status: int | None
    changed_at: float | None
    differs: bool


def reported_rows(tx: Transaction, job_id: int) -> Iterator[ReportedRow]:
    """Yield the rows of a job in roster order."""
    for line in tx.execute(_rows_of(job_id)).yield_per(1_000):
        yield _as_reported(line)


def some_rows(
    tx: Transaction,
    job_id: int,
    *,
    statuses: Collection[RowStatus] = (),
    number: int | None = None,
    offset: int = 0,
    limit: int = 50,
) -> list[ReportedRow]:
    """Return a part of a job's rows in roster order: those of these statuses, or the one of this number."""
    query = _rows_of(job_id)
    if statuses:
        query = query.where(row.c.status.in_([status.value for status in statuses]))
    if number is not None:
        query = query.where(row.c.row == number)
    return [_as_reported(line) for line in tx.execute(query.offset(offset).limit(limit))]


def _rows_of(job_id: int) -> Select[Any]:
    found = select(row, candidate.c.lms_id).outerjoin(candidate, candidate.c.id == row.c.candidate_id)
    return found.where(row.c.job_id == job_id).order_by(row.c.row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """What moves in a job just now."""

    #: Rows for which a call is under way.
    in_flight: int
    #: Rows that got their outcome since the moment that was asked for.
    settled: int


def movement(tx: Transaction, job_id: int, since: float) -> Movement:
    """Count a job's rows that are under way, and those that got their outcome since then (seconds since 1970)."""
    sent = or_(
        candidate.c.state == CandidateState.SENDING,
        registration.c.state == RegistrationState.SENDING,
    )
    under_way = (
        select(func.count())
        .select_from(row)
        .join(candidate, candidate.c.id == row.c.candidate_id)
        .outerjoin(registration, registration.c.id == row.c.registration_id)
        .where(row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED, sent)
    )
    settled = select(func.count()).where(
        row.c.job_id == job_id, row.c.changed_at > since, row.c.status != RowStatus.NOT_ATTEMPTED
    )
    return Movement(in_flight=tx.execute(under_way).scalar_one(), settled=tx.execute(settled).scalar_one())


def _as_reported(line: Row[Any]) -> ReportedRow:
    return ReportedRow(
        row=line.row,
        cells=line.cells,
        status=RowStatus(line.status),
        error=line.error,
        code=line.error_code,
        column=line.column,
        candidate_id=line.lms_id,
        registration_id=line.lms_registration_id,
        created=line.created,
        attempts=line.attempts,
        http_status=line.http_status,
        changed_at=line.changed_at,
        differs=line.verified == Verdict.DIFFERS,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Rows that were not sent, by course, and the candidates among them whom the ledger does not know."""

    rows_by_course: Mapping[str, int]
    new_candidates: int
    #: Rows of other actions than to register; `rows_by_course` does not count them.
    deeds: int
    #: Those of them of which only an external id says which registration is meant.
    to_find: int = 0


def proven_courses(tx: Transaction, connection: str) -> set[str]:
    """Return the courses on which somebody was registered through this connection before."""
    query = select(registration.c.course_key).where(
        registration.c.connection == connection, registration.c.state == RegistrationState.REGISTERED
    )
    return set(tx.execute(query.distinct()).scalars())


def outlook(tx: Transaction, job_id: int) -> Outlook:
    """Count what is ahead of a job."""
    waiting = (
        select(row.c.course_key, func.count())
        .where(row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED, row.c.candidate_id.is_not(None))
        .where(row.c.action == Action.REGISTER)
        .group_by(row.c.course_key)
    )
    deeds = (
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
    return Outlook(
        rows_by_course=dict(tx.execute(waiting).all()),
        new_candidates=tx.execute(new).scalar_one(),
        deeds=tx.execute(deeds).scalar_one(),
        to_find=tx.execute(deeds.where(row.c.candidate_id.is_(None))).scalar_one(),
    )
