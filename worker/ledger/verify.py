"""Verification: the rows of a job that are done, what was done to the same since, and what the LMS showed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, select, update

from worker.ledger import jobs
from worker.ledger.database import now
from worker.ledger.intents import WORK_ITEMS, as_work_item
from worker.ledger.rows import read_row
from worker.ledger.schema import row
from worker.model import DONE, Action, RosterRow, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.ledger.database import Transaction
    from worker.ledger.intents import WorkItem


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterAction:
    """Something done through this ledger after a row, to the same registration or person."""

    action: Action
    #: None when the personal data of that job was removed.
    row: RosterRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneRow:
    """A row that is done according to the ledger, and what was done to the same since, in order."""

    work: WorkItem
    later: Sequence[LaterAction] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of verifying a row."""

    row_id: int
    verdict: Verdict
    error: str = ""
    code: str = ""


def done_rows(tx: Transaction, job_id: int) -> list[DoneRow]:
    """Return the rows of a job that are done according to the ledger: those never verified first, then the oldest.

    So a verification that was stopped goes on with the rest.
    """
    done = WORK_ITEMS.where(row.c.job_id == job_id, row.c.status.in_(DONE))
    records = tx.execute(done.order_by(row.c.verified_at.asc().nulls_first(), row.c.row))
    later = _later(tx, job_id)
    return [DoneRow(work=as_work_item(record, ""), later=later.get(record.id, ())) for record in records.all()]


def _later(tx: Transaction, job_id: int) -> Mapping[int, list[LaterAction]]:
    """Return what was done after rows of a job: to the same registration, or as updates of the same person."""
    mine, other = row.alias("mine"), row.alias("other")
    found: dict[int, list[LaterAction]] = {}
    # Two queries, since an "or" between two columns keeps a database from using the index of either.
    for same, actions in (
        (other.c.registration_id == mine.c.registration_id, (Action.COMPLETE, Action.WITHDRAW)),
        (other.c.candidate_id == mine.c.candidate_id, (Action.UPDATE,)),
    ):
        records = tx.execute(
            select(mine.c.id, other.c.action, other.c.parsed)
            .join(other, and_(same, other.c.changed_at > mine.c.changed_at))
            .where(mine.c.job_id == job_id, mine.c.status.in_(DONE))
            .where(other.c.action.in_(actions), other.c.status.in_(DONE))
            .order_by(other.c.changed_at)
        )
        for record in records:
            since = LaterAction(
                action=Action(record.action), row=read_row(record.parsed) if record.parsed else None
            )
            found.setdefault(record.id, []).append(since)
    return found


_SET_VERDICT = (
    update(row)
    .where(row.c.id == bindparam("b_id"))
    .values(
        verified=bindparam("b_verdict"),
        verified_at=bindparam("b_at"),
        error=bindparam("b_error"),
        error_code=bindparam("b_code"),
    )
)


def save_findings(tx: Transaction, job_id: int, findings: Sequence[Finding]) -> None:
    """Save the results on the rows of a job, replacing those of an earlier verification."""
    at = now()
    if findings:
        tx.execute(
            _SET_VERDICT,
            [
                {
                    "b_id": each.row_id,
                    "b_verdict": each.verdict,
                    "b_at": at,
                    "b_error": each.error,
                    "b_code": each.code,
                }
                for each in findings
            ],
        )
    jobs.change_job(tx, job_id, verified_at=at)
