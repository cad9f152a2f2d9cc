"""A run of a schedule that a person asks for; the next one is due as planned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from worker.intake.accept import Origin
from worker.intake.options import Options
from worker.jobs import lifecycle, submission
from worker.ledger import accounts, schedules
from worker.model import Driver
from worker.schedules import arrivals, source
from worker.schedules.manage import get_schedule

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.jobs.submission import Submission
    from worker.ledger.database import Transaction
    from worker.model import Actor


def run_now(services: Services, name: str, by: Actor, driver: Driver) -> Submission:
    """Open the job of a schedule with the roster that its source has now, also while it is paused.

    Raises UnknownSchedule, or UsageError when there is no roster, or it cannot be read.
    """
    with services.ledger.read() as tx:
        run = get_schedule(tx, name)
    connection = services.connection(run.connection)

    def record(tx: Transaction, submitted: Submission) -> None:
        schedules.record_extra_run(tx, run.id, submitted.job_id)
        arrivals.record_run(tx, run, found, is_planned=False)
        accounts.add_audit_entry(tx, actor=by, action="schedule run", job_id=submitted.job_id, detail=name)

    def take_over(tx: Transaction, job_id: int) -> str:
        if driver is Driver.QUEUE:
            return lifecycle.take_over(tx, job_id)
        return f"continuing job {lifecycle.resume(tx, job_id).id}"

    parsed = source.parse_source(run.source)
    with source.local_copy(parsed, services.files) as roster:
        found = arrivals.sight(parsed, roster)
        return submission.submit(
            services,
            roster.path,
            name=roster.name,
            connection=connection,
            options=Options(**run.options),
            report_dir=Path(run.report_dir) if run.report_dir else None,
            origin=Origin(channel=f"schedule:{name}", driver=driver),
            record=record,
            take_over=take_over,
        )
