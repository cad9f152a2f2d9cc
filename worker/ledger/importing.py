"""Save the rows of a roster as they are read: each with its candidate and its registration, found or created."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, insert, select, update

from worker.ledger import relations
from worker.ledger.active import is_active
from worker.ledger.candidates import (
    CandidateIndex,
    KnownCandidate,
    find_or_create_registrations,
    identify,
)
from worker.ledger.database import now, take_lock
from worker.ledger.duplicates import skip_duplicates
from worker.ledger.external_ids import has_only_external_id, link_rows
from worker.ledger.known_data import difference_notes, note_difference
from worker.ledger.other_person import Mention, OtherPerson
from worker.ledger.rows import dump_row, read_row
from worker.ledger.schema import job, registration, row
from worker.model import Action, RegistrationState, Relation, RosterRow, RowStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from worker.ledger.candidates import Identity, KnownRegistration
    from worker.ledger.database import Transaction

    #: Opens a transaction at each call; committed at the end of the block.
    OpenTransaction = Callable[[], AbstractContextManager[Transaction]]
    #: The candidate of a row; None when it could be several people, or why it is another person than the one found.
    Found = KnownCandidate | OtherPerson | None


#: Rows saved in one transaction; other imports for the connection wait meanwhile.
CHUNK_ROWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRow:
    """A row that was just read: valid, or with its errors."""

    row: int
    cells: Sequence[str]
    parsed: RosterRow | None
    error: str = ""
    code: str = ""
    column: str = ""
    #: The row is left out, and `error` says why.
    is_skipped: bool = False
    #: The job and the number of the row that it fixes, as its file says.
    fixes: tuple[int, int] | None = None


def inside(tx: Transaction) -> OpenTransaction:
    """Return an `OpenTransaction` that stays inside this transaction."""
    return lambda: nullcontext(tx)


def add_rows(
    transaction: OpenTransaction,
    job_id: int,
    connection: str,
    rows: Iterable[NewRow],
    *,
    again: bool,
    update_existing: bool = False,
    heading_of: Callable[[str], str] = str,
) -> int:
    """Save the rows of a roster, replacing those of an earlier import that was interrupted.

    A repeated row of the same action and registration is `skipped`; a registration in the ledger is
    `already_registered`, unless `again`, or when its person is to be updated first. Each candidate and each
    registration has one record for this connection; rows about a person alone share one without a course. Rows that
    identify a registration by its external id alone are linked when the LMS has been asked.

    Rows are saved in chunks, each in a `transaction` of its own: imports for a connection alternate, so that a
    short one does not wait for the end of a long one. Return how many rows name a row to fix that does not exist.
    """
    unknown = 0
    skip_registered = not (again or update_existing)
    with transaction() as tx:
        delete_rows(tx, job_id)
    for chunk in _chunks(rows):
        with transaction() as tx:
            take_lock(tx, f"candidates:{connection}")
            directory = CandidateIndex(connection)
            found = _find_candidates(tx, job_id, directory, chunk)
            registrations = _find_registrations(tx, connection, chunk, found)
            records = [
                _as_record(
                    job_id, new, found.get(new.row), registrations.get(new.row), skip_registered=skip_registered
                )
                for new in chunk
            ]
            _note_differences(tx, chunk, records)
            for record in records:
                record["column"] = record["column"] if record["parsed"] is None else heading_of(record["column"])
            unknown += _tie_to_fixed_rows(tx, job_id, connection, chunk, records)
            tx.execute(insert(row), records)
    with transaction() as tx:
        link_rows(tx, job_id)
        skip_duplicates(tx, job_id, heading_of)
        if again:
            _mark_repeats(tx, job_id)
    return unknown


def _note_differences(tx: Transaction, chunk: Sequence[NewRow], records: Sequence[dict[str, Any]]) -> None:
    """Let the rows of people who are registered already say what the LMS has otherwise."""
    named = {
        record["candidate_id"]: (new.parsed.candidate, record)
        for new, record in zip(chunk, records, strict=True)
        if new.parsed and record["status"] is RowStatus.ALREADY_REGISTERED
    }
    notes = difference_notes(tx, {number: person for number, (person, _) in named.items()}) if named else {}
    for number, note in notes.items():
        named[number][1]["note"] = note


def _tie_to_fixed_rows(
    tx: Transaction, job_id: int, connection: str, chunk: Sequence[NewRow], records: Sequence[dict[str, Any]]
) -> int:
    """Tie rows to the open rows of earlier jobs that they fix; return how many name a row that does not exist."""
    named = {new.row: new.fixes for new in chunk if new.fixes is not None}
    found, unknown = relations.find_fixed_rows(tx, connection, list(named.values())) if named else ({}, 0)
    for record in records:
        record["fixes_row_id"] = found.get(named.get(record["row"], (0, 0)))
    relations.relate(tx, job_id, Relation.FIXES, {fixed for fixed, _ in found})
    return unknown


def delete_rows(tx: Transaction, job_id: int) -> None:
    """Delete the rows of a job whose import was interrupted, or showed that nothing is to be sent."""
    tx.execute(delete(row).where(row.c.job_id == job_id))


def _chunks(rows: Iterable[NewRow], size: int = CHUNK_ROWS) -> Iterator[list[NewRow]]:
    chunk: list[NewRow] = []
    for new in rows:
        chunk.append(new)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _find_candidates(
    tx: Transaction, job_id: int, directory: CandidateIndex, chunk: Sequence[NewRow]
) -> dict[int, Found]:
    people = [
        (identify(new.parsed.candidate), Mention(new.parsed.candidate, new.row), new.parsed.candidate.candidate_id)
        for new in chunk
        if new.parsed and not has_only_external_id(new.parsed)
    ]
    directory.load(tx, [who for who, _, _ in people])
    directory.load_mentions(tx, job_id, [(who, mention) for who, mention, _ in people])
    found = {mention.row: _find(directory, who, mention, lms_id) for who, mention, lms_id in people}
    directory.save(tx)
    return found


def _find(directory: CandidateIndex, who: Identity, mention: Mention, lms_id: str | None) -> Found:
    other = directory.other_person(who, mention)
    if other is not None:
        return other
    known = directory.find(who, lms_id)
    if known is not None:
        known.mentions.in_roster.append(mention)
    return known


def _find_registrations(
    tx: Transaction, connection: str, chunk: Sequence[NewRow], found: dict[int, Found]
) -> dict[int, KnownRegistration]:
    wanted = {
        new.row: (who.id, new.parsed.course.key if new.parsed.course else "")
        for new in chunk
        if new.parsed and isinstance(who := found.get(new.row), KnownCandidate) and who.id is not None
    }
    records = find_or_create_registrations(tx, connection, list(wanted.values()))
    return {number: records[pair] for number, pair in wanted.items()}


def _as_record(
    job_id: int, new: NewRow, found: Found, known: KnownRegistration | None, *, skip_registered: bool
) -> dict[str, Any]:
    who = found if isinstance(found, KnownCandidate) else None
    record: dict[str, Any] = {
        "job_id": job_id,
        "row": new.row,
        "cells": list(new.cells),
        "parsed": dump_row(new.parsed) if new.parsed else None,
        "candidate_id": who.id if who else None,
        "registration_id": known.id if known else None,
        "course_key": new.parsed.course.key if new.parsed and new.parsed.course else "",
        "action": new.parsed.action if new.parsed else Action.REGISTER,
        "status": RowStatus.NOT_ATTEMPTED,
        "error": new.error,
        "error_code": new.code,
        "column": new.column,
        "changed_at": None,
        "lms_registration_id": None,
        "note": "",
    }
    if new.is_skipped:
        record |= {"status": RowStatus.SKIPPED, "changed_at": now()}
    elif new.parsed is None:
        record |= {"status": RowStatus.INVALID, "changed_at": now()}
    elif isinstance(found, OtherPerson):
        record |= {
            "status": RowStatus.INVALID,
            "changed_at": now(),
            "error": found.message,
            "error_code": "other_person",
            "column": found.column,
        }
    elif who is None and not has_only_external_id(new.parsed):
        record |= {"status": RowStatus.INVALID, "changed_at": now(), **_AMBIGUOUS}
    elif (
        known
        and known.state is RegistrationState.REGISTERED
        and skip_registered
        and record["action"] is Action.REGISTER
    ):
        record |= {
            "status": RowStatus.ALREADY_REGISTERED,
            "changed_at": now(),
            "lms_registration_id": known.lms_id,
        }
    return record


_AMBIGUOUS = {
    "error": "More than one person has this e-mail address; add external_id or candidate_id",
    "error_code": "ambiguous_candidate",
    "column": "email",
}


def move_rows(tx: Transaction, job_id: int, connection: str, old: int, new: int) -> None:
    """Link the job's rows of one candidate record to another, which turned out to be the same person."""
    mine = and_(row.c.job_id == job_id, row.c.candidate_id == old)
    courses = tx.execute(select(row.c.id, row.c.course_key, row.c.action, row.c.parsed).where(mine)).all()
    options: dict[str, Any] = tx.execute(select(job.c.options).where(job.c.id == job_id)).scalar_one()
    records = find_or_create_registrations(tx, connection, [(new, each.course_key or "") for each in courses])
    for each in courses:
        known = records[new, each.course_key or ""]
        values: dict[str, Any] = {"candidate_id": new, "registration_id": known.id}
        registers = each.action == Action.REGISTER and not options.get("update_existing")
        if known.state is RegistrationState.REGISTERED and registers:
            values |= {
                "status": RowStatus.ALREADY_REGISTERED,
                "kept_status": None,
                "error": "",
                "error_code": "",
                "http_status": None,
                "lms_registration_id": known.lms_id,
                "changed_at": now(),
            }
        tx.execute(update(row).where(row.c.id == each.id).values(**values))
        if "status" in values:
            note_difference(tx, each.id, new, read_row(each.parsed).candidate)
    skip_duplicates(tx, job_id)


def _mark_repeats(tx: Transaction, job_id: int) -> None:
    """Let the rows whose registration is known make another one, if it is still the last when they are sent."""
    known = select(registration.c.series).where(registration.c.id == row.c.registration_id, is_active())
    to_send = (row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED, row.c.action == Action.REGISTER)
    tx.execute(update(row).where(*to_send).values(repeats=known.scalar_subquery()))
