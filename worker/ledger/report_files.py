"""The files that reports were written to, by their digests: a file that somebody edited is never replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from worker.ledger.database import upsert
from worker.ledger.schema import job, report_file

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from worker.ledger.database import Transaction


def key_of(job_id: int, report_key: str | None) -> str:
    """Return under which key the reports of a job are recorded."""
    return report_key or str(job_id)


def known_digests(tx: Transaction, path: str, report_key: str) -> set[str]:
    """Return the digests that a report of this roster and sheet may have at a path."""
    mine = select(report_file.c.digest).where(report_file.c.path == path, report_file.c.report_key == report_key)
    return set(tx.execute(mine).scalars())


def add_digests(tx: Transaction, report_key: str, digests: Mapping[str, str]) -> None:
    """Record, by path, the digests of files that are about to be moved into their places."""
    for path, digest in sorted(digests.items()):
        # Another process may write the very same report at this moment.
        owner = {"report_key": report_key}
        upsert(tx, report_file, {"path": path, "digest": digest}, owner, owner)


def keep_only(tx: Transaction, digests: Mapping[str, str], removed: Collection[str]) -> None:
    """Forget what was at these paths before, and all of the files that were removed."""
    for path, digest in digests.items():
        tx.execute(delete(report_file).where(report_file.c.path == path, report_file.c.digest != digest))
    tx.execute(delete(report_file).where(report_file.c.path.in_(list(removed))))


def forget_job(tx: Transaction, job_id: int) -> None:
    """Forget where the reports of a purged job are, whose names are those of rosters.

    What is still needed for another job of the same roster and sheet stays until that is purged too.
    """
    report_key = tx.execute(select(job.c.report_key).where(job.c.id == job_id)).scalar()
    others = select(job.c.id).where(job.c.report_key == report_key, job.c.id != job_id, job.c.purged_at.is_(None))
    if report_key is None or tx.execute(others.limit(1)).first() is None:
        tx.execute(delete(report_file).where(report_file.c.report_key == key_of(job_id, report_key)))
