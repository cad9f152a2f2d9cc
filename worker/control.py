"""Hand a job to those who work in the background: the workers behind the broker, or else `roster serve` itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from worker import lms
from worker.intake.accept import accept
from worker.jobs import lifecycle
from worker.jobs.undo import open_undo
from worker.ledger import queue
from worker.ledger.database import now
from worker.model import Driver

if TYPE_CHECKING:
    from pathlib import Path

    from worker.bootstrap import Services
    from worker.intake.accept import Accepted, Arrival, Options
    from worker.ledger.database import Transaction
    from worker.settings import Connection

#: Told the job that an act was about or has opened, in the act's transaction.
Note = Callable[["Transaction", int], None]
#: `roster serve` without a broker sweeps every few seconds; one that did not for so long is not at work (seconds).
AT_WORK_SECONDS = 60.0


def _no_note(_tx: Transaction, _job_id: int) -> None:
    """Note nothing."""


def receive(
    services: Services,
    file: Path,
    *,
    name: str,
    connection: Connection,
    options: Options,
    report_dir: Path | None,
    arrival: Arrival,
    note: Callable[[Transaction, Accepted], None] | None = None,
) -> Accepted:
    """Keep a roster, open its job and have it worked off; a twin at work already is returned as it stands.

    Without `report_dir` the reports go to the job's own folder below `files`. What these functions take as `note`
    is called in the transaction that does what they are for.
    """
    accepted = accept(
        services.ledger,
        file,
        name=name,
        connection=connection,
        options=options,
        store=services.store,
        report_dir=report_dir,
        arrival=replace(arrival, driver=Driver.QUEUE),
        note=note,
    )
    if not accepted.twin and arrival.start is None:
        start(services, accepted.job_id)
    return accepted


def adopt(services: Services, job_id: int) -> str:
    """Go on with a job that a command left behind, its roster being dropped again; return what to tell them."""
    with services.ledger.write() as tx:
        told = lifecycle.adopt(tx, job_id)
    start(services, job_id)
    return told


def go_on(services: Services, job_id: int, note: Note = _no_note) -> str:
    """Go on with a job that stopped. Return what to tell the person; raises UsageError when it cannot go on."""
    with services.ledger.write() as tx:
        told = lifecycle.hand_to_queue(tx, job_id)
        note(tx, job_id)
    start(services, job_id)
    return told


def undo(services: Services, job_id: int, note: Note = _no_note) -> int:
    """Open the job that withdraws what `job_id` registered, and return its id."""
    with services.ledger.write() as tx:
        rules = lms.rules_of(services.connection(lifecycle.get_job(tx, job_id).connection))
        undoing = open_undo(tx, job_id, rules)
        lifecycle.hand_to_queue(tx, undoing)
        note(tx, undoing)
    start(services, undoing)
    return undoing


def retry(services: Services, job_id: int, note: Note = _no_note) -> str:
    """Send again the rows of a job for which nothing was done; leave one that has none as it is.

    Return what to tell the person; raises UsageError when it cannot be tried again.
    """
    with services.ledger.write() as tx:
        note(tx, job_id)
        if lifecycle.has_nothing_to_retry(tx, job_id):
            return f"Job {job_id} has no row for which nothing was done: there is nothing to send again"
        count = lifecycle.reopen(tx, job_id)
        lifecycle.hand_to_queue(tx, job_id)
    start(services, job_id)
    return f"Job {job_id}: {count} rows will be sent again"


def start(services: Services, job_id: int) -> bool:
    """Ring for a job; False when the broker is away: the job then begins with a later sweep."""
    if not services.settings.broker:
        return True
    from worker import dispatch  # noqa: PLC0415 - 300 ms that only a queue costs

    return dispatch.start(services, job_id)


def anybody_at_work(services: Services) -> bool:
    """Tell whether somebody works in the background, as far as the ledger knows."""
    with services.ledger.read() as tx:
        return now() - queue.last_swept(tx) < AT_WORK_SECONDS
