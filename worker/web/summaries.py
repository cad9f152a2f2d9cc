"""The summaries of jobs in the API: those of `summary.json`, with addresses in place of paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.errors import UnknownJob
from worker.jobs import lifecycle
from worker.ledger import jobs
from worker.model import Verdict
from worker.reports import gather
from worker.reports.kinds import ReportKind
from worker.reports.wording import for_api

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.bootstrap import Services
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.reports.lines import Summary

#: The largest id and row number in both databases.
MAX_ID = 2**31 - 1


def job_of(tx: Transaction, job_id: int) -> Job:
    """Return a job. Raises UnknownJob, also for a number that is too large."""
    if job_id > MAX_ID:
        raise UnknownJob(f"There is no job {job_id}")
    return lifecycle.get_job(tx, job_id)


def summary_of(services: Services, job: Job | int, tx: Transaction | None = None) -> dict[str, Any]:
    """Return the summary of a job; raises UnknownJob."""
    if tx is None:
        with services.ledger.read() as own:
            return summary_of(services, job, own)
    job = job_of(tx, job) if isinstance(job, int) else job
    return _to_json(job, gather.summarise(tx, job))


def _to_json(job: Job, summary: Summary) -> dict[str, Any]:
    return {
        **summary.to_json(),
        "reason": for_api(summary.reason) if summary.reason else None,
        "warnings": [for_api(warning) for warning in summary.warnings],
        "reports": [f"/api/jobs/{job.id}/{kind}" for kind in _kinds_of(job, summary)],
    }


def _kinds_of(job: Job, summary: Summary) -> list[ReportKind]:
    """Return the files of a job's report that can be downloaded now."""
    if not summary.total or job.purged_at is not None:
        return []
    kinds = [kind for kind in ReportKind if not kind.is_partial]
    if summary.not_done:
        kinds.insert(kinds.index(ReportKind.SUMMARY), ReportKind.FAILED)
    if (summary.verified or {}).get(Verdict.DIFFERS, 0):
        kinds.insert(kinds.index(ReportKind.SUMMARY), ReportKind.DIFFERS)
    return kinds


def summaries(services: Services, limit: int, before: int | None) -> list[dict[str, Any]]:
    """Return the summaries of the newest jobs, newest first."""
    with services.ledger.read() as tx:
        return summaries_of(tx, jobs.list_jobs(tx, limit, before=before))


def summaries_of(tx: Transaction, listed: Sequence[Job]) -> list[dict[str, Any]]:
    """Return the summaries of jobs, with as many statements for many as for one."""
    return [_to_json(job, summary) for job, summary in zip(listed, gather.summarise_all(tx, listed), strict=True)]
