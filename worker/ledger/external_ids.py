"""Rows that identify a registration by its external id alone, without its person or its course.

Such a row is linked to no candidate and no registration until these are looked up: in the row of the same roster
that registers under that id, or at the LMS. Then it is a row like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from worker.ledger.candidates import CandidateIndex, find_or_create_registrations, hash_identifier, identify
from worker.ledger.database import now, take_lock
from worker.ledger.duplicates import skip_duplicates
from worker.ledger.rows import dump_row, read_row
from worker.ledger.schema import candidate, registration, row
from worker.model import REGISTRATION_ACTIONS, Action, Candidate, RosterRow, RowStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from worker.ledger.database import Transaction
    from worker.ledger.intents import RowOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalIdRow:
    """A row that identifies its registration only by external id; completed once it is looked up."""

    id: int
    row: RosterRow


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTarget:
    """The records to link a row to, with the LMS's id of the person, if it is known."""

    registration_id: int
    candidate_id: int
    course_key: str
    lms_id: str | None = None


def has_only_external_id(understood: RosterRow) -> bool:
    """Return whether the person or the course is missing, and an external id identifies the registration."""
    if understood.action not in REGISTRATION_ACTIONS or understood.registration_external_id is None:
        return False
    return understood.course is None or not _has_identifier(understood.candidate)


def _has_identifier(who: Candidate) -> bool:
    return bool(who.candidate_id or who.external_id or who.email)


def unlinked_rows(tx: Transaction, job_id: int, most: int | None = None) -> list[ExternalIdRow]:
    """Return the first rows of a job that are not linked to a registration yet."""
    query = select(row.c.id, row.c.parsed).where(_is_unlinked(job_id)).order_by(row.c.id).limit(most)
    return [ExternalIdRow(id=record.id, row=read_row(record.parsed)) for record in tx.execute(query)]


def _is_unlinked(job_id: int) -> Any:
    return (row.c.job_id == job_id) & (row.c.status == RowStatus.NOT_ATTEMPTED) & row.c.candidate_id.is_(None)


def link_rows(tx: Transaction, job_id: int) -> None:
    """Skip duplicates, and link rows to the registrations that other rows of the same roster make."""
    waiting = unlinked_rows(tx, job_id)
    if not waiting:
        return
    first: dict[tuple[str | None, Action], int] = {}
    left = []
    for each in waiting:
        bare = each.row.course is None and not _has_identifier(each.row.candidate)
        above = first.setdefault(_key_of(each), each.row.row) if bare else each.row.row
        if above == each.row.row:
            left.append(each)
        else:
            _skip(tx, each, above)
    made = _registrations_in_roster(tx, job_id, {each.row.registration_external_id for each in left})
    for each in left:
        target, maker = made.get(each.row.registration_external_id) or (None, None)
        if target and maker and _agrees(each.row, maker):
            _attach(
                tx, replace(each, row=replace(each.row, candidate=maker.candidate, course=maker.course)), target
            )


def _key_of(each: ExternalIdRow) -> tuple[str | None, Action]:
    return each.row.registration_external_id, each.row.action


def _skip(tx: Transaction, each: ExternalIdRow, above: int) -> None:
    error = f"The same registration and action as row {above}, which carries the outcome"
    values = {"status": RowStatus.SKIPPED, "error": error, "error_code": "duplicate_row", "changed_at": now()}
    tx.execute(update(row).where(row.c.id == each.id).values(kept_status=None, **values))


def _registrations_in_roster(
    tx: Transaction, job_id: int, wanted: set[str | None]
) -> Mapping[str | None, tuple[LinkTarget, RosterRow] | None]:
    """Return by external id the row that registers under it; None when several registrations have that id."""
    query = select(row.c.candidate_id, row.c.registration_id, row.c.course_key, row.c.parsed).where(
        row.c.job_id == job_id, row.c.action == Action.REGISTER, row.c.registration_id.is_not(None)
    )
    made: dict[str | None, tuple[LinkTarget, RosterRow] | None] = {}
    for candidate_id, registration_id, course_key, parsed in tx.execute(query):
        maker = read_row(parsed)
        name = maker.registration_external_id
        if name is not None and name in wanted:
            target = LinkTarget(registration_id=registration_id, candidate_id=candidate_id, course_key=course_key)
            other = made.setdefault(name, (target, maker))
            if other is not None and other[0] != target:
                made[name] = None
    return made


