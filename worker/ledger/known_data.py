"""What is known of people as the LMS has them: as its list showed them last, and as this ledger created them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, exists, select, update

from worker.identity import Traits, email_key, traits_of
from worker.ledger.active import is_active
from worker.ledger.candidates import hash_identifier
from worker.ledger.rows import read_row
from worker.ledger.schema import candidate, person, registration, row
from worker.model import DONE, Action

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Row

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
    #: As they were created, with what was updated last since; None when that is not known.
    created: Candidate | None
    is_updated: bool
    #: Whether somebody registered them through this ledger.
    is_registered: bool
    listed: ListedPerson | None


def known_data(tx: Transaction, candidate_ids: Sequence[int]) -> dict[int, KnownData]:
    """Return what is known of these people, by candidate record."""
    registered = exists().where(registration.c.candidate_id == candidate.c.id, is_active())
    updating = row.alias("updating")
    query = (
        select(
            candidate.c.id,
            candidate.c.pending_action,
            row.c.job_id,
            row.c.parsed,
            updating.c.status.label("update_status"),
            updating.c.parsed.label("update"),
            registered.label("registered"),
            person,
        )
        .outerjoin(row, and_(row.c.candidate_id == candidate.c.id, row.c.created))
        .outerjoin(updating, updating.c.id == candidate.c.row_id)
        .outerjoin(
            person,
            and_(person.c.connection == candidate.c.connection, person.c.lms_id == candidate.c.lms_id),
        )
        .where(candidate.c.id.in_(candidate_ids))
    )
    return {
        record.id: KnownData(
            created_by=record.job_id,
            created=_created(record),
            is_updated=record.pending_action == Action.UPDATE,
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


def _created(record: Row[Any]) -> Candidate | None:
    """Return a person as this ledger created them, and updated them since if that is known to be done."""
    if not record.parsed:
        return None
    created = read_row(record.parsed).candidate
    if record.pending_action != Action.UPDATE:
        return created
    is_known = record.update and record.update_status in DONE
    return overlaid(created, read_row(record.update).candidate) if is_known else None


def overlaid(person: Candidate, newer: Candidate) -> Candidate:
    """Return a person with the values of a later row over their own."""
    given = {each.name: getattr(newer, each.name) for each in fields(newer) if each.name != "fields"}
    values = {name: value for name, value in given.items() if value is not None}
    return replace(person, **values, fields={**person.fields, **newer.fields})


def difference_notes(tx: Transaction, people: Mapping[int, Candidate]) -> dict[int, str]:
    """Return what rows say of their people that differs; `people` and the result are by candidate record."""
    known = known_data(tx, sorted(people))
    notes = {number: difference_note(ours, known[number]) for number, ours in people.items() if number in known}
    return {number: note for number, note in notes.items() if note}


def note_difference(tx: Transaction, row_id: int, candidate_id: int, ours: Candidate) -> None:
    """Let a row say what the LMS has otherwise of its person, if anything."""
    for note in difference_notes(tx, {candidate_id: ours}).values():
        add_notes(tx, {row_id: note})


def add_notes(tx: Transaction, notes: Mapping[int, str]) -> None:
    """Add a sentence to the note of each row, unless it is there. `notes` is by the id of the row."""
    for row_id, note in notes.items():
        longer = case((row.c.note == "", note), else_=row.c.note + " " + note)
        tx.execute(
            update(row).where(row.c.id == row_id, ~row.c.note.contains(note, autoescape=True)).values(note=longer)
        )


#: The values of a candidate that can differ, with what a person calls them.
_COMPARED = {
    "email": "e-mail address",
    "first_name": "first name",
    "last_name": "last name",
    "login_name": "login name",
    "date_of_birth": "date of birth",
    "address": "address",
    "address2": "second address line",
    "city": "city",
    "state": "state",
    "zip": "postcode",
    "country": "country",
    "expiration_date": "account expiry date",
}


def difference_note(ours: Candidate, known: KnownData) -> str:
    """Return a sentence when a row differs from what is known of its person; an empty cell differs from nothing."""
    if known.listed is not None:
        differing = list(_from_list(ours, known.listed))
        said = "When this person was last read, the LMS had another {}; it was not changed."
    else:
        differing = list(_from_created(ours, known.created)) if known.created is not None else []
        made = "created or updated" if known.is_updated else "created"
        said = f"Roster {made} this person with another {{}}; it was not changed in the LMS."
    values = " and ".join(filter(None, (", ".join(differing[:-1]), *differing[-1:])))
    return said.format(values) if differing else ""


def _from_created(ours: Candidate, created: Candidate) -> Iterator[str]:
    for name, label in _COMPARED.items():
        wanted, have = getattr(ours, name), getattr(created, name)
        if wanted is None:
            continue
        same = email_key(wanted) == email_key(have or "") if name == "email" else wanted == have
        if not same:
            yield label
    if any(dict(created.fields).get(field) != value for field, value in dict(ours.fields).items()):
        yield "custom field"


def _from_list(ours: Candidate, listed: ListedPerson) -> Iterator[str]:
    marked, theirs = traits_of(ours).marked(listed.lms_id), listed.traits
    if ours.email and theirs.email and hash_identifier("mail", email_key(ours.email)) != theirs.email:
        yield _COMPARED["email"]
    for name in ("first_name", "last_name"):
        wanted, have = getattr(marked, name), getattr(theirs, name)
        if wanted and have and wanted != have:
            yield _COMPARED[name]
    if ours.login_name and listed.login_key and hash_identifier("login", ours.login_name) != listed.login_key:
        yield _COMPARED["login_name"]
