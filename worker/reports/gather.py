"""Read report lines and totals from the ledger, in roster order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from worker.ledger import jobs, relations, rows
from worker.ledger.chunks import chunks
from worker.ledger.database import now
from worker.model import JobState, Relation, RowStage, RowStatus
from worker.reports.lines import ReportLine, Summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.ledger.relations import Related
    from worker.ledger.rows import ReportedRow, RowCounts, StageCounts
    from worker.model import Verdict

#: Jobs in one statement; the API and the page list fewer.
_JOBS = 2_000


def summarise(tx: Transaction, job: Job) -> Summary:
    """Return a job's current totals. Raises ValueError when they do not add up."""
    return summarise_all(tx, [job])[0]


def summarise_all(tx: Transaction, listed: Sequence[Job]) -> list[Summary]:
    """Return the current totals of jobs, with as many statements for many as for one; raises as for one."""
    return [summary for some in chunks(listed, _JOBS) for summary in _summarise(tx, some)]


def _summarise(tx: Transaction, some: Sequence[Job]) -> list[Summary]:
    ids = [job.id for job in some]
    related = relations.related_of(tx, ids)
    undone = [job_id for job_id in ids if related[job_id].jobs[Relation.UNDONE_BY]]
    found = _Found(
        rows=rows.count_rows_of(tx, ids),
        stages=rows.count_stages_of(tx, ids),
        related=related,
        settled=relations.count_settled_of(tx, ids),
        withdrawn=relations.count_withdrawn_of(tx, undone),
        calls=jobs.calls_of_all(tx, ids),
        verdicts=rows.count_verdicts_of(tx, [job.id for job in some if job.verified_at]),
    )
    return [_summary(job, found) for job in some]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What the ledger has of jobs, by their numbers."""

    rows: dict[int, RowCounts]
    stages: dict[int, StageCounts]
    related: dict[int, Related]
    settled: dict[int, dict[RowStatus, int]]
    withdrawn: dict[int, int]
    calls: dict[int, dict[str, int]]
    #: Only of jobs that were verified.
    verdicts: dict[int, dict[Verdict, int]]


def _summary(job: Job, found: _Found) -> Summary:
    counted, stages, related = found.rows[job.id], found.stages[job.id], found.related[job.id]
    ended = job.finished_at or now()
    return Summary(
        job=job.id,
        roster=job.roster,
        connection=job.connection,
        state=job.state,
        total=counted.total,
        by_status=counted.by_status,
        stages=stages.by_stage,
        unsent_created=stages.unsent_created,
        unsent_found=stages.unsent_found,
        related=related.jobs,
        related_without_effect=related.without_effect,
        settled=found.settled[job.id],
        withdrawn_later=found.withdrawn.get(job.id, 0),
        candidates_created=counted.candidates_created,
        registrations_created=counted.registrations_created,
        calls=found.calls[job.id],
        rate_limited=job.rate_limited,
        waited_seconds=round(job.waited_seconds, 3),
        bisected_batches=job.bisected_batches,
        started_at=_time(job.started_at),
        finished_at=_time(job.finished_at),
        duration_seconds=round(ended - job.started_at, 3) if job.started_at else None,
        reason=job.reason,
        not_before=_time(job.not_before) if job.state in {JobState.WAITING, JobState.SCHEDULED} else None,
        warnings=tuple(job.notes),
        is_purged=job.purged_at is not None,
        verified=found.verdicts.get(job.id),
    )


def report_lines(tx: Transaction, job: Job) -> Iterator[ReportLine]:
    """Yield one line per roster row."""
    for row in rows.reported_rows(tx, job.id):
        yield _line(row, job)


def _line(row: ReportedRow, job: Job) -> ReportLine:
    error, code = row.error, row.code
    if row.status is RowStatus.NOT_ATTEMPTED and not error:
        is_created = row.stage is RowStage.CANDIDATE_CREATED
        what = "Person in the LMS, not registered by this job" if is_created else "Not sent"
        error = f"{what}: {job.reason}" if job.reason else what
        code = code or "not_sent"
    if row.settled is not None:
        how, by = row.settled
        error = f"{error.rstrip('.')}. {how.value} job {by}" if error else f"{how.value} job {by}"
    return ReportLine(
        cells=tuple(row.cells),
        row=row.row,
        status=row.status,
        error=error,
        error_code=code,
        column=row.column,
        candidate_id=row.candidate_id or "",
        registration_id=row.registration_id or "",
        created=row.created,
        attempts=row.attempts,
        http_status=row.http_status,
        when=_time(row.changed_at),
        stage=row.stage,
        job=job.id,
        differs=row.differs,
    )


def _time(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
