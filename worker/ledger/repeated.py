"""Rows that ask for what stands in their roster already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, func, select, update

from worker.ledger.database import now
from worker.ledger.schema import row
from worker.model import Action, RowStatus

if TYPE_CHECKING:
    from sqlalchemy import Connection


def skip_repeated(tx: Connection, job_id: int) -> None:
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
