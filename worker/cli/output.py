"""What a command tells when it ends: exit code, summary on the terminal or as JSON, reports."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from worker.ledger import rows
from worker.model import JobState, RowStatus
from worker.reports import gather
from worker.reports.kinds import ReportKind
from worker.reports.labels import next_steps, verified_in_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.ledger.transactions import Ledger
    from worker.reports.lines import Summary

DONE, NOT_DONE, NOTHING_SENT, WAITS, INTERRUPTED = 0, 1, 2, 3, 130
_CODES = {
    JobState.SUCCEEDED: DONE,
    JobState.COMPLETED_WITH_ERRORS: NOT_DONE,
    JobState.CANCELLED: NOT_DONE,
    JobState.FAILED: NOT_DONE,
    JobState.INVALID: NOTHING_SENT,
}
_COLOURS = {
    RowStatus.INVALID: "red",
    RowStatus.REJECTED: "red",
    RowStatus.IN_DOUBT: "yellow",
    RowStatus.NOT_ATTEMPTED: "yellow",
    RowStatus.SKIPPED: "blue",
}


def exit_code(state: JobState) -> int:
    """Return the exit code for the state in which a command leaves a job (contract §2)."""
    return _CODES.get(state, WAITS)


def summary_of(ledger: Ledger, job: Job) -> Summary:
    """Return a job's summary."""
    with ledger.read() as tx:
        return gather.summarise(tx, job)


def rehearsed(tx: Transaction, job: Job) -> Summary:
    """Return the summary of a job that will be rolled back."""
    return gather.summarise(tx, job)


def tell_problems(tx: Transaction, job: Job, most: int) -> None:
    """Print the first problems of a roster's rows, with row and column."""
    shown = 0
    for row in rows.reported_rows(tx, job.id):
        if row.status is RowStatus.INVALID:
            shown += 1
            if shown <= most:
                where = f" ({row.column})" if row.column else ""
                click.echo(f"Row {row.row}{where}: {row.error}", err=True)
    if shown > most:
        click.echo(f"… and {shown - most} more invalid rows", err=True)


def write_reports(ledger: Ledger, job: Job) -> Summary:
    """Write the reports of a job as it stands now and return its summary with their paths."""
    from worker.jobs import reporting

    return reporting.file_reports(ledger, job)


def tell(summary: Summary, *, as_json: bool) -> None:
    """Print a summary: one JSON object, or what a person reads."""
    if as_json:
        click.echo(json.dumps(summary.to_json(), ensure_ascii=False))
        return
    click.echo(f"\n{summary.roster} → {summary.connection}: job {summary.job} {summary.state}")
    if summary.reason and summary.state is not JobState.INVALID:
        click.echo(f"  {summary.reason}")
    for status, count in summary.by_status.items():
        if count:
            click.secho(f"  {count:>7}  {status}", fg=_COLOURS.get(status, "green"))
    click.echo(f"  {summary.total:>7}  rows in all")
    if summary.verified is not None:
        click.echo(f"  read back at the LMS: {verified_in_words(summary.verified)}")
    click.echo(_costs(summary))
    for path in summary.reports:
        click.echo(f"  {path}")
    failed = next((path for path in summary.reports if path.endswith(f".{ReportKind.FAILED}")), "")
    for step in next_steps(summary, failed):
        click.echo(f"  → {step}")


def tell_all(summaries: Sequence[Summary], *, as_json: bool) -> None:
    """Print the summaries of several rosters; as JSON one object with their sums, and each under `jobs`."""
    if not as_json or len(summaries) == 1:
        for summary in summaries:
            tell(summary, as_json=as_json)
        return
    click.echo(json.dumps(_sum(summaries), ensure_ascii=False))


def _sum(summaries: Sequence[Summary]) -> dict[str, Any]:
    by_status: Counter[str] = Counter(dict.fromkeys(RowStatus, 0))
    calls: Counter[str] = Counter()
    for summary in summaries:
        by_status.update(summary.by_status)
        calls.update(summary.calls)
    return {
        "total": sum(summary.total for summary in summaries),
        "by_status": dict(by_status),
        "candidates_created": sum(summary.candidates_created for summary in summaries),
        "registrations_created": sum(summary.registrations_created for summary in summaries),
        "calls": dict(calls),
        "rate_limited": sum(summary.rate_limited for summary in summaries),
        "jobs": [summary.to_json() for summary in summaries],
    }


def _costs(summary: Summary) -> str:
    calls = sum(summary.calls.values())
    parts = [f"{calls} calls", f"{summary.candidates_created} candidates created"]
    if summary.rate_limited:
        parts.append(f"{summary.rate_limited} refused for speed")
    if summary.bisected_batches:
        parts.append(f"{summary.bisected_batches} batches taken apart")
    if summary.duration_seconds is not None:
        parts.append(f"{summary.duration_seconds:.1f} s")
    return f"  {', '.join(parts)}"
