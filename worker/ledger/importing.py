"""The rows of a roster written as they are read: each with its candidate and its registration, found or made."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, insert, select, update

from worker.ledger.candidates import Directory, identify, register_anew, save_registrations
from worker.ledger.database import now, take_turns
from worker.ledger.external_ids import is_named_alone, sort_in
from worker.ledger.rows import dump_row, skip_repeated
from worker.ledger.schema import job, registration, row
from worker.model import Action, RegistrationState, RosterRow, RowStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from worker.ledger.candidates import KnownCandidate, KnownRegistration
    from worker.ledger.database import Transaction

    #: Opens a transaction at each call; committed at the end of the block.
    Transactions = Callable[[], AbstractContextManager[Transaction]]


#: Rows written in one transaction; those of other rosters of the connection wait meanwhile.
PIECE_ROWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRow:
    """A row that was just read: understood, or with all that is wrong with it."""

    row: int
    cells: Sequence[str]
    parsed: RosterRow | None
    error: str = ""
    code: str = ""
    column: str = ""


def within(tx: Transaction) -> Transactions:
    """Let what opens transactions of its own run within this one."""
    return lambda: nullcontext(tx)


def add_rows(
    transaction: Transactions,
    job_id: int,
    connection: str,
    rows: Iterable[NewRow],
    *,
    again: bool,
    update_existing: bool = False,
) -> None:
    """Write the rows of a roster, replacing those of an earlier reading that was cut off.

    A repeated row of the same action and registration is `skipped`; a registration that the ledger knows is
    `already_registered`, unless `again`, or when its person is to be brought up to date first. Each candidate and
    each registration gets its one line on this connection; rows about a person alone share one without a course.
    Those that name a registration by its external id alone get theirs when the LMS has shown whose it is.
    Piece by piece, each in a `transaction` of its own: rosters of a connection take turns at that, so that a short
    one does not wait for the end of a long one.
    """
    settles = not (again or update_existing)
    with transaction() as tx:
        forget_rows(tx, job_id)
    for piece in _pieces(rows):
        with transaction() as tx:
            take_turns(tx, f"candidates:{connection}")
            directory = Directory(connection)
            found = _find_candidates(tx, directory, piece)
            registrations = _find_registrations(tx, connection, piece, found)
            lines = [
                _as_line(job_id, new, found.get(new.row), registrations.get(new.row), settles=settles)
                for new in piece
            ]
            tx.execute(insert(row), lines)
    with transaction() as tx:
        sort_in(tx, job_id)
        skip_repeated(tx, job_id)
        if again:
            take_turns(tx, f"candidates:{connection}")
            _register_anew(tx, job_id)


def forget_rows(tx: Transaction, job_id: int) -> None:
    """Remove the rows of a job whose reading was cut off, or showed that nothing is to be sent."""
    tx.execute(delete(row).where(row.c.job_id == job_id))


def _pieces(rows: Iterable[NewRow], size: int = PIECE_ROWS) -> Iterator[list[NewRow]]:
    piece: list[NewRow] = []
    for new in rows:
        piece.append(new)
        if len(piece) == size:
            yield piece
            piece = []
    if piece:
        yield piece


def _find_candidates(
    tx: Transaction, directory: Directory, piece: Sequence[NewRow]
) -> dict[int, KnownCandidate | None]:
    people = [(new.row, new.parsed.candidate) for new in piece if new.parsed and not is_named_alone(new.parsed)]
    directory.load(tx, [identify(person) for _, person in people])
    found = {number: directory.find(identify(person), person.candidate_id) for number, person in people}
    directory.save(tx)
    return found


def _find_registrations(
    tx: Transaction, connection: str, piece: Sequence[NewRow], found: dict[int, KnownCandidate | None]
) -> dict[int, KnownRegistration]:
    wanted = {
        new.row: (who.id, new.parsed.course.key if new.parsed.course else "")
        for new in piece
        if new.parsed and (who := found.get(new.row)) and who.id is not None
    }
    lines = save_registrations(tx, connection, list(wanted.values()))
    return {number: lines[pair] for number, pair in wanted.items()}


def _as_line(
    job_id: int, new: NewRow, who: KnownCandidate | None, known: KnownRegistration | None, *, settles: bool
) -> dict[str, Any]:
    line: dict[str, Any] = {
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
    }
    if new.parsed is None:
        line |= {"status": RowStatus.INVALID, "changed_at": now()}
    elif who is None and not is_named_alone(new.parsed):
        line |= {"status": RowStatus.INVALID, "changed_at": now(), **_AMBIGUOUS}
    elif known and known.state is RegistrationState.REGISTERED and settles and line["action"] is Action.REGISTER:
        line |= {
            "status": RowStatus.ALREADY_REGISTERED,
            "changed_at": now(),
            "lms_registration_id": known.lms_id,
        }
    return line


_AMBIGUOUS = {
    "error": "More than one person has this e-mail address; tell them apart by external_id or candidate_id",
    "error_code": "ambiguous_candidate",
    "column": "email",
}


def move_rows(tx: Transaction, job_id: int, connection: str, old: int, new: int) -> None:
    """Let the job's rows that name one candidate line name another, which turned out to be the same person."""
    mine = and_(row.c.job_id == job_id, row.c.candidate_id == old)
    courses = tx.execute(select(row.c.id, row.c.course_key, row.c.action).where(mine)).all()
    options: dict[str, Any] = tx.execute(select(job.c.options).where(job.c.id == job_id)).scalar_one()
    lines = save_registrations(tx, connection, [(new, each.course_key or "") for each in courses])
    for each in courses:
        known = lines[new, each.course_key or ""]
        values: dict[str, Any] = {"candidate_id": new, "registration_id": known.id}
        registers = each.action == Action.REGISTER and not options.get("update_existing")
        if known.state is RegistrationState.REGISTERED and registers:
            values |= {
                "status": RowStatus.ALREADY_REGISTERED,
                "lms_registration_id": known.lms_id,
                "changed_at": now(),
            }
        tx.execute(update(row).where(row.c.id == each.id).values(**values))
    skip_repeated(tx, job_id)


def _register_anew(tx: Transaction, job_id: int) -> None:
    known = (
        select(registration.c.id)
        .join(row, row.c.registration_id == registration.c.id)
        .where(row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED, row.c.action == Action.REGISTER)
        .where(registration.c.state == RegistrationState.REGISTERED)
    )
    register_anew(tx, list(tx.execute(known).scalars()))
