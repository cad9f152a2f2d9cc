"""Whether anybody of a roster can be registered at all: somebody known, or complete enough to be created."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from worker.ledger.rows import read_row
from worker.ledger.schema import candidate, row
from worker.model import Action, CandidateState, RowStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.database import Transaction
    from worker.model import Candidate

#: Rows that are not sent in any case.
_NOT_SENT = (RowStatus.INVALID, RowStatus.SKIPPED)


def missing_to_create(tx: Transaction, job_id: int, required: Sequence[str]) -> tuple[str, ...]:
    """Return the columns for want of which none of a job's people can be created, in the order of `required`.

    Empty as soon as one row can be done: its person is known, or can be created, or it does not create anybody.
    """
    if not required:
        return ()
    rows = (
        select(row.c.action, row.c.status, row.c.parsed, candidate.c.state)
        .outerjoin(candidate, candidate.c.id == row.c.candidate_id)
        .where(row.c.job_id == job_id, row.c.status.not_in(_NOT_SENT))
        .order_by(row.c.row)
    )
    missing: set[str] = set()
    for record in tx.execute(rows):
        is_new = record.status == RowStatus.NOT_ATTEMPTED and record.state == CandidateState.NEW
        if not is_new or record.action != Action.REGISTER or record.parsed is None:
            return ()
        lacking = _lacking(read_row(record.parsed).candidate, required)
        if not lacking:
            return ()
        missing |= lacking
    return tuple(column for column in required if column in missing)


def nobody_can_be_created(missing: Sequence[str]) -> str:
    """Return what is missing as a sentence."""
    columns = " and ".join([", ".join(missing[:-1]), missing[-1]] if len(missing) > 1 else missing)
    return (
        f"the LMS has none of these people, and none of them can be created without {columns}. Add what is "
        "missing, or the external_id or candidate_id of people who are on the LMS"
    )


def _lacking(who: Candidate, required: Sequence[str]) -> set[str]:
    return {column for column in required if getattr(who, column) is None}
