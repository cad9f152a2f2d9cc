"""Rows that name a registration by its external id alone, without its person or its course.

Such a row hangs on no line of a candidate or a registration until it is found out whose registration it is: from
the row of the same roster that makes it, or from the LMS. Then it is a row like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from worker.ledger.candidates import Directory, hashed, identify, save_registrations
from worker.ledger.database import now, take_turns
from worker.ledger.rows import dump_row, read_row, skip_repeated
from worker.ledger.schema import candidate, registration, row
from worker.model import STEPS, Action, Candidate, RosterRow, RowStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from worker.ledger.database import Transaction
    from worker.ledger.intents import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRow:
    """A row of which only the external id says which registration is meant; or, once found, all of it."""

    id: int
    row: RosterRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The ledger's lines of a registration and its candidate, with the LMS's id of the person, if it is known."""

    registration_id: int
    candidate_id: int
    course_key: str
    lms_id: str | None = None


def is_named_alone(understood: RosterRow) -> bool:
    """Tell whether a person or a course is missing, and an external id says which registration is meant."""
    if understood.action not in STEPS or understood.registration_external_id is None:
        return False
    return understood.course is None or not _names_somebody(understood.candidate)


def _names_somebody(who: Candidate) -> bool:
    return bool(who.candidate_id or who.external_id or who.email)


def rows_to_find(tx: Transaction, job_id: int, most: int | None = None) -> list[NamedRow]:
    """Return the first rows of a job of which nobody has found out yet whose registration they mean."""
    query = select(row.c.id, row.c.parsed).where(_waits(job_id)).order_by(row.c.id).limit(most)
    return [NamedRow(id=line.id, row=read_row(line.parsed)) for line in tx.execute(query)]


def _waits(job_id: int) -> Any:
    return (row.c.job_id == job_id) & (row.c.status == RowStatus.NOT_ATTEMPTED) & row.c.candidate_id.is_(None)


def sort_in(tx: Transaction, job_id: int) -> None:
    """Skip rows that repeat one above them, and let those whose registration their own roster makes follow it."""
    waiting = rows_to_find(tx, job_id)
    if not waiting:
        return
    first: dict[tuple[str | None, Action], int] = {}
    left = []
    for each in waiting:
        bare = each.row.course is None and not _names_somebody(each.row.candidate)
        above = first.setdefault(_name_of(each), each.row.row) if bare else each.row.row
        if above == each.row.row:
            left.append(each)
        else:
            _skip(tx, each, above)
    made = _made_by_the_roster(tx, job_id, {each.row.registration_external_id for each in left})
    for each in left:
        line, maker = made.get(each.row.registration_external_id) or (None, None)
        if line and maker and _may_be(each.row, maker):
            _hang(tx, replace(each, row=replace(each.row, candidate=maker.candidate, course=maker.course)), line)


def _name_of(each: NamedRow) -> tuple[str | None, Action]:
    return each.row.registration_external_id, each.row.action


def _skip(tx: Transaction, each: NamedRow, above: int) -> None:
    error = f"The same registration and action as row {above}, which carries the outcome"
    values = {"status": RowStatus.SKIPPED, "error": error, "error_code": "duplicate_row", "changed_at": now()}
    tx.execute(update(row).where(row.c.id == each.id).values(**values))


def _made_by_the_roster(
    tx: Transaction, job_id: int, wanted: set[str | None]
) -> Mapping[str | None, tuple[Line, RosterRow] | None]:
    """Return by external id the row that registers under it; None for one that different registrations claim."""
    query = select(row.c.candidate_id, row.c.registration_id, row.c.course_key, row.c.parsed).where(
        row.c.job_id == job_id, row.c.action == Action.REGISTER, row.c.registration_id.is_not(None)
    )
    made: dict[str | None, tuple[Line, RosterRow] | None] = {}
    for candidate_id, registration_id, course_key, parsed in tx.execute(query):
        maker = read_row(parsed)
        name = maker.registration_external_id
        if name is not None and name in wanted:
            line = Line(registration_id=registration_id, candidate_id=candidate_id, course_key=course_key)
            other = made.setdefault(name, (line, maker))
            if other is not None and other[0] != line:
                made[name] = None
    return made


