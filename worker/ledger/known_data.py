"""What is known of people as the LMS has them: as its list showed them last, and as this ledger created them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, case, exists, select, update

from worker.identity import Traits
from worker.ledger.active import is_active
from worker.ledger.rows import read_row
from worker.ledger.schema import candidate, person, registration, row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.ledger.database import Transaction
    from worker.model import Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPerson:
    """A person of the LMS's list, by hashes: equal ones show equal values (`worker.ledger.people`)."""

    lms_id: str
    login_key: str | None
    #: Of the names the marks, of the address its hash.
    traits: Traits


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownData:
    """What is known of one person."""

    #: The job that created them; None when they were on the LMS before.
    created_by: int | None
    #: As they were created; None when they were not, or the row was purged.
    created: Candidate | None
    #: Whether somebody registered them through this ledger.
    is_registered: bool
    listed: ListedPerson | None


def known_data(tx: Transaction, candidate_ids: Sequence[int]) -> dict[int, KnownData]:
    """Return what is known of these people, by candidate record."""
    registered = exists().where(registration.c.candidate_id == candidate.c.id, is_active())
    query = (
        select(candidate.c.id, row.c.job_id, row.c.parsed, registered.label("registered"), person)
        .outerjoin(row, and_(row.c.candidate_id == candidate.c.id, row.c.created))
        .outerjoin(
            person,
            and_(person.c.connection == candidate.c.connection, person.c.lms_id == candidate.c.lms_id),
        )
        .where(candidate.c.id.in_(candidate_ids))
    )
    return {
        record.id: KnownData(
            created_by=record.job_id,
            created=read_row(record.parsed).candidate if record.parsed else None,
            is_registered=record.registered,
            listed=None
            if record.lms_id is None
            else ListedPerson(
                lms_id=record.lms_id,
                login_key=record.login_key,
                traits=Traits(
                    record.email_key or "",
                    frozenset((record.first_name_marks or "").split()),
                    frozenset((record.last_name_marks or "").split()),
                ),
            ),
        )
        for record in tx.execute(query)
    }


def add_notes(tx: Transaction, notes: Mapping[int, str]) -> None:
    """Add a sentence to the note of each row, unless it is there. `notes` is by the id of the row."""
    for row_id, note in notes.items():
        longer = case((row.c.note == "", note), else_=row.c.note + " " + note)
        tx.execute(
            update(row).where(row.c.id == row_id, ~row.c.note.contains(note, autoescape=True)).values(note=longer)
        )