def _agrees(named: RosterRow, maker: RosterRow) -> bool:
    """Return whether the person and the course of a row, as far as it names them, are those of the other row."""
    theirs = identify(maker.candidate)
    ours = identify(named.candidate)
    same_course = named.course is None or (maker.course is not None and named.course.key == maker.course.key)
    pairs = ((ours.by_id, theirs.by_id), (ours.by_external, theirs.by_external), (ours.by_email, theirs.by_email))
    return same_course and all(one is None or one == other for one, other in pairs)


def known_registration(tx: Transaction, connection: str, named: RosterRow) -> LinkTarget | None:
    """Return the registration known under the row's external id; None when the row names a person or course."""
    query = (
        select(registration.c.id, registration.c.course_key, registration.c.candidate_id, candidate.c.lms_id)
        .join(candidate, candidate.c.id == registration.c.candidate_id)
        .where(registration.c.connection == connection, candidate.c.lms_id.is_not(None))
        .where(registration.c.external_key == hash_identifier("registration", named.registration_external_id))
    )
    records = tx.execute(query).all()
    if len(records) != 1 or named.course is not None or _has_identifier(named.candidate):
        return None
    (record,) = records
    return LinkTarget(
        registration_id=record.id,
        candidate_id=record.candidate_id,
        course_key=record.course_key,
        lms_id=record.lms_id,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupResults:
    """The results of looking up some rows of a job."""

    #: With the LMS's id of the person, and the course.
    found: Sequence[ExternalIdRow] = ()
    known: Sequence[tuple[ExternalIdRow, LinkTarget]] = ()
    #: Rows whose registration was not found or cannot be used.
    rejected: Sequence[tuple[ExternalIdRow, RowOutcome]] = ()


def save_results(tx: Transaction, job_id: int, connection: str, results: LookupResults) -> None:
    """Link rows to their candidates and registrations, found or created; reject the others."""
    take_lock(tx, f"candidates:{connection}")
    for each, target in _targets_of(tx, connection, results.found):
        key = hash_identifier("registration", each.row.registration_external_id)
        tx.execute(update(registration).where(registration.c.id == target.registration_id).values(external_key=key))
        _attach(tx, each, target)
    for each, known in results.known:
        who = replace(each.row.candidate, candidate_id=known.lms_id)
        _attach(tx, replace(each, row=replace(each.row, candidate=who)), known)
    for each, outcome in results.rejected:
        values = {
            "status": outcome.status,
            "kept_status": None,
            "error": outcome.error,
            "error_code": outcome.code,
            "http_status": outcome.http_status,
            "changed_at": now(),
        }
        tx.execute(update(row).where(row.c.id == each.id).values(**values))
    if not unlinked_rows(tx, job_id, 1):
        skip_duplicates(tx, job_id)


def _targets_of(
    tx: Transaction, connection: str, shown: Sequence[ExternalIdRow]
) -> Iterator[tuple[ExternalIdRow, LinkTarget]]:
    """Yield rows with the records to link them to, which are created where there are none."""
    ids = {each.row.candidate.candidate_id or "" for each in shown}
    identities = {lms_id: identify(Candidate(candidate_id=lms_id)) for lms_id in sorted(ids)}
    directory = CandidateIndex(connection)
    directory.load(tx, list(identities.values()))
    people = {lms_id: directory.find(who, lms_id) for lms_id, who in identities.items()}
    directory.save(tx)
    pairs = {
        each.id: (who.id, each.row.course.key if each.row.course else "")
        for each in shown
        if (who := people[each.row.candidate.candidate_id or ""]) and who.id is not None
    }
    records = find_or_create_registrations(tx, connection, list(pairs.values()))
    for each in shown:
        who_id, course = pairs[each.id]
        lms_id = each.row.candidate.candidate_id or ""
        record = records[who_id, course]
        yield each, LinkTarget(registration_id=record.id, candidate_id=who_id, course_key=course, lms_id=lms_id)


def _attach(tx: Transaction, each: ExternalIdRow, target: LinkTarget) -> None:
    """Link a row to a registration, unless another process has linked it meanwhile."""
    values = {
        "candidate_id": target.candidate_id,
        "registration_id": target.registration_id,
        "course_key": target.course_key,
        "parsed": dump_row(each.row),
    }
    tx.execute(update(row).where(row.c.id == each.id, row.c.candidate_id.is_(None)).values(**values))
