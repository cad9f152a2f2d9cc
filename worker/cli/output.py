"""What commands print when they end."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from worker.cli.explained import explained
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
    related_texts,
    shown_counts,
    verdict_counts,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from worker.errors import NothingSent
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.reports.lines import Summary

#: Up to this many different messages, and ranges of rows with the same one, are printed.
SHOWN_MESSAGES = SHOWN_SPANS = 20
#: A row that `run` would send.
_READY = replace(STATUS_INFO[RowStatus.NOT_ATTEMPTED], label="Ready to send", colour="green")


def print_notes(job: Job) -> None:
    """Print what was noted while the roster was read."""
    for note in job.notes:
        click.echo(f"Note: {note}", err=True)


def print_row_messages(tx: Transaction, job: Job, most: int = SHOWN_MESSAGES) -> None:
    """Print the errors of invalid rows and why others are skipped; rows with the same message together."""
    for status, noun in ((RowStatus.INVALID, "more invalid row"), (RowStatus.SKIPPED, "more duplicate")):
        found: dict[tuple[str, str], list[int]] = {}
        left = 0
        for row in rows.rows_with_status(tx, job.id, status):
            message = (row.column, row.error)
            if message in found or len(found) < most:
                found.setdefault(message, []).append(row.row)
            else:
                left += 1
        for (column, error), numbers in found.items():
            where = f" ({column})" if column else ""
            click.echo(f"{_row_numbers(numbers)}{where}: {error}", err=True)
        if left:
            click.echo(f"… and {counted(left, noun)}", err=True)


def _row_numbers(numbers: Sequence[int]) -> str:
    """Return the numbers of rows: `Row 2`, `Rows 2, 5`, `Rows 2 to 31, 40 and 12 more rows`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    shown = [f"{a}" if a == b else f"{a}, {b}" if b == a + 1 else f"{a} to {b}" for a, b in spans[:SHOWN_SPANS]]
    left = sum(b - a + 1 for a, b in spans[SHOWN_SPANS:])
    more = f" and {counted(left, 'more row')}" if left else ""
    return f"{'Row' if len(numbers) == 1 else 'Rows'} {', '.join(shown)}{more}"


def unopened(file: Path, error: NothingSent) -> dict[str, object]:
    """Return the JSON for a roster that could not be opened."""
    return {"error": str(error), "roster": file.name}


def print_unopened(failed: Sequence[tuple[Path, NothingSent]], *, as_json: bool, as_list: bool = False) -> None:
    """Print why nothing was sent: for people, and as JSON the first error, or a list of all."""
    for _, error in failed:
        click.echo(explained(error), err=True)
    if as_json:
        results = [unopened(file, error) for file, error in failed]
        click.echo(json.dumps(results if as_list else results[0], ensure_ascii=False))


def print_summaries(summaries: Sequence[Summary], *, as_json: bool) -> None:
    """Print the summaries of several rosters; as JSON one object with their sums, and each under `jobs`."""
    if as_json and len(summaries) != 1:
        click.echo(json.dumps(_sum(summaries), ensure_ascii=False))
        return
    for summary in summaries:
        print_summary(summary, as_json=as_json, was_explained=summary.state is JobState.INVALID)


def print_summary(summary: Summary, *, as_json: bool, was_explained: bool = False) -> None:
    """Print a summary: one JSON object, or text for people; `was_explained`: its reason was just printed."""
    if summary.kept_report:
        click.echo(summary.kept_note, err=True)
    if as_json:
        error = {"error": summary.reason} if summary.state is JobState.INVALID else {}
        click.echo(json.dumps(summary.to_json() | error, ensure_ascii=False))
        return
    click.echo(f"\n{summary.roster} → {summary.connection}: job {summary.job}: {STATE_INFO[summary.state].label}")
    if summary.reason and not was_explained:
        click.echo(f"  {summary.reason}")
    for text in related_texts(summary):
        click.echo(f"  {text}")
    _print_counts(summary, shown_counts(summary))
    if sum(summary.settled.values()):
        click.echo(
            f"  {summary.open_rows} of {counted(summary.not_done, 'open row')} left; later jobs settled the others"
        )
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


def print_checked(summary: Summary) -> None:
    """Print what a roster would do, of which nothing was sent."""
    click.echo(f"\n{summary.roster} → {summary.connection}: checked, nothing was sent")
    shown = [
        (status, _READY if status is RowStatus.NOT_ATTEMPTED else STATUS_INFO[status], count)
        for status, count in summary.by_status.items()
    ]
    _print_counts(summary, shown)
    if invalid := summary.by_status.get(RowStatus.INVALID, 0):
        click.echo(f"  → {counted(invalid, 'row')} with errors: fix the file and check it again")
    elif summary.by_status.get(RowStatus.NOT_ATTEMPTED, 0):
        click.echo("  → Nothing was sent. Use `roster run` to send the rows.")
    else:
        click.echo("  → There is nothing to send.")


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
