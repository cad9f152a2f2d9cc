"""Open a job for each due schedule exactly once, even with concurrent or crashing sweeps.

A run is claimed before its roster is fetched; the job is opened in the transaction that sets the next run.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import structlog

from worker.errors import LedgerError, RosterError, StaleClaim, UnreadableSource
from worker.ledger import jobs, schedules
from worker.ledger.database import now
from worker.ledger.sources import SourceProblem
from worker.model import Driver
from worker.safe_errors import log_and_continue
from worker.schedules import arrivals, source
from worker.schedules.cron import next_run
from worker.schedules.opening import open_job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.bootstrap import Services
    from worker.jobs.submission import Submission
    from worker.ledger.database import Transaction
    from worker.ledger.schedules import Schedule
    from worker.schedules.arrivals import Sighting

#: A run that begins within this after its time was not missed (seconds).
GRACE_SECONDS = 300.0
#: A file is complete when it has not changed for SETTLE_SECONDS; a run fails when it grows for MAX_GROWTH_SECONDS.
SETTLE_SECONDS, MAX_GROWTH_SECONDS = 5.0, 600.0
log = structlog.get_logger("roster")


def run_due(services: Services) -> None:
    """Open the jobs of due schedules; one that cannot run records why and stops no other one."""
    with services.ledger.read() as tx:
        due = schedules.due(tx, now())
    for run in due:
        with log_and_continue("schedule", schedule=run.name):
            _run_schedule(services, run)


def _run_schedule(services: Services, run: Schedule) -> None:
    at = now()
    if run.missed == schedules.SKIP and at - run.next_at > GRACE_SECONDS:
        when = datetime.fromtimestamp(run.next_at, ZoneInfo(run.zone))
        _record_failure(
            services,
            run,
            f"The run of {when:%Y-%m-%d %H:%M} was missed (no process was running) and skipped",
            SourceProblem.MISSED,
        )
        return
    with services.ledger.write() as tx:
        if not schedules.claim(tx, run, services.owner):
            return
    try:
        growing = _check_source(run, at)
        if growing is not None:
            with services.ledger.write() as tx:
                schedules.release(tx, run, services.owner, growing)
            return
        submitted = _open_job(services, run)
    except StaleClaim:
        return
    except LedgerError:
        raise
    except (RosterError, OSError) as error:
        _record_failure(services, run, str(error), arrivals.problem_of(error))
        return
    log.info("schedule run", schedule=run.name, job=submitted.job_id, duplicate=submitted.duplicate)


def _check_source(run: Schedule, at: float) -> Mapping[str, Any] | None:
    """Return what was found, to compare at the next sweep; None when the file is complete.

    Raises MissingFile or UnreadableSource.
    """
    found = source.find_file(source.parse_source(run.source))
    if found is None:
        return None
    seen = {"path": found.path, "size": found.size, "changed": found.modified_at}
    before = dict(run.last_seen_file or {})
    since = before.pop("at", at)
    first = before.pop("first", at)
    if before == seen and at - since >= SETTLE_SECONDS:
        return None
    if at - first > MAX_GROWTH_SECONDS:
        raise UnreadableSource(f"{found.path} was still growing after {MAX_GROWTH_SECONDS / 60:.0f} minutes")
    return {**seen, "at": since if before == seen else at, "first": first}


def _open_job(services: Services, run: Schedule) -> Submission:
    def record(tx: Transaction, submitted: Submission, found: Sighting) -> None:
        error = _reason_it_stopped(tx, submitted) if submitted.duplicate else ""
        if not schedules.finish_run(tx, run, _next_run_at(run), job_id=submitted.job_id, error=error):
            raise StaleClaim("Another process has run this schedule")
        arrivals.record_run(tx, run, found)

    return open_job(services, run, Driver.QUEUE, record)


def _reason_it_stopped(tx: Transaction, submitted: Submission) -> str:
    """Return why the open job of the same roster does not run; empty when it does."""
    state = jobs.state_of(tx, submitted.job_id)
    running = state is not None and (state.is_sending or state.is_preparing)
    return "" if running else f"No new job was started: {submitted.message}"


def skip_run(services: Services, run: Schedule, reason: str) -> None:
    """Leave a due run out; the schedule says why."""
    with services.ledger.write() as tx:
        schedules.finish_run(tx, run, _next_run_at(run), error=reason)


def _record_failure(services: Services, run: Schedule, error: str, problem: SourceProblem) -> None:
    with services.ledger.write() as tx:
        moved = schedules.finish_run(tx, run, _next_run_at(run), error=error)
        if moved:
            arrivals.record_failure(tx, run, problem, error)
    if moved:
        log.warning("schedule opened no job", schedule=run.name)


def _next_run_at(run: Schedule) -> float:
    return next_run(run.cron, run.zone, max(now(), run.next_at))
