"""Answers of people on rows in doubt can be changed, until something was sent because of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update

from worker.ledger.schema import candidate, registration, row

if TYPE_CHECKING:
    from collections.abc import Collection

    from worker.ledger.database import Transaction

_OF_ROW = ("status", "error", "error_code", "http_status", "lms_registration_id")
_OF_CANDIDATE = ("state", "lms_id", "id_key")
_OF_REGISTRATION = ("state", "lms_id", "job_id", "series")


def remember(tx: Transaction, row_id: int) -> None:
    """Save how a row in doubt and its records are, just before a person's answer changes them."""
    record = tx.execute(select(row).where(row.c.id == row_id)).one()
    person = tx.execute(select(candidate).where(candidate.c.id == record.candidate_id)).one()
    place = tx.execute(select(registration).where(registration.c.id == record.registration_id)).one()
    before = {
        "row": _values(record, _OF_ROW),
        "candidate": _values(person, _OF_CANDIDATE),
        "registration": _values(place, _OF_REGISTRATION),
        "attempts": _attempts(tx, record.candidate_id),
    }
    tx.execute(update(row).where(row.c.id == row_id).values(before_answer=before))


def can_take_back(tx: Transaction, row_id: int) -> bool:
    """Return whether the answer on a row can be changed: nothing was sent since, or is being sent."""
    record = tx.execute(select(row).where(row.c.id == row_id)).one()
    before: dict[str, Any] | None = record.before_answer
    return (
        before is not None
        and not _is_claimed(tx, record)
        and _attempts(tx, record.candidate_id) == before["attempts"]
    )


def answered_rows(tx: Transaction, job_id: int, numbers: Collection[int]) -> set[int]:
    """Return those of the rows, by their numbers, that have an answer of a person."""
    answered = select(row.c.row).where(
        row.c.job_id == job_id, row.c.row.in_(numbers), row.c.before_answer.is_not(None)
    )
    return set(tx.execute(answered).scalars())


def take_back(tx: Transaction, row_id: int) -> bool:
    """Make a row in doubt again, as it was before its answer; False when something was sent since or may be now."""
    record = tx.execute(select(row).where(row.c.id == row_id)).one()
    before: dict[str, Any] = record.before_answer
    if not can_take_back(tx, row_id):
        return False
    for table, record_id, name in (
        (candidate, record.candidate_id, "candidate"),
        (registration, record.registration_id, "registration"),
        (row, row_id, "row"),
    ):
        tx.execute(update(table).where(table.c.id == record_id).values(**before[name]))
    tx.execute(update(row).where(row.c.id == row_id).values(before_answer=None, batch_id=None))
    return True


def _values(record: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def _attempts(tx: Transaction, candidate_id: int) -> int:
    """Return how many changing calls were sent for a person, in all jobs."""
    total = select(func.coalesce(func.sum(row.c.attempts), 0)).where(row.c.candidate_id == candidate_id)
    return int(tx.execute(total).scalar_one())


def _is_claimed(tx: Transaction, record: Any) -> bool:
    held = select(candidate.c.id).where(candidate.c.id == record.candidate_id, candidate.c.claimed_by.is_not(None))
    on_it = select(registration.c.id).where(
        registration.c.id == record.registration_id, registration.c.claimed_by.is_not(None)
    )
    return tx.execute(held).first() is not None or tx.execute(on_it).first() is not None