def _may_be(named: RosterRow, maker: RosterRow) -> bool:
    """Tell whether what a row says of person and course, if anything, is what the other one says too."""
    theirs = identify(maker.candidate)
    ours = identify(named.candidate)
    same_course = named.course is None or (maker.course is not None and named.course.key == maker.course.key)
    pairs = ((ours.by_id, theirs.by_id), (ours.by_external, theirs.by_external), (ours.by_email, theirs.by_email))
    return same_course and all(one is None or one == other for one, other in pairs)


def known_as(tx: Transaction, connection: str, named: RosterRow) -> Line | None:
    """Return the registration that the LMS once showed under the row's external id, unless the row denies it."""
    query = (
        select(registration.c.id, registration.c.course_key, registration.c.candidate_id, candidate.c.lms_id)
        .join(candidate, candidate.c.id == registration.c.candidate_id)
        .where(registration.c.connection == connection, candidate.c.lms_id.is_not(None))
        .where(registration.c.external_key == hashed("registration", named.registration_external_id))
    )
    lines = tx.execute(query).all()
    if len(lines) != 1 or named.course is not None or _names_somebody(named.candidate):
        return None
    (line,) = lines
    return Line(
        registration_id=line.id, candidate_id=line.candidate_id, course_key=line.course_key, lms_id=line.lms_id
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was found out of some rows of a job."""

    #: With the LMS's id of the person, and the course.
    shown: Sequence[NamedRow] = ()
    known: Sequence[tuple[NamedRow, Line]] = ()
    #: Rows that mean no registration that can be used.
    refused: Sequence[tuple[NamedRow, Outcome]] = ()


def record(tx: Transaction, job_id: int, connection: str, findings: Findings) -> None:
    """Hang rows on the lines of their candidates and registrations, found or made; refuse the others."""
    take_turns(tx, f"candidates:{connection}")
    for each, line in _lines_of(tx, connection, findings.shown):
        key = hashed("registration", each.row.registration_external_id)
        tx.execute(update(registration).where(registration.c.id == line.registration_id).values(external_key=key))
        _hang(tx, each, line)
    for each, known in findings.known:
        who = replace(each.row.candidate, candidate_id=known.lms_id)
        _hang(tx, replace(each, row=replace(each.row, candidate=who)), known)
    for each, outcome in findings.refused:
        values = {
            "status": outcome.status,
            "error": outcome.error,
            "error_code": outcome.code,
            "http_status": outcome.http_status,
            "changed_at": now(),
        }
        tx.execute(update(row).where(row.c.id == each.id).values(**values))
    if not rows_to_find(tx, job_id, 1):
        skip_repeated(tx, job_id)


def _lines_of(tx: Transaction, connection: str, shown: Sequence[NamedRow]) -> Iterator[tuple[NamedRow, Line]]:
    """Yield rows with their candidate and registration, which get their one line where they have none."""
    ids = {each.row.candidate.candidate_id or "" for each in shown}
    identities = {lms_id: identify(Candidate(candidate_id=lms_id)) for lms_id in sorted(ids)}
    directory = Directory(connection)
    directory.load(tx, list(identities.values()))
    people = {lms_id: directory.find(who, lms_id) for lms_id, who in identities.items()}
    directory.save(tx)
    pairs = {
        each.id: (who.id, each.row.course.key if each.row.course else "")
        for each in shown
        if (who := people[each.row.candidate.candidate_id or ""]) and who.id is not None
    }
    lines = save_registrations(tx, connection, list(pairs.values()))
    for each in shown:
        who_id, course = pairs[each.id]
        lms_id = each.row.candidate.candidate_id or ""
        line = lines[who_id, course]
        yield each, Line(registration_id=line.id, candidate_id=who_id, course_key=course, lms_id=lms_id)


def _hang(tx: Transaction, each: NamedRow, line: Line) -> None:
    """Let a row mean this registration; one that somebody else has sorted in meanwhile stays as it is."""
    values = {
        "candidate_id": line.candidate_id,
        "registration_id": line.registration_id,
        "course_key": line.course_key,
        "parsed": dump_row(each.row),
    }
    tx.execute(update(row).where(row.c.id == each.id, row.c.candidate_id.is_(None)).values(**values))
