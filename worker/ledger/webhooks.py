"""What an LMS told of itself by webhooks: kept once, and held against the registrations of the ledger.

Only hashes and ids are kept, never the body.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import Row, delete, func, insert, select, update

from worker.ledger.candidates import id_key_of
from worker.ledger.database import now, take_turns
from worker.ledger.schema import candidate, job, notice, registration, row
from worker.model import DONE, Action, JobState, RegistrationState, RowStatus, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.database import Transaction

#: A webhook that came so long before we sent was about something else, however the clocks differ (seconds).
CLOCKS_SECONDS = 60.0
#: What matched nothing yet may still settle a doubt that arises within this, and is forgotten after that (seconds).
WAITING_SECONDS = 7 * 86_400.0
KEPT_SECONDS = 30 * 86_400.0
#: So many are held against the ledger in one transaction.
MOST_AT_ONCE = 500


class Fate(StrEnum):
    """What became of something told."""

    #: The registration is under way, or not in the ledger yet.
    WAITING = "waiting"
    #: It settled a doubt.
    SETTLED = "settled"
    #: It agreed with what the ledger says.
    CONFIRMED = "confirmed"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One registration that was told of, by the LMS's ids."""

    candidate_id: str
    course_id: str
    legal_entity_id: str | None
    registration_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Something told that waits to be held against the ledger."""

    id: int
    connection: str
    candidate_key: str
    course_id: str
    legal_entity_id: str | None
    registration_id: str | None
    at: float


def keep(tx: Transaction, connection: str, mark: str, told: Sequence[Told]) -> bool:
    """Keep what one webhook says, at least that it came; False when the same one came before."""
    take_turns(tx, f"notices:{connection}")
    same = select(notice.c.id).where(notice.c.connection == connection, notice.c.mark == mark)
    if tx.execute(same.limit(1)).first():
        return False
    common = {"connection": connection, "mark": mark, "at": now()}
    lines = [
        common
        | {
            "place": place,
            "candidate_key": id_key_of(each.candidate_id),
            "course_id": each.course_id,
            "legal_entity_id": each.legal_entity_id,
            "lms_registration_id": each.registration_id,
            "fate": Fate.WAITING,
        }
        for place, each in enumerate(told)
    ]
    nothing = {"place": 0, "candidate_key": None, "course_id": None, "legal_entity_id": None}
    empty = common | nothing | {"lms_registration_id": None, "fate": Fate.IGNORED}
    tx.execute(insert(notice), lines or [empty])
    return True


def waiting(tx: Transaction) -> list[Kept]:
    """Return what waits, the newest first; what has waited too long is ignored, and later forgotten."""
    at = now()
    tx.execute(
        update(notice)
        .where(notice.c.fate == Fate.WAITING, notice.c.at < at - WAITING_SECONDS)
        .values(fate=Fate.IGNORED)
    )
    tx.execute(delete(notice).where(notice.c.at < at - KEPT_SECONDS))
    # An LMS may tell of everybody; what no registration of ours is meant by waits without being looked at.
    ours = (
        select(registration.c.id)
        .join(candidate, candidate.c.id == registration.c.candidate_id)
        .where(candidate.c.connection == notice.c.connection, candidate.c.id_key == notice.c.candidate_key)
        .where(registration.c.state.in_((RegistrationState.IN_DOUBT, RegistrationState.REGISTERED)))
    )
    meant = select(notice).where(notice.c.fate == Fate.WAITING, ours.exists()).order_by(notice.c.id.desc())
    lines = tx.execute(meant.limit(MOST_AT_ONCE)).all()
    return [
        Kept(
            id=line.id,
            connection=line.connection,
            candidate_key=line.candidate_key,
            course_id=line.course_id,
            legal_entity_id=line.legal_entity_id,
            registration_id=line.lms_registration_id,
            at=line.at,
        )
        for line in lines
    ]


def settle(tx: Transaction, kept: Kept) -> list[int]:
    """Settle a doubt by one thing told, confirm by it, or let it wait. Return the jobs whose doubt it settled."""
    line = _meant(tx, kept)
    if line is None:
        return []
    if line.state == RegistrationState.IN_DOUBT:
        return _settle_doubt(tx, kept, line)
    if line.state == RegistrationState.REGISTERED:
        return _confirm(tx, kept, line)
    return []


def _meant(tx: Transaction, kept: Kept) -> Row[tuple[object, ...]] | None:
    """Return the one registration of the ledger that is meant; None when there is none, or more than one."""
    lines = tx.execute(
        select(registration)
        .join(candidate, candidate.c.id == registration.c.candidate_id)
        .where(candidate.c.connection == kept.connection, candidate.c.id_key == kept.candidate_key)
    ).all()
    places = [line.course_key.partition("/") for line in lines]
    meant = [
        line
        for line, (entity, _, course) in zip(lines, places, strict=True)
        if course == kept.course_id and kept.legal_entity_id in {None, entity}
    ]
    return meant[0] if len(meant) == 1 else None


def _settle_doubt(tx: Transaction, kept: Kept, line: Row[tuple[object, ...]]) -> list[int]:
    """Note that a registration in doubt was made; not while somebody is at work on it, nor for another's call."""
    if line.doing is not None or kept.at < (line.sent_at or 0) - CLOCKS_SECONDS:
        return []
    won = tx.execute(
        update(registration)
        .where(registration.c.id == line.id, registration.c.state == RegistrationState.IN_DOUBT)
        .where(registration.c.claimed_by.is_(None))
        .values(state=RegistrationState.REGISTERED, lms_id=kept.registration_id)
    )
    if won.rowcount == 0:
        return []
    doubtful = select(row.c.id, row.c.job_id).where(
        row.c.registration_id == line.id, row.c.status == RowStatus.IN_DOUBT, row.c.action == Action.REGISTER
    )
    jobs = []
    for each in tx.execute(doubtful).all():
        status = RowStatus.REGISTERED if each.job_id == line.job_id else RowStatus.ALREADY_REGISTERED
        values = {"status": status, "error": "", "error_code": "", "lms_registration_id": kept.registration_id}
        tx.execute(update(row).where(row.c.id == each.id).values(**values, changed_at=now(), **_confirmed()))
        jobs.append(int(each.job_id))
    _note(tx, kept, Fate.SETTLED, jobs)
    return jobs


