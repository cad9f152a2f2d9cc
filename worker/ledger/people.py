"""The list of people of an LMS, hashed; and which candidates of a job they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, exists, func, insert, or_, select, true, update

from worker.identity import Traits, email_key, is_other_person, plain_identifier, traits_of
from worker.ledger.candidates import hash_identifier, id_key_of
from worker.ledger.chunks import chunks
from worker.ledger.database import custom_plans, now, take_lock
from worker.ledger.importing import move_rows
from worker.ledger.key_value import put
from worker.ledger.other_person import mentions_in_roster
from worker.ledger.restoring import is_restored_doubt
from worker.ledger.rows import read_row
from worker.ledger.schema import candidate, key_value, person, row
from worker.model import PENDING, Action, CandidateState, RowStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

    from worker.ledger.database import Transaction
    from worker.ledger.other_person import Mention
    from worker.model import Candidate, Course, Person, RosterRow


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
        row.c.job_id == job_id, row.c.status.in_(PENDING), row.c.candidate_id.is_not(None)
    )
    return and_(candidate.c.id.in_(wanted), _is_unknown())


def _is_unknown() -> Any:
    return or_(candidate.c.state.in_(_UNKNOWN), is_restored_doubt())


def count_unknown_candidates(tx: Transaction, job_id: int) -> UnknownCandidates:
    """Count the candidates of a job not yet known to exist at the LMS."""
    total, with_external_id = tx.execute(
        select(func.count(), func.count(candidate.c.external_key)).where(_new_candidates(job_id))
    ).one()
    return UnknownCandidates(total=total, without_external_id=total - with_external_id)


def read_until(tx: Transaction, connection: str) -> float | None:
    """Return the time up to which the list of people was read, by the LMS's clock; None when it never was.

    A list that was read before migration 0010, without names and with folded addresses, counts as not read.
    """
    record = tx.execute(select(key_value.c.value).where(key_value.c.key == f"people:{connection}")).scalar()
    return float(record["until"]) if record and record.get("with_names") else None


def set_read_until(tx: Transaction, connection: str, until: float) -> None:
    """Record that the list is complete up to this time."""
    put(tx, f"people:{connection}", {"until": until, "with_names": True})


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
                "external_key": hash_identifier("ext", plain_identifier(who.external_id or "")),
                "email_key": hash_identifier("mail", email_key(plain_identifier(who.email or ""))),
                "login_key": hash_identifier("login", who.login_name),
                **_name_marks(who),
            }
            for who in unique.values()
        ],
    )


def _name_marks(who: Person) -> dict[str, str]:
    marked = traits_of(who).marked(who.candidate_id)
    return {
        "first_name_marks": " ".join(sorted(marked.first_name)),
        "last_name_marks": " ".join(sorted(marked.last_name)),
    }


def match_candidates(tx: Transaction, connection: str, job_id: int) -> None:
    """Give the job's new candidates the LMS ids of the people they match.

    Rows that match several people are invalid, and so are those that match one by external id who has other names
    and another address.
    """
    take_lock(tx, f"candidates:{connection}")
    records = tx.execute(select(candidate).where(_new_candidates(job_id))).all()
    for chunk in chunks(records, 2_000):
        with custom_plans(tx):
            by_external, by_email = _people_of(tx, connection, chunk)
        mentions = _mentions(tx, job_id, chunk, by_external)
        for record in chunk:
            found = _matching_people(record, by_external, by_email)
            if len(found) > 1:
                refusal = CandidateMatch(id=record.id, code="ambiguous_candidate", error=_AMBIGUOUS)
                _reject(tx, job_id, refusal)
            elif found and _are_other_person(mentions.get(record.id, ()), found[0]):
                _reject(tx, job_id, CandidateMatch(id=record.id, code="other_person", error=_OTHER_PERSON))
            elif found:
                _set_known(tx, connection, job_id, record.id, found[0].lms_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownCandidate:
    """A candidate of a job not yet known to exist at the LMS, as its first row names them."""

    id: int
    candidate: Candidate
    #: Whether Roster deactivated them.
    is_deactivated: bool = False


def unknown_candidates(tx: Transaction, job_id: int) -> list[UnknownCandidate]:
    """Return the candidates of a job not yet known to exist at the LMS, as a row that registers them names them."""
    query = (
        select(candidate.c.id, candidate.c.state, row.c.parsed)
        .join(row, row.c.candidate_id == candidate.c.id)
        .where(row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED, candidate.c.state.in_(_UNKNOWN))
        .order_by(row.c.action != Action.REGISTER, row.c.id)
    )
    found: dict[int, UnknownCandidate] = {}
    for record in tx.execute(query):
        if record.id not in found:
            found[record.id] = UnknownCandidate(
                id=record.id,
                candidate=read_row(record.parsed).candidate,
                is_deactivated=record.state == CandidateState.DEACTIVATED,
            )
    return list(found.values())


def _unseen(job_id: int) -> Any:
    """Return the condition that a row to be sent names a person by an id that the LMS was not seen to have."""
    seen = exists().where(person.c.connection == candidate.c.connection, person.c.lms_id == candidate.c.lms_id)
    return and_(
        row.c.job_id == job_id,
        row.c.status == RowStatus.NOT_ATTEMPTED,
        candidate.c.state == CandidateState.KNOWN,
        candidate.c.job_id.is_(None),
        ~seen,
    )


def count_unseen(tx: Transaction, job_id: int) -> int:
    """Count the people whom rows to be sent name by the LMS's id, and whom the LMS was not seen to have."""
    of_rows = candidate.join(row, row.c.candidate_id == candidate.c.id)
    count = select(func.count(candidate.c.id.distinct())).select_from(of_rows).where(_unseen(job_id))
    return tx.execute(count).scalar_one()


