"""A run of a schedule that a person asks for; the next one is due as planned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.jobs import lifecycle
from worker.ledger import accounts, schedules
from worker.model import Driver
from worker.schedules import arrivals
from worker.schedules.manage import get_schedule
from worker.schedules.opening import open_job

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.jobs.submission import Submission
    from worker.ledger.database import Transaction
    from worker.model import Actor
    from worker.schedules.arrivals import Sighting


def run_now(services: Services, name: str, by: Actor, driver: Driver) -> Submission:
    """Open the job of a schedule with the roster that its source has now, also while it is paused.

    Raises UnknownSchedule, or UsageError when there is no roster, or it cannot be read.
    """
    with services.ledger.read() as tx:
        run = get_schedule(tx, name)

    def record(tx: Transaction, submitted: Submission, found: Sighting) -> None:
        schedules.record_extra_run(tx, run.id, submitted.job_id)
        arrivals.record_run(tx, run, found, is_planned=False)
        accounts.add_audit_entry(tx, actor=by, action="schedule run", job_id=submitted.job_id, detail=name)

    def take_over(tx: Transaction, job_id: int) -> str:
        if driver is Driver.QUEUE:
            return lifecycle.take_over(tx, job_id)
        return f"continuing job {lifecycle.resume(tx, job_id).id}"

    return open_job(services, run, driver, record, take_over)
