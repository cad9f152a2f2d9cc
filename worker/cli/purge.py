"""`purge`: remove the personal data of jobs that ended long ago."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli import output
from worker.errors import UsageError
from worker.intake.accept import own_folder, own_place
from worker.intake.storage import is_address, remove
from worker.jobs import drafts as draft_files
from worker.ledger import jobs
from worker.ledger.database import now

if TYPE_CHECKING:
    from worker.bootstrap import Services

_DAY = 86_400.0
_UNITS = {"d": _DAY, "w": 7 * _DAY}


def purge(services: Services, older_than: str) -> int:
    """Empty the rows of the jobs that ended so long ago and delete their rosters, and drafts that nobody sent."""
    seconds = seconds_of(older_than)
    moment = now() - seconds
    with services.ledger.read() as tx:
        old = jobs.ended_before(tx, moment)
    left = [job_id for job_id, kept_at in old if not _purge_one(services, job_id, kept_at)]
    if old:
        services.ledger.overwrite()
    drafts = draft_files.remove_old(services, min(seconds, draft_files.KEPT_SECONDS))
    unsent = f", {drafts} unsent drafts of the page removed" if drafts else ""
    done = len(old) - len(left)
    click.echo(f"{done} jobs purged{unsent}. Reports that went elsewhere are yours: delete them where they are")
    return output.NOTHING_SENT if left else output.DONE


def _purge_one(services: Services, job_id: int, kept_at: str) -> bool:
    """Purge a job and what is kept of it; False, and said, when an address is away: the job then stays."""
    try:
        with services.ledger.write() as tx:
            jobs.purge_job(tx, job_id)
            if kept_at and not jobs.is_kept_for_another(tx, kept_at):
                _remove(kept_at)
            if is_address(services.store):
                remove(own_place(services.store, job_id))
    except UsageError as error:
        click.echo(f"Job {job_id} was not purged: {error}; run `roster purge` again", err=True)
        return False
    shutil.rmtree(own_folder(services.files, job_id), ignore_errors=True)
    return True


def _remove(place: str) -> None:
    if is_address(place):
        remove(place)
    else:
        Path(place).unlink(missing_ok=True)


def seconds_of(span: str) -> float:
    """Return a span such as 90d or 12w in seconds; raises UsageError."""
    match = re.fullmatch(r"(\d+)\s*([dw])", span.strip(), re.IGNORECASE)
    if match is None:
        raise UsageError(f"--older-than {span!r} is no span; write days or weeks, for example 90d or 12w")
    return int(match[1]) * _UNITS[match[2].lower()]
