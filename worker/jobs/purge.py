"""Purge old jobs: delete what can name people in the ledger, their rosters and own reports; keep their counts."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from worker.bootstrap import make_uploads_private
from worker.errors import UsageError
from worker.folders import archive
from worker.intake.accept import report_folder, report_location
from worker.intake.storage import is_address, remove
from worker.jobs import drafts, lifecycle
from worker.ledger import accounts, jobs, purging, rows
from worker.ledger.database import now
from worker.model import JobState, RowStatus
from worker.private_files import clear_scratch
from worker.reports.labels import STATE_INFO

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.bootstrap import Services
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job

#: States in which a job waits for a person, who may never come.
WAITING = frozenset({JobState.PAUSED, JobState.HELD})


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftJob:
    """An old job that is not purged, and why."""

    job_id: int
    #: The end of a sentence that begins with the job.
    reason: str
    #: Whether it waits for a person, so that it is purged when such jobs are wanted too.
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgePlan:
    """What a purge would do."""

    jobs: tuple[int, ...]
    left: tuple[LeftJob, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What was purged, and how many jobs were left since their storage could not be reached."""

    jobs: tuple[int, ...]
    left: tuple[LeftJob, ...]
    drafts: int
    unreachable: int


def plan(services: Services, seconds: float, *, held: bool) -> PurgePlan:
    """Return which jobs of at least `seconds` ago can be purged; with `held`, those too that wait for a person."""
    with services.ledger.read() as tx:
        old = [(job, _why_left(tx, job)) for job in purging.jobs_before(tx, now() - seconds)]
    left = [LeftJob(job_id=job.id, reason=why.reason, waits=why.waits) for job, why in old if why]
    taken = [job.id for job, why in old if why is None or (held and why.waits)]
    return PurgePlan(jobs=tuple(taken), left=tuple(each for each in left if each.job_id not in taken))


def count_rows(services: Services, wanted: Sequence[int]) -> int:
    """Return how many rows these jobs have."""
    with services.ledger.read() as tx:
        return sum(rows.count_rows(tx, job_id).total for job_id in wanted)


def _why_left(tx: Transaction, job: Job) -> LeftJob | None:
    """Return why an old job is not purged by itself; None when it is."""
    if job.state in WAITING:
        return LeftJob(job_id=job.id, reason=f"is {job.state} and waits for a person", waits=True)
    if not job.has_ended:
        return LeftJob(job_id=job.id, reason=f"has not ended ({STATE_INFO[job.state].label})")
    in_doubt = rows.count_rows(tx, job.id).by_status[RowStatus.IN_DOUBT]
    if in_doubt:
        of_rows = "1 row" if in_doubt == 1 else f"{in_doubt} rows"
        return LeftJob(job_id=job.id, reason=f"has {of_rows} in doubt, which wait for a person", waits=True)
    return None


def purge(
    services: Services, seconds: float, warn: Callable[[str], None], *, wanted: PurgePlan | None = None
) -> Purged:
    """Purge the jobs of a plan, the drafts that were not sent, and temporary copies of processes that have died.

    `warn` is called with a sentence for each job that could not be purged.
    """
    wanted = wanted or plan(services, seconds, held=False)
    make_uploads_private(services)
    ended, moving = _end_waiting_jobs(services, wanted.jobs)
    purged = [job for job in ended if _purge_job(services, job, now() - seconds, warn)]
    if purged:
        with services.ledger.write() as tx:
            purging.forget_source_files(tx, now() - seconds)
        services.ledger.vacuum()
    with services.ledger.write() as tx:
        accounts.remove_audit_entries(tx, before=now() - services.settings.serve.audit_seconds)
    unsent = drafts.remove_old(services, min(seconds, drafts.MAX_AGE_SECONDS))
    drafts.remove_dead_uploads(services)
    clear_scratch(services.files)
    return Purged(
        jobs=tuple(job.id for job in purged),
        left=(*wanted.left, *moving),
        drafts=unsent,
        unreachable=len(ended) - len(purged),
    )


def _end_waiting_jobs(services: Services, wanted: Sequence[int]) -> tuple[list[Job], list[LeftJob]]:
    """Cancel those jobs that wait for a person, and move their files out of `processing/`.

    Return the jobs that have ended, and those that are still at work.
    """
    ended, moving = [], []
    for job_id in wanted:
        with services.ledger.write() as tx:
            job = lifecycle.get_job(tx, job_id)
            if job.state in WAITING and not job.is_claimed:
                lifecycle.cancel(tx, job_id)
                job = lifecycle.get_job(tx, job_id)
        job = archive.archive_files(services.ledger, job)
        if not job.has_ended:
            moving.append(LeftJob(job_id=job_id, reason=f"is still at work ({STATE_INFO[job.state].label})"))
        elif not all(place.is_archived for place in archive.file_locations(services.ledger, job)):
            moving.append(LeftJob(job_id=job_id, reason="has a file that cannot be moved out of processing/ now"))
        else:
            ended.append(job)
    return ended, moving


def _purge_job(services: Services, job: Job, moment: float, warn: Callable[[str], None]) -> bool:
    """Purge one job; False, with a warning, when an address cannot be reached: the job then stays."""
    try:
        with services.ledger.write() as tx:
            purging.purge_job(tx, job.id, report_dir=report_location(services.store, job.id))
            purging.forget_maps(tx, job.options.get("mapping") or {}, moment)
            if job.stored_path and not jobs.is_roster_in_use(tx, job.stored_path):
                _remove(job.stored_path)
            if is_address(services.store):
                remove(report_location(services.store, job.id))
    except UsageError as error:
        warn(f"Job {job.id} was not purged: {error}")
        return False
    shutil.rmtree(report_folder(services.files, job.id), ignore_errors=True)
    return True


def compact(services: Services) -> None:
    """Rewrite the ledger's tables, so that nothing that was deleted can be read from its files.

    Raises UsageError while a job moves: PostgreSQL locks the tables for as long as it takes.
    """
    refuse_compacting(services)
    services.ledger.compact()


def refuse_compacting(services: Services) -> None:
    """Raise UsageError when the tables cannot be rewritten now."""
    if services.ledger.engine.dialect.name != "postgresql":
        return
    with services.ledger.read() as tx:
        moving = purging.moving_jobs(tx)
    if moving:
        listed = ", ".join(map(str, moving))
        raise UsageError(
            f"Rewriting the ledger's tables locks them, and jobs are at work: {listed}. Nothing was done; wait for "
            "their end, or pause them, then try again"
        )


def _remove(place: str) -> None:
    if is_address(place):
        remove(place)
    else:
        Path(place).unlink(missing_ok=True)
