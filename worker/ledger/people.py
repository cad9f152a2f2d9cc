"""The people of an LMS as its list has them, hashed; and which candidates of a job they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, insert, or_, select, update

from worker.ledger.candidates import chunks, hashed, id_key_of
from worker.ledger.database import now, planned_for_values, take_turns
from worker.ledger.importing import move_rows
from worker.ledger.key_value import remember
from worker.ledger.rows import read_row
from worker.ledger.schema import candidate, memory, person, row
from worker.model import Action, CandidateState, RowStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

    from worker.ledger.database import Transaction
    from worker.model import Course, Person, RosterRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """The candidates of a job of whom the ledger does not know whether the LMS has them."""

    total: int
    without_external_id: int


#: Whether these are there is to be found out: who was deactivated may have been reactivated since.
_UNKNOWN = (CandidateState.NEW, CandidateState.DEACTIVATED)


def _new_candidates(job_id: int) -> Any:
    """Return the condition that a candidate is new and wanted by a row of the job."""
    wanted = select(row.c.candidate_id).where(
        row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED, row.c.candidate_id.is_not(None)
    )
    return and_(candidate.c.id.in_(wanted), candidate.c.state.in_(_UNKNOWN))


def unknown_candidates(tx: Transaction, job_id: int) -> Unknown:
    """Count the job's candidates that the ledger does not know."""
    total, with_external_id = tx.execute(
        select(func.count(), func.count(candidate.c.external_key)).where(_new_candidates(job_id))
    ).one()
    return Unknown(total=total, without_external_id=total - with_external_id)


def read_until(tx: Transaction, connection: str) -> float | None:
    """Return up to when the list of people was read, by the LMS's clock; None when it never was as a whole."""
    line = tx.execute(select(memory.c.value).where(memory.c.name == f"people:{connection}")).scalar()
    return float(line["until"]) if line else None


def note_read(tx: Transaction, connection: str, until: float) -> None:
    """Note that the list is whole up to this time."""
    remember(tx, f"people:{connection}", {"until": until})


def add_people(tx: Transaction, connection: str, people: Sequence[Person]) -> None:
    """Add people to the list, in place of what it had of them."""
    if not people:
        return
    take_turns(tx, f"people:{connection}")
    unique = {who.candidate_id: who for who in people}
    tx.execute(person.delete().where(person.c.connection == connection, person.c.lms_id.in_(unique)))
    tx.execute(
        insert(person),
        [
            {
                "connection": connection,
                "lms_id": who.candidate_id,
                "external_key": hashed("ext", who.external_id),
                "email_key": hashed("mail", who.email.casefold() if who.email else None),
                "login_key": hashed("login", who.login_name),
            }
            for who in unique.values()
        ],
    )


def match(tx: Transaction, connection: str, job_id: int) -> None:
    """Give the job's new candidates the ids of the people they are; several for one makes its rows invalid."""
    take_turns(tx, f"candidates:{connection}")
    lines = tx.execute(select(candidate).where(_new_candidates(job_id))).all()
    for chunk in chunks(lines, 2_000):
        with planned_for_values(tx):
            by_external, by_email = _people_of(tx, connection, chunk)
        for line in chunk:
            found = _who_is(line, by_external, by_email)
            if len(found) == 1:
                _know(tx, connection, job_id, line.id, found[0].lms_id)
            elif found:
                _ambiguous(tx, job_id, line.id)


def _people_of(
    tx: Transaction, connection: str, lines: Sequence[Row[Any]]
) -> tuple[dict[str, list[Row[Any]]], dict[str, list[Row[Any]]]]:
    external = [line.external_key for line in lines if line.external_key]
    email = [line.email_key for line in lines if line.email_key]
    by_external: dict[str, list[Row[Any]]] = {}
    by_email: dict[str, list[Row[Any]]] = {}
    for who in tx.execute(
        select(person).where(
            person.c.connection == connection,
            or_(person.c.external_key.in_(external), person.c.email_key.in_(email)),
        )
    ):
        by_external.setdefault(who.external_key, []).append(who)
        by_email.setdefault(who.email_key, []).append(who)
    return by_external, by_email


