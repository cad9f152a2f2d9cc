"""What cancelling or undoing a job would do, in numbers. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker import lms
from worker.jobs import lifecycle
from worker.jobs.estimate import plan_of
from worker.jobs.undo import open_undo
from worker.ledger import rows
from worker.model import RowStatus

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.jobs.estimate import Plan
    from worker.ledger.database import Transaction
    from worker.model import JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelDryRun:
    """What cancelling a job would do."""

    job_id: int
    state: JobState
    #: Rows, how many of them have an outcome, and how many would never be sent.
    total: int
    processed: int
    not_sent: int

    def to_json(self) -> dict[str, object]:
        """Return it as JSON."""
        return {
            "job": self.job_id,
            "dry_run": True,
            "state": self.state,
            "total": self.total,
            "processed": self.processed,
            "would_not_be_sent": self.not_sent,
        }


def cancel(tx: Transaction, job_id: int) -> CancelDryRun:
    """Return what cancelling a job would do now; calls in progress would finish. Raises UsageError."""
    job = lifecycle.job_to_cancel(tx, job_id)
    counts = rows.count_rows(tx, job_id)
    unsent = counts.by_status[RowStatus.NOT_ATTEMPTED]
    return CancelDryRun(
        job_id=job_id, state=job.state, total=counts.total, processed=counts.total - unsent, not_sent=unsent
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoDryRun:
    """What undoing a job would do."""

    job_id: int
    connection: str
    #: How many registrations would be withdrawn.
    registrations: int
    plan: Plan

    def to_json(self) -> dict[str, object]:
        """Return it as JSON."""
        return {
            "job": self.job_id,
            "dry_run": True,
            "connection": self.connection,
            "would_withdraw": self.registrations,
            "planned_calls": self.plan.calls.most,
            "planned_seconds": None if self.plan.seconds is None else round(self.plan.seconds, 3),
        }


def undo(services: Services, job_id: int) -> UndoDryRun:
    """Return what undoing a job would do now. Raises UsageError when nothing can be withdrawn."""
    with services.ledger.dry_run() as tx:
        connection = services.connection(lifecycle.get_job(tx, job_id).connection)
        undoing = open_undo(tx, job_id, lms.rules_of(connection))
        return UndoDryRun(
            job_id=job_id,
            connection=connection.name,
            registrations=rows.count_rows(tx, undoing).by_status[RowStatus.NOT_ATTEMPTED],
            plan=plan_of(tx, services, undoing, connection),
        )
