"""Open the job of a roster, or take over the open job that has the same one. Changes the ledger; publishes nothing.

The command line, the page and the API come here through `worker.control`, which also publishes the job's first task
message. Drop folders and schedules come here from a sweep, which publishes for every job that it finds open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.intake.accept import accept
from worker.jobs import lifecycle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from worker.bootstrap import Services
    from worker.intake.accept import Accepted, Origin
    from worker.intake.options import Options
    from worker.ledger.database import Transaction
    from worker.settings import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """The job of a submitted roster."""

    job_id: int
    #: Whether an open job had the same bytes and options already; `job_id` is then that job.
    duplicate: bool
    #: What happens to that job now, for a person; empty for a new job.
    message: str = ""


def submit(
    services: Services,
    file: Path,
    *,
    name: str,
    connection: Connection,
    options: Options,
    report_dir: Path | None,
    origin: Origin,
    record: Callable[[Transaction, Submission], None] = lambda _tx, _submission: None,
    take_over: Callable[[Transaction, int], str] = lifecycle.take_over,
) -> Submission:
    """Store a roster and open its job; `take_over` is called with the open job that has the same roster, if any.

    `record` is called in the same transaction; what it raises undoes that. Without `report_dir` the reports go to
    the job's own folder below `files`. Raises UsageError when there is no such file.
    """
    submitted: list[Submission] = []

    def opened(tx: Transaction, accepted: Accepted) -> None:
        message = take_over(tx, accepted.job_id) if accepted.is_duplicate else ""
        submission = Submission(job_id=accepted.job_id, duplicate=accepted.is_duplicate, message=message)
        record(tx, submission)
        submitted.append(submission)

    accept(
        services.ledger,
        file,
        name=name,
        connection=connection,
        options=options,
        store=services.store,
        report_dir=report_dir,
        origin=origin,
        on_accepted=opened,
    )
    return submitted[0]
