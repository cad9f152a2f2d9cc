"""How jobs relate: what undoes, fixes or repeats what; rows that a later job withdrew or settled."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, distinct, exists, func, insert, or_, select, true, tuple_, update

from worker.ledger.active import is_active
from worker.ledger.chunks import chunks
from worker.ledger.schema import job, job_relation, registration, row
from worker.model import DONE, ENDED, Action, JobState, Relation, RowStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import ColumnElement, FromClause, ScalarSelect

    from worker.ledger.database import Transaction

#: What is stored of a relation, and how the other job calls it; null when it does not.
_REVERSE = {Relation.UNDOES: Relation.UNDONE_BY, Relation.FIXES: Relation.FIXED_BY}
#: Statuses of a later row that settle an open one: it is done, or has its outcome in another row.
_SETTLING = (*sorted(DONE), RowStatus.SKIPPED)
#: Pairs in one statement.
_PAIRS = 400


class Settled(Enum):
    """How another job has settled a row, as a report says it before the number of that job."""

    FIXED = "Fixed by"
    REGISTERED = "Registered by"
    FOUND = "Already registered, found by"
    DONE = "Done by"


def relate(tx: Transaction, job_id: int, relation: Relation, others: Collection[int]) -> None:
    """Record that a job undoes, fixes or repeats others; what is recorded already stays."""
    known = select(job_relation.c.other_id).where(job_relation.c.job_id == job_id, job_relation.c.kind == relation)
    new = set(others) - set(tx.execute(known).scalars()) - {job_id}
    if new:
        tx.execute(
            insert(job_relation),
            [{"job_id": job_id, "kind": relation, "other_id": other} for other in sorted(new)],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """The jobs to which a job relates, by relation; relations without a job are empty."""

    #: A job undoes another one from its first withdrawal on.
    jobs: dict[Relation, list[int]]
    #: Those that were opened to undo or to fix, and have withdrawn or settled no row so far.
    without_effect: dict[Relation, list[int]]


def related(tx: Transaction, job_id: int) -> Related:
    """Return the jobs to which a job relates."""
    return related_of(tx, [job_id])[job_id]


def related_of(tx: Transaction, job_ids: Sequence[int]) -> dict[int, Related]:
    """Return the jobs to which each of these jobs relates, in one statement."""
    related = {job_id: Related(jobs=_no_jobs(), without_effect=_no_jobs()) for job_id in job_ids}
    theirs = or_(job_relation.c.job_id.in_(job_ids), job_relation.c.other_id.in_(job_ids))
    query = select(job_relation, _has_effect().label("has_effect")).where(theirs)
    for record in tx.execute(query.order_by(job_relation.c.job_id, job_relation.c.other_id)):
        stored = Relation(record.kind)
        sides = ((record.job_id, record.other_id, stored), (record.other_id, record.job_id, _REVERSE.get(stored)))
        for job_id, other, kind in sides:
            if job_id in related and kind is not None:
                if record.has_effect or stored is not Relation.UNDOES:
                    related[job_id].jobs[kind].append(other)
                if not record.has_effect:
                    related[job_id].without_effect[kind].append(other)
    return related


def _no_jobs() -> dict[Relation, list[int]]:
    return {relation: [] for relation in Relation}


def _has_effect() -> ColumnElement[bool]:
    """Return the condition that a job has withdrawn a registration of a related one, or has settled a row of it."""
    later = row.alias("later")
    pair = (later.c.job_id == job_relation.c.job_id, row.c.job_id == job_relation.c.other_id)
    withdrawn = (
        later.c.registration_id == row.c.registration_id,
        later.c.action == Action.WITHDRAW,
        later.c.status == RowStatus.WITHDRAWN,
    )
    settled = (
        later.c.fixes_row_id == func.coalesce(row.c.fixes_row_id, row.c.id),
        later.c.status.in_(_SETTLING),
    )
    return case(
        (job_relation.c.kind == Relation.UNDOES, exists().where(*pair, *withdrawn).correlate(job_relation)),
        (job_relation.c.kind == Relation.FIXES, exists().where(*pair, *settled).correlate(job_relation)),
        else_=true(),
    )


def relate_repeated(tx: Transaction, job_id: int, connection: str, fingerprint: str) -> None:
    """Record which earlier job a new one repeats: the newest of the same bytes and options."""
    earlier = select(func.max(job.c.id)).where(
        job.c.connection == connection, job.c.fingerprint == fingerprint, job.c.id < job_id
    )
    other = tx.execute(earlier).scalar()
    if other is not None:
        relate(tx, job_id, Relation.REPEATS, [other])


def find_same_file(tx: Transaction, connection: str, fingerprint: str) -> int | None:
    """Return the newest job of the same bytes and options: one that has not ended, if there is one."""
    has_ended = job.c.state.in_([state.value for state in ENDED])
    same = select(job.c.id).where(job.c.connection == connection, job.c.fingerprint == fingerprint)
    found: int | None = tx.execute(same.order_by(has_ended, job.c.id.desc()).limit(1)).scalar()
    return found


def count_waiting_elsewhere(tx: Transaction, job_id: int) -> dict[int, int]:
    """Count the unsent rows of a job that another open job is to send too, by the number of that job."""
    other = row.alias("other")
    query = (
        select(other.c.job_id, func.count(distinct(row.c.id)))
        .select_from(row)
        .join(other, and_(other.c.registration_id == row.c.registration_id, other.c.action == row.c.action))
        .join(job, job.c.id == other.c.job_id)
        .where(row.c.job_id == job_id, other.c.job_id != job_id)
        .where(row.c.status == RowStatus.NOT_ATTEMPTED, other.c.status == RowStatus.NOT_ATTEMPTED)
        .where(job.c.state.not_in([state.value for state in ENDED]))
    )
    return dict(tx.execute(query.group_by(other.c.job_id).order_by(other.c.job_id)).all())


def find_fixed_rows(
    tx: Transaction, connection: str, pairs: Collection[tuple[int, int]]
) -> tuple[dict[tuple[int, int], int], int]:
    """Return the ids of the open rows that pairs (job, row number) name, and how many pairs name no row at all.

    A row that itself fixes an earlier one counts as that one: a chain of fixes ends at the first row.
    """
    found: dict[tuple[int, int], int] = {}
    known = 0
    for chunk in chunks(sorted(set(pairs)), _PAIRS):
        records = tx.execute(
            select(row.c.job_id, row.c.row, row.c.id, row.c.fixes_row_id, row.c.status)
            .join(job, job.c.id == row.c.job_id)
            .where(job.c.connection == connection, tuple_(row.c.job_id, row.c.row).in_(chunk))
        )
        for record in records:
            known += 1
            if RowStatus(record.status).is_open:
                found[record.job_id, record.row] = record.fixes_row_id or record.id
    return found, len(set(pairs)) - known


def is_settled() -> ColumnElement[bool]:
    """Return the condition that a row is settled by another job: its registration is active, or a later row did it.

    A fix of which the registration was withdrawn again settles nothing.
    """
    later = row.alias("later")
    return or_(
        exists().where(*_fixes(later)),
        and_(row.c.action == Action.REGISTER, _is_active()),
        and_(row.c.action != Action.REGISTER, exists().where(*_does_again(later))),
    )


def settled_by() -> dict[Settled, ScalarSelect[Any]]:
    """Return how a row may be settled, each with the number of the job that did; null where none did so."""
    later = row.alias("later")
    same = and_(later.c.registration_id == row.c.registration_id, later.c.job_id != row.c.job_id)
    registers = and_(same, later.c.action == Action.REGISTER, row.c.action == Action.REGISTER, _is_active())
    return {
        Settled.FIXED: select(func.min(later.c.job_id)).where(*_fixes(later)).scalar_subquery(),
        Settled.REGISTERED: select(func.max(later.c.job_id))
        .where(registers, later.c.status == RowStatus.REGISTERED)
        .scalar_subquery(),
        Settled.FOUND: select(func.max(later.c.job_id))
        .where(registers, later.c.status == RowStatus.ALREADY_REGISTERED)
        .scalar_subquery(),
        Settled.DONE: select(func.max(later.c.job_id))
        .where(row.c.action != Action.REGISTER, *_does_again(later))
        .scalar_subquery(),
    }


def _is_active() -> ColumnElement[bool]:
    """Return the condition that the registration of a row is active."""
    return exists().where(registration.c.id == row.c.registration_id, is_active()).correlate(row)


def _fixes(later: FromClause) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that a later row fixes a row, and that its registration was not withdrawn again."""
    withdrawn = exists().where(
        registration.c.id == later.c.registration_id,
        ~is_active(),
        later.c.action == Action.REGISTER,
    )
    return (
        later.c.fixes_row_id == func.coalesce(row.c.fixes_row_id, row.c.id),
        later.c.id > row.c.id,
        later.c.status.in_(_SETTLING),
        ~withdrawn.correlate(later),
    )


