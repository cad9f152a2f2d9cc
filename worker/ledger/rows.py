"""Rows of rosters: written as they were read, and read again for the report and for a person's answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from sqlalchemy import and_, delete, func, insert, select, update

from worker.ledger.candidates import Directory, register_anew, save_registrations
from worker.ledger.engine import now, take_turns
from worker.ledger.identity import identify
from worker.ledger.schema import job, registration, row
from worker.model import Action, RegistrationState, RosterRow, RowStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from worker.ledger.candidates import KnownCandidate, KnownRegistration

_ROW = TypeAdapter(RosterRow)


def read_row(parsed: str) -> RosterRow:
    """Return a row as it was understood when the roster was read."""
    return _ROW.validate_json(parsed)


def dump_row(understood: RosterRow) -> str:
    """Return a row as the ledger keeps it."""
    return _ROW.dump_json(understood).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRow:
    """A row that was just read: understood, or with all that is wrong with it."""

    row: int
    cells: Sequence[str]
    parsed: RosterRow | None
    error: str = ""
    code: str = ""
    column: str = ""


def add_rows(
    tx: Connection,
    job_id: int,
    connection: str,
    rows: Iterable[NewRow],
    *,
    again: bool,
    update_existing: bool = False,
    wait: bool = True,
) -> None:
    """Write the rows of a roster, replacing those of an earlier reading that was cut off.

    A repeated row of the same action and registration is `skipped`; a registration that the ledger knows is
    `already_registered`, unless `again`, or when its person is to be brought up to date first. Each candidate and
    each registration gets its one line on this connection; rows about a person alone share one without a course.
    Raises TurnTaken when another roster of the connection is being read and `wait` is false.
    """
    settles = not (again or update_existing)
    take_turns(tx, f"candidates:{connection}", wait=wait)
    tx.execute(delete(row).where(row.c.job_id == job_id))
    directory = Directory(connection)
    for piece in _pieces(rows):
        found = _find_candidates(tx, directory, piece)
        registrations = _find_registrations(tx, connection, piece, found)
        lines = [
            _as_line(job_id, new, found.get(new.row), registrations.get(new.row), settles=settles) for new in piece
        ]
        tx.execute(insert(row), lines)
    _skip_repeated(tx, job_id)
    if again:
        _register_anew(tx, job_id)


def _pieces(rows: Iterable[NewRow], size: int = 2_000) -> Iterator[list[NewRow]]:
    piece: list[NewRow] = []
    for new in rows:
        piece.append(new)
        if len(piece) == size:
            yield piece
            piece = []
    if piece:
        yield piece


def _find_candidates(
    tx: Connection, directory: Directory, piece: Sequence[NewRow]
) -> dict[int, KnownCandidate | None]:
    people = [(new.row, new.parsed.candidate) for new in piece if new.parsed]
    directory.load(tx, [identify(person) for _, person in people])
    found = {number: directory.find(identify(person), person.candidate_id) for number, person in people}
    directory.save(tx)
    return found


def _find_registrations(
    tx: Connection, connection: str, piece: Sequence[NewRow], found: dict[int, KnownCandidate | None]
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
    elif who is None:
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


def _skip_repeated(tx: Connection, job_id: int) -> None:
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


def move_rows(tx: Connection, job_id: int, connection: str, old: int, new: int) -> None:
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
    _skip_repeated(tx, job_id)


def _register_anew(tx: Connection, job_id: int) -> None:
    known = (
        select(registration.c.id)
        .join(row, row.c.registration_id == registration.c.id)
        .where(row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED, row.c.action == Action.REGISTER)
        .where(registration.c.state == RegistrationState.REGISTERED)
    )
    register_anew(tx, list(tx.execute(known).scalars()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The counts of a job's rows."""

    by_status: dict[RowStatus, int]
    candidates_created: int
    registrations_created: int

    @property
    def total(self) -> int:
        """Return the number of rows."""
        return sum(self.by_status.values())


def tally(tx: Connection, job_id: int) -> Tally:
    """Count the rows of a job by status, every status with its number, zeros included."""
    lines = tx.execute(select(row.c.status, func.count()).where(row.c.job_id == job_id).group_by(row.c.status))
    counted: dict[str, int] = dict(lines.all())
    created = tx.execute(select(func.count()).where(row.c.job_id == job_id, row.c.created.is_(True))).scalar_one()
    return Tally(
        by_status={status: counted.get(status, 0) for status in RowStatus},
        candidates_created=created,
        registrations_created=counted.get(RowStatus.REGISTERED, 0),
    )


def reopen_rows(tx: Connection, job_id: int, statuses: Sequence[RowStatus]) -> int:
    """Make rows of these statuses `not_attempted` again, to be sent anew. Return how many."""
    return tx.execute(
        update(row)
        .where(row.c.job_id == job_id, row.c.status.in_(statuses), row.c.candidate_id.is_not(None))
        .values(status=RowStatus.NOT_ATTEMPTED, error="", error_code="", http_status=None, batch_id=None)
    ).rowcount


def explain_rows(tx: Connection, job_id: int, course_key: str | None, error: str, code: str) -> None:
    """Say on the rows that were not sent why they were not."""
    statement = update(row).where(row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED)
    if course_key is not None:
        statement = statement.where(row.c.course_key == course_key)
    tx.execute(statement.values(error=error, error_code=code))
