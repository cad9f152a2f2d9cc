"""What the end of a batch means for its job, in every mode: go on, leave a course, or hold for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.errors import StopJob
from worker.jobs import completion
from worker.ledger import jobs
from worker.model import AT_WORK, JobState
from worker.registration.batch import BatchEnd

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from worker.registration.context import Desk
    from worker.registration.patience import Patience


def weigh(desk: Desk, patience: Patience, end: BatchEnd) -> StopJob | None:
    """Return why the job must be held, if so; the desk then sends nothing more."""
    stop = _reason_to_hold(desk, patience, end)
    if stop is not None:
        desk.halted = True
    return stop


def _reason_to_hold(desk: Desk, patience: Patience, end: BatchEnd) -> StopJob | None:
    if end.stop is not None:
        return end.stop
    if end.course is not None and desk.only_course:
        return StopJob(end.course.code, end.course.message)
    if end.later is not None:
        try:
            patience.lose(end.later, answered=desk.door.wire.answered)
        except StopJob as stop:
            return stop
    elif end == BatchEnd():
        patience.restore()
    return None


def conclude(tx: Connection, job_id: int, end: BatchEnd, stop: StopJob | None) -> None:
    """Write to the ledger what the end of a batch means for its job."""
    if stop is not None:
        hold(tx, job_id, stop.message, stop.code)
    elif end.course is not None:
        completion.give_up_course(tx, job_id, end.course)


def hold(tx: Connection, job_id: int, reason: str, code: str) -> bool:
    """Hold a job at work until a person says go; False when it was not at work."""
    held = {"state": JobState.HELD, "reason": reason, "reason_code": code, "not_before": None}
    return jobs.change_job(tx, job_id, only_from=AT_WORK, **held)