def _does_again(later: FromClause) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that a later row of another job did the same for the same registration."""
    return (
        later.c.registration_id == row.c.registration_id,
        later.c.action == row.c.action,
        later.c.job_id != row.c.job_id,
        later.c.id > row.c.id,
        later.c.status.in_(sorted(DONE)),
    )


def count_settled(tx: Transaction, job_id: int) -> dict[RowStatus, int]:
    """Count the open rows of a job that a later job has settled, by the status that they still have."""
    return count_settled_of(tx, [job_id])[job_id]


def count_settled_of(tx: Transaction, job_ids: Sequence[int]) -> dict[int, dict[RowStatus, int]]:
    """Count the open rows of jobs that a later job has settled, as `count_settled` does, in one statement."""
    is_open = [status.value for status in RowStatus if status.is_open]
    shown = func.coalesce(row.c.kept_status, row.c.status)
    query = select(row.c.job_id, shown, func.count()).where(
        row.c.job_id.in_(job_ids), row.c.status.in_(is_open), is_settled()
    )
    counted: dict[int, dict[RowStatus, int]] = {job_id: {} for job_id in job_ids}
    for job_id, status, count in tx.execute(query.group_by(row.c.job_id, shown)):
        counted[job_id][RowStatus(status)] = count
    return counted


def ended_jobs_with_news(tx: Transaction, job_id: int) -> list[int]:
    """Return the jobs that ended with errors, and of which a look-up of this job has settled a row since then."""
    mine = row.alias("mine")
    settled = (
        select(row.c.job_id)
        .join(mine, mine.c.registration_id == row.c.registration_id)
        .join(job, job.c.id == row.c.job_id)
        .where(mine.c.job_id == job_id, row.c.job_id != job_id, row.c.status.in_(sorted(DONE)))
        .where(job.c.state == JobState.COMPLETED_WITH_ERRORS, row.c.changed_at > job.c.finished_at)
    )
    return list(tx.execute(settled.distinct()).scalars())


def withdrawn_by() -> ScalarSelect[Any]:
    """Return the job that later withdrew what a row registered."""
    later = row.alias("later")
    return (
        select(func.min(later.c.job_id))
        .where(later.c.registration_id == row.c.registration_id, later.c.id != row.c.id)
        # A row of an older job that was retried may be newer than the withdrawal.
        .where(later.c.changed_at >= row.c.changed_at)
        .where(later.c.action == Action.WITHDRAW, later.c.status == RowStatus.WITHDRAWN)
        .scalar_subquery()
    )


def newest_outcome(tx: Transaction, job_id: int) -> str:
    """Return a text that changes with each outcome of a job's rows and each withdrawal of their registrations."""
    later = row.alias("later")
    mine = select(func.max(row.c.changed_at)).where(row.c.job_id == job_id)
    withdrawn = (
        select(func.count(), func.max(later.c.changed_at))
        .select_from(row)
        .join(later, later.c.registration_id == row.c.registration_id)
        .where(row.c.job_id == job_id, later.c.action == Action.WITHDRAW, later.c.status == RowStatus.WITHDRAWN)
    )
    count, newest = tx.execute(withdrawn).one()
    return f"{tx.execute(mine).scalar()} {count} {newest}"


