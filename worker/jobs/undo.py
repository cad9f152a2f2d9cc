"""Undo a job: another job that withdraws exactly what it registered, and nothing that was there before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.errors import UsageError
from worker.jobs import lifecycle
from worker.ledger import undoing
from worker.model import Action

if TYPE_CHECKING:
    from worker.ledger.database import Transaction
    from worker.model import RowRules


def open_undo(tx: Transaction, job_id: int, rules: RowRules) -> int:
    """Open the job that withdraws what `job_id` registered and return its id.

    Raises UsageError when the LMS cannot withdraw, the job is still running, or there is nothing to undo.
    """
    job = lifecycle.get_unpurged_job(tx, job_id)
    if Action.WITHDRAW not in rules.actions:
        system = job.system.capitalize()
        raise UsageError(f"{system} documents no way to withdraw a registration: job {job_id} cannot be undone")
    if not job.has_ended and not job.state.is_idle:
        raise UsageError(f"Job {job_id} is {job.state}; `roster pause {job_id}` or `roster cancel {job_id}` first")
    undo = undoing.open_undo(tx, job)
    if undo is None:
        raise UsageError(f"Job {job_id} has no registration left that it made: there is nothing to undo")
    return undo
