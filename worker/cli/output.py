"""What commands print when they end."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from worker.cli.explained import explained
from worker.errors import UsageError
from worker.ledger import rows
from worker.model import JobState, RowStatus
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Unopened:
    """A roster that could not be opened, and why."""

    file: Path
    error: NothingSent

    def to_json(self) -> dict[str, object]:
        """Return it as JSON."""
        return {"error": str(self.error), "roster": self.file.name}


def interrupted(file: Path) -> UsageError:
    """Return why a roster was not opened when the command was interrupted before that."""
    return UsageError(f"{file.name}: interrupted; nothing of it was sent")


def print_results(results: Sequence[Summary | Unopened], *, as_json: bool, as_list: bool = False) -> None:
    """Print what became of rosters: for people, and as JSON one object, or with `as_list` a list of them."""
    for result in results:
        if isinstance(result, Unopened):
            click.echo(explained(result.error), err=True)
        elif as_json:
            _print_kept_note(result)
        else:
            print_summary(result, as_json=False, was_explained=result.state is JobState.INVALID)
    if as_json:
        objects = [each.to_json() if isinstance(each, Unopened) else as_object(each) for each in results]
        one = objects[0] if objects else {"error": "There is no summary; standard error says why"}
        click.echo(json.dumps(objects if as_list else one, ensure_ascii=False))


def as_object(summary: Summary) -> dict[str, Any]:
    """Return a summary as JSON; that of a roster that must be fixed has its `error`."""
    error = {"error": summary.reason} if summary.state is JobState.INVALID else {}
    return summary.to_json() | error


def _print_kept_note(summary: Summary) -> None:
    if summary.kept_report:
        click.echo(summary.kept_note, err=True)


def print_summary(summary: Summary, *, as_json: bool, was_explained: bool = False) -> None:
    """Print a summary: one JSON object, or text for people; `was_explained`: its reason was just printed."""
    _print_kept_note(summary)
    if as_json:
        click.echo(json.dumps(as_object(summary), ensure_ascii=False))
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