def _who_is(
    line: Row[Any], by_external: dict[str, list[Row[Any]]], by_email: dict[str, list[Row[Any]]]
) -> list[Row[Any]]:
    """Return the people whom a candidate may be: by external id, else by e-mail unless its external id differs."""
    if line.external_key and line.external_key in by_external:
        return by_external[line.external_key]
    same_mail = by_email.get(line.email_key, []) if line.email_key else []
    return [who for who in same_mail if not (line.external_key and who.external_key)]


def _know(tx: Transaction, connection: str, job_id: int, candidate_id: int, lms_id: str) -> None:
    """Note who a candidate is; when another line is that person already, the job's rows go over to that line."""
    same = tx.execute(
        select(candidate.c.id).where(candidate.c.connection == connection, candidate.c.id_key == id_key_of(lms_id))
    ).scalar()
    if same is not None and same != candidate_id:
        move_rows(tx, job_id, connection, candidate_id, same)
        return
    tx.execute(
        update(candidate)
        .where(candidate.c.id == candidate_id, candidate.c.state.in_(_UNKNOWN))
        .values(state=CandidateState.KNOWN, lms_id=lms_id, id_key=id_key_of(lms_id))
    )


def _ambiguous(tx: Transaction, job_id: int, candidate_id: int) -> None:
    tx.execute(
        update(row)
        .where(row.c.job_id == job_id, row.c.candidate_id == candidate_id)
        .where(row.c.status == RowStatus.NOT_ATTEMPTED)
        .values(
            status=RowStatus.INVALID,
            error="The LMS has several people with this external id or e-mail address; give the candidate_id",
            error_code="ambiguous_candidate",
            changed_at=now(),
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOnCourse:
    """A row of a course that was not sent yet, and the LMS's id of its candidate, if they are there."""

    id: int
    lms_id: str | None
    row: RosterRow


def rows_on_course(tx: Transaction, job_id: int, course_key: str, most: int) -> list[RowOnCourse]:
    """Return the first rows to be registered on a course that were not sent yet; those of new candidates first."""
    query = (
        select(row.c.id, candidate.c.lms_id, row.c.parsed)
        .join(candidate, candidate.c.id == row.c.candidate_id)
        .where(row.c.job_id == job_id, row.c.course_key == course_key, row.c.status == RowStatus.NOT_ATTEMPTED)
        .where(row.c.action == Action.REGISTER)
        .where(candidate.c.state.in_((CandidateState.NEW, CandidateState.KNOWN)))
        .order_by(candidate.c.lms_id.is_not(None), row.c.id)
        .limit(most)
    )
    return [RowOnCourse(id=line.id, lms_id=line.lms_id, row=read_row(line.parsed)) for line in tx.execute(query)]


def known_before(tx: Transaction, job_id: int, course_key: str) -> tuple[Course | None, int]:
    """Return the course as a row of the job names it, and how many of its open rows name people there before."""
    mine = and_(
        row.c.job_id == job_id,
        row.c.course_key == course_key,
        row.c.action == Action.REGISTER,
        row.c.status == RowStatus.NOT_ATTEMPTED,
    )
    parsed = tx.execute(select(row.c.parsed).where(mine).limit(1)).scalar()
    before = tx.execute(
        select(func.count())
        .select_from(row)
        .join(candidate, candidate.c.id == row.c.candidate_id)
        .where(mine, candidate.c.state == CandidateState.KNOWN)
        .where(or_(candidate.c.job_id.is_(None), candidate.c.job_id != job_id))
    ).scalar_one()
    return (read_row(parsed).course if parsed else None), before


def with_id(course: Course, course_id: str | None) -> Course:
    """Return the course named by the LMS's id, where that has been learnt."""
    return replace(course, course_id=course_id) if course_id and course.course_id is None else course
