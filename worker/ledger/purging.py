"""What purging removes from the ledger: everything that can name people. What stays is counts, ids and digests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, null, or_, select, update

from worker.ledger import report_files
from worker.ledger.database import now
from worker.ledger.jobs import as_job
from worker.ledger.schema import dropped_file, job, key_value, message, roster_source, row, schedule
from worker.ledger.sources import SourceProblem
from worker.model import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job

#: Options that are no text of a person's.
_KEPT_OPTIONS = frozenset({"strict", "again", "update_existing", "start_row", "max_rows"})
_MOVING = [state.value for state in JobState if state.is_moving and not state.is_idle]
_MAPS = "map:"


def jobs_before(tx: Transaction, moment: float) -> list[Job]:
    """Return the unpurged jobs that ended before a moment, or were opened before it and have not ended."""
    late = or_(job.c.finished_at.is_(None), job.c.finished_at < moment)
    old = select(job).where(job.c.created_at < moment, job.c.purged_at.is_(None), late)
    return [as_job(record) for record in tx.execute(old.order_by(job.c.id))]


def moving_jobs(tx: Transaction) -> list[int]:
    """Return the jobs that are being read or sent, or wait for the LMS."""
    return list(tx.execute(select(job.c.id).where(job.c.state.in_(_MOVING)).order_by(job.c.id)).scalars())


def purge_job(tx: Transaction, job_id: int, *, report_dir: str) -> None:
    """Remove from a job and its rows what can name people; `report_dir` is the folder that only this job has.

    What stays: its number, states and times, counts, codes, the LMS's ids, and the digest of its roster.
    """
    emptied = {"cells": [], "parsed": null(), "error": "", "note": "", "column": ""}
    tx.execute(update(row).where(row.c.job_id == job_id).values(**emptied))
    options = tx.execute(select(job.c.options).where(job.c.id == job_id)).scalar() or {}
    values: dict[str, Any] = {
        "purged_at": now(),
        "roster": f"purged-{job_id}",
        "stored_path": "",
        "reason": "",
        "options": {name: value for name, value in options.items() if name in _KEPT_OPTIONS},
        "headings": [],
        "columns": [],
        "notes": [],
        "report_dir": report_dir,
        "report_key": None,
    }
    report_files.forget_job(tx, job_id)
    tx.execute(update(job).where(job.c.id == job_id).values(**values))
    tx.execute(delete(dropped_file).where(dropped_file.c.job_id == job_id))
    tx.execute(update(message).where(message.c.job_id == job_id).values(error=""))


def forget_maps(tx: Transaction, mapping: Mapping[str, str], moment: float) -> None:
    """Delete the saved maps that a purged job used, unless they are newer or another job or schedule uses them."""
    if not mapping:
        return
    old = select(key_value.c.key, key_value.c.value).where(
        key_value.c.key.startswith(_MAPS, autoescape=True), key_value.c.updated_at < moment
    )
    same = [record.key for record in tx.execute(old) if record.value == mapping]
    if not same:
        return
    kept = select(job.c.options).where(job.c.purged_at.is_(None))
    in_use = [*tx.execute(kept).scalars(), *tx.execute(select(schedule.c.options)).scalars()]
    if not any((options or {}).get("mapping") == mapping for options in in_use):
        tx.execute(delete(key_value).where(key_value.c.key.in_(same)))


def forget_source_files(tx: Transaction, moment: float) -> None:
    """Take the names of files out of what was wrong with a source before a moment."""
    old = select(roster_source).where(roster_source.c.since < moment, roster_source.c.reason != "")
    for record in tx.execute(old).all():
        problem = SourceProblem(record.problem) if record.problem else None
        if problem is None and record.notified_since is None:
            reason = ""
        elif problem is not None and problem.is_stale:
            reason = record.reason.partition(": ")[0]
        else:
            continue
        tx.execute(update(roster_source).where(roster_source.c.name == record.name).values(reason=reason))
