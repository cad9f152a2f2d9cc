"""Open the jobs of the schedules whose time has come, each once, whoever looks and whoever dies meanwhile.

A run is claimed before its roster is fetched; the job is opened in the transaction that moves the schedule on.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import structlog

from worker.errors import LedgerError, RosterError, StaleClaim, UsageError
from worker.intake.accept import Arrival, Options, accept
from worker.jobs import lifecycle
from worker.ledger import jobs, schedules
from worker.ledger.database import now
from worker.model import AT_WORK, TO_READ, Driver
from worker.safe_errors import left_to_next_sweep
from worker.schedules import source
from worker.schedules.cron import next_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.bootstrap import Services
    from worker.intake.accept import Accepted
    from worker.ledger.database import Transaction
    from worker.ledger.schedules import Schedule

#: A run that begins within this of its time was not missed (seconds).
GRACE_SECONDS = 300.0
#: A file is whole when its size and time have not changed for so long; one that grows for so long is given up.
SETTLE_SECONDS, GIVE_UP_SECONDS = 5.0, 600.0
log = structlog.get_logger("roster")


def run_due(services: Services) -> None:
    """Open the jobs of what is due; a schedule that cannot run says why, and stops no other one."""
    with services.ledger.read() as tx:
        due = schedules.due(tx, now())
    for run in due:
        with left_to_next_sweep("schedule", schedule=run.name):
            _run(services, run)


def _run(services: Services, run: Schedule) -> None:
    at = now()
    if run.missed == schedules.SKIP and at - run.next_at > GRACE_SECONDS:
        when = datetime.fromtimestamp(run.next_at, ZoneInfo(run.zone))
        _give_up(services, run, f"The run of {when:%Y-%m-%d %H:%M} was missed, since nothing was up, and skipped")
        return
    with services.ledger.write() as tx:
        if not schedules.claim(tx, run, services.owner):
            return
    try:
        look = _look(run, at)
        if look is not None:
            with services.ledger.write() as tx:
                schedules.give_back(tx, run, services.owner, look)
            return
        accepted = _open_job(services, run)
    except StaleClaim:
        return
    except LedgerError:
        raise
    except (RosterError, OSError) as error:
        _give_up(services, run, str(error))
        return
    log.info("schedule run", schedule=run.name, job=accepted.job_id, twin=accepted.twin)


def _look(run: Schedule, at: float) -> Mapping[str, Any] | None:
    """Return what to look for again at the next sweep; None when the roster is whole. Raises UsageError."""
    found = source.glimpse(source.parse(run.source))
    if found is None:
        return None
    seen = {"path": found.path, "size": found.size, "changed": found.changed}
    before = dict(run.look or {})
    since = before.pop("at", at)
    first = before.pop("first", at)
    if before == seen and at - since >= SETTLE_SECONDS:
        return None
    if at - first > GIVE_UP_SECONDS:
        raise UsageError(f"{found.path} went on growing for {GIVE_UP_SECONDS / 60:.0f} minutes")
    return {**seen, "at": since if before == seen else at, "first": first}


def _open_job(services: Services, run: Schedule) -> Accepted:
    connection = services.connection(run.connection)

    def note(tx: Transaction, accepted: Accepted) -> None:
        error = _go_on_with(tx, accepted.job_id) if accepted.twin else ""
        if not schedules.move_on(tx, run, _next(run), job_id=accepted.job_id, error=error):
            raise StaleClaim("Another process has run this schedule")

    with source.at_hand(source.parse(run.source), services.files) as roster:
        return accept(
            services.ledger,
            roster.path,
            name=roster.name,
            connection=connection,
            options=Options(**run.options),
            store=services.store,
            report_dir=Path(run.report_dir),
            arrival=Arrival(origin=f"schedule:{run.name}", driver=Driver.QUEUE),
            note=note,
        )


def _go_on_with(tx: Transaction, job_id: int) -> str:
    """Have the job of the same roster go on; return why it does not."""
    told = lifecycle.adopt(tx, job_id)
    job = jobs.find_job(tx, job_id)
    at_work = job is not None and job.state in {*AT_WORK, *TO_READ}
    return "" if at_work else f"Nothing new was begun: {told}"


def _give_up(services: Services, run: Schedule, error: str) -> None:
    with services.ledger.write() as tx:
        moved = schedules.move_on(tx, run, _next(run), error=error)
    if moved:
        log.warning("schedule opened no job", schedule=run.name)


def _next(run: Schedule) -> float:
    return next_run(run.cron, run.zone, max(now(), run.next_at))
