"""Remove what says who somebody is; counts, codes and the hashes by which people are known again stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import null, select, update

from worker.ledger.database import now
from worker.ledger.schema import job, row
from worker.model import ENDED

if TYPE_CHECKING:
    from sqlalchemy import Connection


def purge_job(tx: Connection, job_id: int) -> None:
    """Empty the rows of a job: cells, what was understood of them, and sentences in which a name may stand."""
    emptied = {"cells": [], "parsed": null(), "error": "", "column": ""}
    tx.execute(update(row).where(row.c.job_id == job_id).values(**emptied))
    tx.execute(update(job).where(job.c.id == job_id).values(purged_at=now(), notes=[], kept_at=""))


def ended_before(tx: Connection, moment: float) -> list[tuple[int, str]]:
    """Return (job, where its roster is kept) of the jobs that ended before a moment and were not purged."""
    old = select(job.c.id, job.c.kept_at).where(
        job.c.state.in_([state.value for state in ENDED]), job.c.created_at < moment, job.c.purged_at.is_(None)
    )
    late = job.c.finished_at.is_(None) | (job.c.finished_at < moment)
    return [(line.id, line.kept_at) for line in tx.execute(old.where(late).order_by(job.c.id))]


def is_kept_for_another(tx: Connection, kept_at: str) -> bool:
    """Tell whether a kept roster belongs to a job that was not purged."""
    return tx.execute(select(job.c.id).where(job.c.kept_at == kept_at).limit(1)).first() is not None
