"""What commands print when they end."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from worker.ledger import rows
from worker.model import JobState, RowStage, RowStatus
from worker.reports.kinds import ReportKind
from worker.reports.labels import (
    STATE_INFO,
    STATUS_INFO,
    StatusInfo,
    counted,
    duration_text,
    next_steps,
    shown_counts,
    verdict_counts,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.reports.lines import Summary

#: A row that `run` would send.
_READY = replace(STATUS_INFO[RowStatus.NOT_ATTEMPTED], label="Ready to send", colour="green")


def print_problems(tx: Transaction, job: Job, most: int) -> None:
    """Print the errors of up to `most` invalid rows, with row and column."""
    shown = 0
    for row in rows.reported_rows(tx, job.id):
        if row.status is RowStatus.INVALID:
            shown += 1
            if shown <= most:
                where = f" ({row.column})" if row.column else ""
                click.echo(f"Row {row.row}{where}: {row.error}", err=True)
    if shown > most:
        click.echo(f"… and {counted(shown - most, 'more invalid row')}", err=True)


def print_summaries(summaries: Sequence[Summary], *, as_json: bool, dry_run: bool = False) -> None:
    """Print the summaries of several rosters; as JSON one object with their sums, and each under `jobs`."""
    if as_json and len(summaries) != 1:
        click.echo(json.dumps(_sum(summaries), ensure_ascii=False))
        return
    for summary in summaries:
        if dry_run and not as_json:
            _print_checked(summary)
        else:
            print_summary(summary, as_json=as_json)


def print_summary(summary: Summary, *, as_json: bool) -> None:
    """Print a summary: one JSON object, or text for people."""
    if as_json:
        click.echo(json.dumps(summary.to_json(), ensure_ascii=False))
        return
    click.echo(f"\n{summary.roster} → {summary.connection}: job {summary.job}: {STATE_INFO[summary.state].label}")
    if summary.reason and summary.state is not JobState.INVALID:
        click.echo(f"  {summary.reason}")
    _print_counts(summary, shown_counts(summary))
    if summary.verified is not None:
        click.echo(f"  compared with the LMS: {verdict_counts(summary.verified)}")
    if activity := _activity(summary):
        click.echo(f"  {activity}")
    for path in summary.reports:
        click.echo(f"  {path}")
    ending = f".{ReportKind.FAILED}"
    failed = next((path for path in summary.reports if path.endswith(ending)), "")
    for step in next_steps(summary, failed or f"the {ending} file that `roster report {summary.job}` writes"):
        click.echo(f"  → {step}")


def _print_checked(summary: Summary) -> None:
    """Print what a roster would do, of which nothing was sent."""
    click.echo(f"\n{summary.roster} → {summary.connection}: checked, nothing was sent")
    shown = [
        (status, _READY if status is RowStatus.NOT_ATTEMPTED else STATUS_INFO[status], count)
        for status, count in summary.by_status.items()
    ]
    _print_counts(summary, shown)
    if invalid := summary.by_status.get(RowStatus.INVALID, 0):
        click.echo(f"  → {counted(invalid, 'row')} with errors: fix the file and check it again")


def _print_counts(summary: Summary, shown: Sequence[tuple[RowStatus, StatusInfo, int]]) -> None:
    for _, info, count in shown:
        if count:
            click.secho(f"  {count:>7}  {info.label}", fg=info.colour)
    if summary.total:
        click.echo(f"  {summary.total:>7}  {'row' if summary.total == 1 else 'rows'} in total")


def _activity(summary: Summary) -> str:
    """Return what the job did, without zeros: `15 calls, 12 people created, rate limited 3 times, 3.2 s`."""
    counts = [
        (sum(summary.calls.values()), "call", "{}"),
        (summary.candidates_created, "person", "{} created"),
        (summary.rate_limited, "time", "rate limited {}"),
        (summary.bisected_batches, "batch", "{} split to isolate rejected rows"),
    ]
    parts = [text.format(counted(count, noun)) for count, noun, text in counts if count]
    if summary.duration_seconds is not None:
        parts.append(duration_text(summary.duration_seconds))
    return ", ".join(parts)


def _sum(summaries: Sequence[Summary]) -> dict[str, Any]:
    by_status: Counter[str] = Counter(dict.fromkeys(RowStatus, 0))
    stages: Counter[str] = Counter(dict.fromkeys(RowStage, 0))
    calls: Counter[str] = Counter()
    for summary in summaries:
        by_status.update(summary.by_status)
        stages.update(summary.stages)
        calls.update(summary.calls)
    return {
        "total": sum(summary.total for summary in summaries),
        "by_status": dict(by_status),
        "stages": dict(stages),
        "candidates_created": sum(summary.candidates_created for summary in summaries),
        "registrations_created": sum(summary.registrations_created for summary in summaries),
        "calls": dict(calls),
        "rate_limited": sum(summary.rate_limited for summary in summaries),
        "jobs": [summary.to_json() for summary in summaries],
    }