def _confirm(tx: Transaction, kept: Kept, line: Row[tuple[object, ...]]) -> list[int]:
    """Note on rows that were never read back that the LMS says the same; another id says nothing."""
    if kept.registration_id is not None and line.lms_id not in {None, kept.registration_id}:
        return []
    mine = (row.c.registration_id == line.id, row.c.status.in_(DONE), row.c.action == Action.REGISTER)
    jobs = list(tx.execute(select(row.c.job_id).where(*mine, row.c.verified.is_(None)).distinct()).scalars())
    tx.execute(update(row).where(*mine, row.c.verified.is_(None)).values(**_confirmed()))
    _note(tx, kept, Fate.CONFIRMED, jobs)
    return []


def _confirmed() -> dict[str, object]:
    return {"verified": Verdict.CONFIRMED, "verified_at": now()}


def _note(tx: Transaction, kept: Kept, fate: Fate, jobs: Sequence[int]) -> None:
    tx.execute(update(notice).where(notice.c.id == kept.id).values(fate=fate))
    tx.execute(update(job).where(job.c.id.in_(jobs)).values(verified_at=now()))


def ended_with_errors(tx: Transaction, job_id: int) -> bool:
    """Tell whether a job ended with rows that were not done."""
    state = tx.execute(select(job.c.state).where(job.c.id == job_id)).scalar()
    return state == JobState.COMPLETED_WITH_ERRORS


def tally(tx: Transaction) -> dict[tuple[str, str], int]:
    """Count what was told, by connection and what became of it."""
    lines = tx.execute(
        select(notice.c.connection, notice.c.fate, func.count()).group_by(notice.c.connection, notice.c.fate)
    )
    return {(line[0], line[1]): line[2] for line in lines}
