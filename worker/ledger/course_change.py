"""Give the rows of a job that are not done another course, since nothing was registered for them on the old one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select, update

from worker.ledger.candidates import find_or_create_registrations
from worker.ledger.chunks import chunks
from worker.ledger.database import now, take_lock
from worker.ledger.duplicates import skip_duplicates
from worker.ledger.known_data import note_difference
from worker.ledger.rows import dump_row, read_row
from worker.ledger.schema import registration, row
from worker.model import Action, RegistrationState, RowStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

    from worker.ledger.candidates import KnownRegistration
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.model import Course, RosterRow

#: The codes of rows that the LMS rejected because of their course.
COURSE_CODES = ("unknown_course", "course_refused", "ambiguous_course")
#: A registration in these states may exist at the LMS on the old course.
_UNDECIDED = (RegistrationState.SENDING, RegistrationState.IN_DOUBT)
_NO_ERROR = {"error": "", "error_code": "", "http_status": None}


def change_course(tx: Transaction, job: Job, course: Course) -> int:
    """Set the course of a job's rows that are to be registered and are not, and return how many.

    Those are the rows that were not sent, and those that the LMS rejected because of their course, which keep that
    outcome until there is a newer one; a row in doubt keeps its course. A person whom the ledger knows on the new
    course is `already_registered`.
    """
    take_lock(tx, f"candidates:{job.connection}")
    waiting = select(row.c.id, row.c.parsed, row.c.candidate_id, row.c.status, row.c.kept_status).outerjoin(
        registration, registration.c.id == row.c.registration_id
    )
    waiting = waiting.where(
        row.c.job_id == job.id,
        row.c.action == Action.REGISTER,
        row.c.candidate_id.is_not(None),
        or_(row.c.status == RowStatus.NOT_ATTEMPTED, _is_rejected_for_course()),
        or_(registration.c.id.is_(None), registration.c.state.not_in(_UNDECIDED)),
    )
    records = tx.execute(waiting.order_by(row.c.id)).all()
    for chunk in chunks(records):
        _move(tx, job, chunk, course)
    skip_duplicates(tx, job.id)
    return len(records)


def refused_course(tx: Transaction, job: Job) -> Course | None:
    """Return the course that the LMS refused, of the first such row; None when it refused none."""
    refused = select(row.c.parsed).where(
        row.c.job_id == job.id,
        row.c.status.in_((RowStatus.NOT_ATTEMPTED, RowStatus.REJECTED)),
        row.c.error_code.in_(COURSE_CODES),
    )
    parsed = tx.execute(refused.order_by(row.c.id).limit(1)).scalar()
    return read_row(parsed).course if parsed is not None else None


def _is_rejected_for_course() -> Any:
    return (row.c.status == RowStatus.REJECTED) & row.c.error_code.in_(COURSE_CODES)


def _move(tx: Transaction, job: Job, records: Sequence[Row[Any]], course: Course) -> None:
    moved = [(record, _with_course(read_row(record.parsed), course)) for record in records]
    pairs = [(record.candidate_id, _key_of(each)) for record, each in moved]
    known = find_or_create_registrations(tx, job.connection, pairs)
    skips = not (job.options.get("again") or job.options.get("update_existing"))
    for (record, each), pair in zip(moved, pairs, strict=True):
        old = read_row(record.parsed)
        changed = f"The course was changed from {_label_of(old)} to {course.label}."
        values = {
            "parsed": dump_row(each),
            **({"note": changed} if _key_of(old) != _key_of(each) else {}),
            "course_key": _key_of(each),
            "registration_id": known[pair].id,
            "batch_id": None,
            **(_already_registered(known[pair]) if skips and _is_registered(known[pair]) else _to_send(record)),
        }
        tx.execute(update(row).where(row.c.id == record.id).values(**values))
        if skips and _is_registered(known[pair]):
            note_difference(tx, record.id, record.candidate_id, each.candidate)


def _with_course(old: RosterRow, course: Course) -> RosterRow:
    """Return a row with another course; the legal entity that registers stays."""
    entity = old.course.legal_entity_id if old.course else None
    return replace(old, course=replace(course, legal_entity_id=entity))


def _label_of(old: RosterRow) -> str:
    return old.course.label if old.course else "none"


def _key_of(moved: RosterRow) -> str:
    return moved.course.key if moved.course else ""


def _is_registered(known: KnownRegistration) -> bool:
    return known.state is RegistrationState.REGISTERED


def _to_send(record: Row[Any]) -> dict[str, Any]:
    if record.status == RowStatus.REJECTED:
        return {"status": RowStatus.NOT_ATTEMPTED, "kept_status": RowStatus.REJECTED}
    return _NO_ERROR if record.kept_status is None else {}


def _already_registered(known: KnownRegistration) -> dict[str, Any]:
    return {
        **_NO_ERROR,
        "status": RowStatus.ALREADY_REGISTERED,
        "kept_status": None,
        "lms_registration_id": known.lms_id,
        "changed_at": now(),
    }
