"""Reading back: the rows of a job that are done, what was done to the same since, and what a look showed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, select, update

from worker.ledger import jobs
from worker.ledger.database import now
from worker.ledger.intents import WORKS, as_work
from worker.ledger.rows import read_row
from worker.ledger.schema import row
from worker.model import DONE, Action, RosterRow, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.ledger.database import Transaction
    from worker.ledger.intents import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Something done through this ledger after a row, to the same registration or person."""

    action: Action
    #: None when the personal data of that job was removed.
    row: RosterRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneRow:
    """A row that is said to be done, and what was done to the same since, in its order."""

    work: Work
    later: Sequence[Later] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What reading a row back showed."""

    row_id: int
    verdict: Verdict
    error: str = ""
    code: str = ""


def done_rows(tx: Transaction, job_id: int) -> list[DoneRow]:
    """Return the rows of a job that are said to be done, in roster order."""
    lines = tx.execute(WORKS.where(row.c.job_id == job_id, row.c.status.in_(DONE)).order_by(row.c.row))
    later = _later(tx, job_id)
    return [DoneRow(work=as_work(line, ""), later=later.get(line.id, ())) for line in lines.all()]


def _later(tx: Transaction, job_id: int) -> Mapping[int, list[Later]]:
    """Return what was done after rows of a job: to the same registration, or as updates of the same person."""
    mine, other = row.alias("mine"), row.alias("other")
    found: dict[int, list[Later]] = {}
    # Two queries, since an "or" between two columns keeps a database from using the index of either.
    for same, actions in (
        (other.c.registration_id == mine.c.registration_id, (Action.COMPLETE, Action.WITHDRAW)),
        (other.c.candidate_id == mine.c.candidate_id, (Action.UPDATE,)),
    ):
        lines = tx.execute(
            select(mine.c.id, other.c.action, other.c.parsed)
            .join(other, and_(same, other.c.changed_at > mine.c.changed_at))
            .where(mine.c.job_id == job_id, mine.c.status.in_(DONE))
            .where(other.c.action.in_(actions), other.c.status.in_(DONE))
            .order_by(other.c.changed_at)
        )
        for line in lines:
            since = Later(action=Action(line.action), row=read_row(line.parsed) if line.parsed else None)
            found.setdefault(line.id, []).append(since)
    return found


_RECORD = (
    update(row)
    .where(row.c.id == bindparam("b_id"))
    .values(
        verified=bindparam("b_verdict"),
        verified_at=bindparam("b_at"),
        error=bindparam("b_error"),
        error_code=bindparam("b_code"),
    )
)


def record(tx: Transaction, job_id: int, findings: Sequence[Finding]) -> None:
    """Write what was found on rows of a job, in place of what an earlier look found."""
    at = now()
    if findings:
        tx.execute(
            _RECORD,
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