def unseen_candidates(tx: Transaction, job_id: int) -> list[UnknownCandidate]:
    """Return the people whom rows to be sent name by the LMS's id, and whom the LMS was not seen to have."""
    query = (
        select(candidate.c.id, row.c.parsed)
        .join(row, row.c.candidate_id == candidate.c.id)
        .where(_unseen(job_id))
        .order_by(row.c.id)
    )
    found: dict[int, UnknownCandidate] = {}
    for record in tx.execute(query):
        named = read_row(record.parsed).candidate
        if named.candidate_id is not None and record.id not in found:
            found[record.id] = UnknownCandidate(id=record.id, candidate=named)
    return list(found.values())


def some_known(tx: Transaction, connection: str, most: int) -> list[str]:
    """Return the LMS's ids of people whom this connection created or found last."""
    query = select(candidate.c.lms_id).where(
        candidate.c.connection == connection,
        candidate.c.state == CandidateState.KNOWN,
        candidate.c.lms_id.is_not(None),
    )
    newest = query.order_by(candidate.c.sent_at.is_(None), candidate.c.id.desc())
    return list(tx.execute(newest.limit(most)).scalars())


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateMatch:
    """The result of looking a candidate up: who they are, or why their rows cannot be sent."""

    id: int
    person: Person | None = None
    code: str = ""
    error: str = ""
    status: RowStatus = RowStatus.INVALID
    #: Whether only the rows that register them cannot be sent.
    only_registering: bool = False


def save_matches(tx: Transaction, connection: str, job_id: int, matches: Sequence[CandidateMatch]) -> None:
    """Give candidates the LMS ids of the people they are, and reject the rows of those who cannot be sent."""
    add_people(tx, connection, [match.person for match in matches if match.person])
    take_lock(tx, f"candidates:{connection}")
    for match in matches:
        if match.error:
            _reject(tx, job_id, match)
        if match.person:
            _set_known(tx, connection, job_id, match.id, match.person.candidate_id)


def _mentions(
    tx: Transaction, job_id: int, records: Sequence[Row[Any]], by_external: dict[str, list[Row[Any]]]
) -> dict[int, list[Mention]]:
    """Return the job's rows of the candidates that an external id finds, whose address is another or not known."""
    to_compare = [
        record.id
        for record in records
        for who in by_external.get(record.external_key or "", [])
        if not (record.email_key and record.email_key == who.email_key)
    ]
    found: dict[int, list[Mention]] = {}
    for candidate_id, mention in mentions_in_roster(tx, job_id, to_compare):
        found.setdefault(candidate_id, []).append(mention)
    return found


def _are_other_person(mentions: Sequence[Mention], who: Row[Any]) -> bool:
    """Return whether all rows of a candidate name another person than the one in the list."""
    names = [frozenset((marks or "").split()) for marks in (who.first_name_marks, who.last_name_marks)]
    theirs = Traits(who.email_key or "", *names)
    ours = [mention.traits.marked(who.lms_id) for mention in mentions]
    hashed = [replace(each, email=hash_identifier("mail", each.email) or "") for each in ours]
    return bool(hashed) and all(is_other_person(each, theirs) for each in hashed)


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
        .where(candidate.c.id == candidate_id, _is_unknown())
        .values(state=CandidateState.KNOWN, lms_id=lms_id, id_key=id_key_of(lms_id))
    )


_AMBIGUOUS = "The LMS has several people with this external id or e-mail address; give the candidate_id"
_OTHER_PERSON = (
    "The LMS has another person under this external_id: their names and e-mail address are other ones; correct the "
    "external_id, or the names and the address if this is the same person"
)


def _reject(tx: Transaction, job_id: int, match: CandidateMatch) -> None:
    values: dict[str, Any] = {
        "status": match.status,
        "kept_status": None,
        "error": match.error,
        "error_code": match.code,
        "changed_at": now(),
    }
    if match.code == "other_person":
        # So that another row that does name this person is no duplicate of it.
        values |= {"candidate_id": None, "registration_id": None}
    tx.execute(
        update(row)
        .where(row.c.job_id == job_id, row.c.candidate_id == match.id, row.c.status.in_(PENDING))
        .where(row.c.action == Action.REGISTER if match.only_registering else true())
        .values(**values)
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


def course_of(tx: Transaction, job_id: int, course_key: str) -> Course | None:
    """Return a course as a row of the job names it."""
    query = select(row.c.parsed).where(
        row.c.job_id == job_id, row.c.course_key == course_key, row.c.parsed.is_not(None)
    )
    parsed = tx.execute(query.limit(1)).scalar()
    return read_row(parsed).course if parsed else None


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
