"""The rows of a job that undoes another: those that it registered and nobody has withdrawn since."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from worker.ledger import jobs
from worker.ledger.database import take_turns
from worker.ledger.rows import dump_row, read_row
from worker.ledger.schema import registration, row
from worker.model import Action, JobState, RegistrationState, RowStatus

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from worker.ledger.jobs import Job


def open_undo(tx: Connection, job: Job) -> int | None:
    """Open a job with a `withdraw` for each registration that `job` made; None when there is none left.

    One that is open already is returned as it is.
    """
    mark = f"undo:{job.id}"
    take_turns(tx, mark)
    if twin := jobs.find_open_twin(tx, job.connection, mark):
        return twin.id
    made = (
        select(row)
        .join(registration, registration.c.id == row.c.registration_id)
        .where(row.c.job_id == job.id, row.c.status == RowStatus.REGISTERED)
        .where(registration.c.job_id == job.id, registration.c.state == RegistrationState.REGISTERED)
    )
    lines = tx.execute(made.order_by(row.c.row)).mappings().all()
    if not lines:
        return None
    undo = jobs.open_job(
        tx,
        connection=job.connection,
        system=job.system,
        roster=f"undo-{job.id}-{job.roster}",
        kept_at="",
        fingerprint=mark,
        options={},
        state=JobState.QUEUED,
        headings=list(job.headings),
        columns=list(job.columns),
        report_dir=job.report_dir,
    )
    tx.execute(insert(row), [_withdrawing(dict(line), undo) for line in lines])
    return undo


def _withdrawing(line: dict[str, Any], undo: int) -> dict[str, Any]:
    kept = ("row", "cells", "candidate_id", "registration_id", "course_key", "lms_registration_id")
    parsed = dump_row(replace(read_row(line["parsed"]), action=Action.WITHDRAW))
    return {
        **{name: line[name] for name in kept},
        "job_id": undo,
        "parsed": parsed,
        "action": Action.WITHDRAW,
        "status": RowStatus.NOT_ATTEMPTED,
    }
