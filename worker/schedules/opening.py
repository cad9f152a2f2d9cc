"""Open the job of a schedule with the roster that its source has now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from worker.intake.accept import Origin
from worker.intake.options import Options
from worker.jobs import lifecycle, submission
from worker.schedules import arrivals, source

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.bootstrap import Services
    from worker.jobs.submission import Submission
    from worker.ledger.database import Transaction
    from worker.ledger.schedules import Schedule
    from worker.model import Driver
    from worker.schedules.arrivals import Sighting


def open_job(
    services: Services,
    run: Schedule,
    driver: Driver,
    record: Callable[[Transaction, Submission, Sighting], None],
    take_over: Callable[[Transaction, int], str] = lifecycle.take_over,
) -> Submission:
    """Open the job of a schedule; `record` is called in the same transaction, with the file that was found.

    `take_over` is called with the open job that has the same roster, if any. Raises RosterError or UsageError when
    there is no roster, or it cannot be read.
    """
    connection = services.connection(run.connection)
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
            origin=Origin(channel=f"schedule:{run.name}", driver=driver),
            record=lambda tx, submitted: record(tx, submitted, found),
            take_over=take_over,
        )
