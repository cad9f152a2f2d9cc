"""What a person may do to a job by the page or the API, each act with its line in the audit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from worker import control
from worker.intake.accept import Arrival
from worker.jobs import lifecycle
from worker.ledger import accounts

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.control import Note
    from worker.intake.accept import Accepted
    from worker.ledger.database import Transaction
    from worker.web.auth import Who
    from worker.web.forms import Wanted
    from worker.web.uploads import Upload


class Act(StrEnum):
    """What can be done to a job as a whole."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"
    UNDO = "undo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What came of an act: a sentence for the person, and the job to look at now (another one after `undo`)."""

    text: str
    job_id: int


def drop(services: Services, who: Who, upload: Upload, wanted: Wanted, *, origin: str) -> Accepted:
    """Hand an uploaded roster over as a job; its file may be discarded afterwards.

    Raises UsageError when it cannot be kept.
    """

    def note(tx: Transaction, accepted: Accepted) -> None:
        detail = "the same roster was at work already" if accepted.twin else ""
        accounts.note(tx, who=who.name, act="drop", job_id=accepted.job_id, detail=detail)

    accepted = control.receive(
        services,
        upload.path,
        name=upload.name,
        connection=wanted.connection,
        options=wanted.options,
        report_dir=None,
        arrival=Arrival(origin=origin, by=None if who.name == "-" else who.name, start=wanted.start),
        note=note,
    )
    if accepted.twin:
        control.adopt(services, accepted.job_id)
    return accepted


def act(services: Services, who: Who, what: Act, job_id: int) -> Told:
    """Do something to a job. Raises UnknownJob, or UsageError that says why it cannot be done now."""

    def note(tx: Transaction, about: int) -> None:
        detail = f"job {about}" if about != job_id else ""
        accounts.note(tx, who=who.name, act=what, job_id=job_id, detail=detail)

    return _ACTS[what](services, job_id, note)


def resolve(services: Services, who: Who, job_id: int, row: int, answer: lifecycle.Answer) -> Told:
    """Settle a row in doubt by what a person found at the LMS. Raises UnknownJob or UsageError."""
    found = "absent" if answer.absent else "candidate" if answer.candidate_id is not None else "registration"
    with services.ledger.write() as tx:
        text = lifecycle.resolve(tx, job_id, row, answer)
        accounts.note(tx, who=who.name, act="resolve", job_id=job_id, detail=f"row {row}: {found}")
    return Told(text=text, job_id=job_id)


def _pause(services: Services, job_id: int, note: Note) -> Told:
    with services.ledger.write() as tx:
        told = Told(text=lifecycle.pause(tx, job_id), job_id=job_id)
        note(tx, job_id)
    return told


def _resume(services: Services, job_id: int, note: Note) -> Told:
    return Told(text=control.go_on(services, job_id, note), job_id=job_id)


def _cancel(services: Services, job_id: int, note: Note) -> Told:
    with services.ledger.write() as tx:
        told = Told(text=lifecycle.cancel(tx, job_id), job_id=job_id)
        note(tx, job_id)
    return told


def _retry(services: Services, job_id: int, note: Note) -> Told:
    return Told(text=control.retry(services, job_id, note), job_id=job_id)


def _undo(services: Services, job_id: int, note: Note) -> Told:
    undoing = control.undo(services, job_id, note)
    return Told(text=f"Job {undoing} withdraws what job {job_id} registered", job_id=undoing)


_ACTS = {Act.PAUSE: _pause, Act.RESUME: _resume, Act.CANCEL: _cancel, Act.RETRY: _retry, Act.UNDO: _undo}
