"""Purge jobs that ended long ago: delete their personal data, rosters and own reports; keep their counts."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from worker.errors import UsageError
from worker.intake.accept import report_folder, report_location
from worker.intake.storage import is_address, remove
from worker.jobs import drafts
from worker.ledger import jobs
from worker.ledger.database import now

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.bootstrap import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """How much was purged, and how many jobs were left since their storage could not be reached."""

    jobs: int
    drafts: int
    left: int


def purge(services: Services, seconds: float, warn: Callable[[str], None]) -> Purged:
    """Purge the jobs that ended at least `seconds` ago, and the drafts that were not sent.

    `warn` is called with a sentence for each job that could not be purged.
    """
    with services.ledger.read() as tx:
        old = jobs.ended_before(tx, now() - seconds)
    left = sum(not _purge_job(services, job_id, stored_path, warn) for job_id, stored_path in old)
    if old:
        services.ledger.vacuum()
    unsent = drafts.remove_old(services, min(seconds, drafts.MAX_AGE_SECONDS))
    return Purged(jobs=len(old) - left, drafts=unsent, left=left)


def _purge_job(services: Services, job_id: int, stored_path: str, warn: Callable[[str], None]) -> bool:
    """Purge one job; False, with a warning, when an address cannot be reached: the job then stays."""
    try:
        with services.ledger.write() as tx:
            jobs.purge_job(tx, job_id)
            if stored_path and not jobs.is_roster_in_use(tx, stored_path):
                _remove(stored_path)
            if is_address(services.store):
                remove(report_location(services.store, job_id))
    except UsageError as error:
        warn(f"Job {job_id} was not purged: {error}")
        return False
    shutil.rmtree(report_folder(services.files, job_id), ignore_errors=True)
    return True


def _remove(place: str) -> None:
    if is_address(place):
        remove(place)
    else:
        Path(place).unlink(missing_ok=True)
