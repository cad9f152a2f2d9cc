"""What a person may do to a job by the page or the API, each act with its line in the audit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from worker import handover
from worker.intake.accept import Arrival
from worker.ledger import audit
from worker.registration import steer

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.entrypoints.web.options import Wanted
    from worker.entrypoints.web.security import Who
    from worker.entrypoints.web.uploads import Upload
    from worker.intake.accept import Accepted


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
    accepted = handover.receive(
        services,
        upload.path,
        name=upload.name,
        connection=wanted.connection,
        options=wanted.options,
        report_dir=None,
        arrival=Arrival(origin=origin, by=None if who.name == "-" else who.name, start=wanted.start),
    )
    if accepted.twin:
        handover.adopt(services, accepted.job_id)
    _note(services, who, "drop", accepted.job_id, "the same roster was at work already" if accepted.twin else "")
    return accepted


def act(services: Services, who: Who, what: Act, job_id: int) -> Told:
    """Do something to a job. Raises UnknownJob, or UsageError that says why it cannot be done now."""
    told = _ACTS[what](services, job_id)
    _note(services, who, what, job_id, f"job {told.job_id}" if told.job_id != job_id else "")
    return told


def resolve(services: Services, who: Who, job_id: int, row: int, answer: steer.Answer) -> Told:
    """Settle a row in doubt by what a person found at the LMS. Raises UnknownJob or UsageError."""
    with services.ledger.write() as tx:
        text = steer.resolve(tx, job_id, row, answer)
    found = "absent" if answer.absent else "candidate" if answer.candidate_id is not None else "registration"
    _note(services, who, "resolve", job_id, f"row {row}: {found}")
    return Told(text=text, job_id=job_id)


def _pause(services: Services, job_id: int) -> Told:
    with services.ledger.write() as tx:
        return Told(text=steer.pause(tx, job_id), job_id=job_id)


def _resume(services: Services, job_id: int) -> Told:
    return Told(text=handover.go_on(services, job_id), job_id=job_id)


def _cancel(services: Services, job_id: int) -> Told:
    with services.ledger.write() as tx:
        return Told(text=steer.cancel(tx, job_id), job_id=job_id)


def _retry(services: Services, job_id: int) -> Told:
    return Told(text=handover.retry(services, job_id), job_id=job_id)


def _undo(services: Services, job_id: int) -> Told:
    undoing = handover.undo(services, job_id)
    return Told(text=f"Job {undoing} withdraws what job {job_id} registered", job_id=undoing)


_ACTS = {Act.PAUSE: _pause, Act.RESUME: _resume, Act.CANCEL: _cancel, Act.RETRY: _retry, Act.UNDO: _undo}


def _note(services: Services, who: Who, what: str, job_id: int, detail: str = "") -> None:
    with services.ledger.write() as tx:
        audit.note(tx, who=who.name, act=what, job_id=job_id, detail=detail)