def count_withdrawn_of(tx: Transaction, job_ids: Sequence[int]) -> dict[int, int]:
    """Count the registrations of these jobs that later jobs have withdrawn; jobs without any are left out."""
    if not job_ids:
        return {}
    registered = select(row.c.job_id, func.count()).where(
        row.c.job_id.in_(job_ids), row.c.status == RowStatus.REGISTERED, withdrawn_by().is_not(None)
    )
    return dict(tx.execute(registered.group_by(row.c.job_id)).all())


def record_withdrawals(tx: Transaction, job_id: int) -> None:
    """Relate a job to those whose registrations it withdrew; one of which nothing is left is `undone`."""
    mine = row.alias("mine")
    withdrew = (
        select(row.c.job_id)
        .join(mine, mine.c.registration_id == row.c.registration_id)
        .where(mine.c.job_id == job_id, mine.c.action == Action.WITHDRAW, mine.c.status == RowStatus.WITHDRAWN)
        .where(row.c.status == RowStatus.REGISTERED, row.c.changed_at <= mine.c.changed_at, row.c.job_id != job_id)
        # Who was registered again after another job had withdrawn them was not withdrawn by this one twice.
        .where(withdrawn_by() == job_id)
    )
    others = list(tx.execute(withdrew.distinct()).scalars())
    relate(tx, job_id, Relation.UNDOES, others)
    mark_undone(tx, others)


def mark_undone(tx: Transaction, job_ids: Collection[int]) -> None:
    """Change those of these jobs that have ended to `undone` of which other jobs withdrew all that was left.

    Their `state_at` stays: that somebody undid a job is no news of its end. What a roster registers and withdraws
    itself is its own work.
    """
    mine = (row.c.job_id == job.c.id, row.c.status == RowStatus.REGISTERED)
    undone_by_others = exists().where(*mine, withdrawn_by() != job.c.id)
    left = exists().where(*mine, withdrawn_by().is_(None))
    ended = [state.value for state in JobState if state.may_be_undone]
    undone = update(job).where(job.c.id.in_(job_ids), job.c.state.in_(ended), undone_by_others, ~left)
    tx.execute(undone.values(state=JobState.UNDONE, reason="", reason_code=None))
