"""The list of people of an LMS, hashed; and which candidates of a job they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, insert, or_, select, update

from worker.ledger.candidates import chunks, hash_identifier, id_key_of
from worker.ledger.database import custom_plans, now, take_lock
from worker.ledger.importing import move_rows
from worker.ledger.key_value import put
from worker.ledger.rows import read_row
from worker.ledger.schema import candidate, key_value, person, row
from worker.model import Action, CandidateState, RowStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

    from worker.ledger.database import Transaction
    from worker.model import Course, Person, RosterRow


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownCandidates:
    """Candidates of a job not yet known to exist at the LMS."""

    total: int
    without_external_id: int


#: States to be checked at the LMS: a deactivated person may have been reactivated since.
_UNKNOWN = (CandidateState.NEW, CandidateState.DEACTIVATED)


def _new_candidates(job_id: int) -> Any:
    """Return the condition that a candidate is new and wanted by a row of the job."""
    wanted = select(row.c.candidate_id).where(
        row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED, row.c.candidate_id.is_not(None)
    )
    return and_(candidate.c.id.in_(wanted), candidate.c.state.in_(_UNKNOWN))


def count_unknown_candidates(tx: Transaction, job_id: int) -> UnknownCandidates:
    """Count the candidates of a job not yet known to exist at the LMS."""
    total, with_external_id = tx.execute(
        select(func.count(), func.count(candidate.c.external_key)).where(_new_candidates(job_id))
    ).one()
    return UnknownCandidates(total=total, without_external_id=total - with_external_id)


def read_until(tx: Transaction, connection: str) -> float | None:
    """Return the time up to which the list of people was read, by the LMS's clock; None when it never was."""
    record = tx.execute(select(key_value.c.value).where(key_value.c.key == f"people:{connection}")).scalar()
    return float(record["until"]) if record else None


def set_read_until(tx: Transaction, connection: str, until: float) -> None:
    """Record that the list is complete up to this time."""
    put(tx, f"people:{connection}", {"until": until})


def add_people(tx: Transaction, connection: str, people: Sequence[Person]) -> None:
    """Add people to the list, replacing their older entries."""
    if not people:
        return
    take_lock(tx, f"people:{connection}")
    unique = {who.candidate_id: who for who in people}
    tx.execute(person.delete().where(person.c.connection == connection, person.c.lms_id.in_(unique)))
    tx.execute(
        insert(person),
        [
            {
                "connection": connection,
                "lms_id": who.candidate_id,
                "external_key": hash_identifier("ext", who.external_id),
                "email_key": hash_identifier("mail", who.email.casefold() if who.email else None),
                "login_key": hash_identifier("login", who.login_name),
            }
            for who in unique.values()
        ],
    )


def match_candidates(tx: Transaction, connection: str, job_id: int) -> None:
    """Give the job's new candidates the LMS ids of the people they match; rows that match several are invalid."""
    take_lock(tx, f"candidates:{connection}")
    records = tx.execute(select(candidate).where(_new_candidates(job_id))).all()
    for chunk in chunks(records, 2_000):
        with custom_plans(tx):
            by_external, by_email = _people_of(tx, connection, chunk)
        for record in chunk:
            found = _matching_people(record, by_external, by_email)
            if len(found) == 1:
                _set_known(tx, connection, job_id, record.id, found[0].lms_id)
            elif found:
                _reject_ambiguous(tx, job_id, record.id)


def _people_of(
    tx: Transaction, connection: str, records: Sequence[Row[Any]]
) -> tuple[dict[str, list[Row[Any]]], dict[str, list[Row[Any]]]]:
    external = [record.external_key for record in records if record.external_key]
    email = [record.email_key for record in records if record.email_key]
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


def _matching_people(
    record: Row[Any], by_external: dict[str, list[Row[Any]]], by_email: dict[str, list[Row[Any]]]
) -> list[Row[Any]]:
    """Return the people that match a candidate: by external id, else by e-mail unless the external id differs."""
    if record.external_key and record.external_key in by_external:
        return by_external[record.external_key]
    same_mail = by_email.get(record.email_key, []) if record.email_key else []
    return [who for who in same_mail if not (record.external_key and who.external_key)]


def _set_known(tx: Transaction, connection: str, job_id: int, candidate_id: int, lms_id: str) -> None:
    """Save who a candidate is; when another record is that person already, link the job's rows to it."""
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


def _reject_ambiguous(tx: Transaction, job_id: int, candidate_id: int) -> None:
    tx.execute(
        update(row)
        .where(row.c.job_id == job_id, row.c.candidate_id == candidate_id)
        .where(row.c.status == RowStatus.NOT_ATTEMPTED)
        .values(
            status=RowStatus.INVALID,
            kept_status=None,
            error="The LMS has several people with this external id or e-mail address; give the candidate_id",
            error_code="ambiguous_candidate",
            changed_at=now(),
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOnCourse:
    """A row of a course that was not sent yet, and the LMS's id of its candidate, if they exist."""

    id: int
    lms_id: str | None
    row: RosterRow


def rows_on_course(tx: Transaction, job_id: int, course_key: str, most: int) -> list[RowOnCourse]:
    """Return the first rows of a course to be registered that were not sent yet; those of new candidates first."""
    query = (
        select(row.c.id, candidate.c.lms_id, row.c.parsed)
        .join(candidate, candidate.c.id == row.c.candidate_id)
        .where(row.c.job_id == job_id, row.c.course_key == course_key, row.c.status == RowStatus.NOT_ATTEMPTED)
        .where(row.c.action == Action.REGISTER)
        .where(candidate.c.state.in_((CandidateState.NEW, CandidateState.KNOWN)))
        .order_by(candidate.c.lms_id.is_not(None), row.c.id)
        .limit(most)
    )
    return [
        RowOnCourse(id=record.id, lms_id=record.lms_id, row=read_row(record.parsed)) for record in tx.execute(query)
    ]


def count_known_before(tx: Transaction, job_id: int, course_key: str) -> tuple[Course | None, int]:
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
