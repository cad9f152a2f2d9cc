"""The body of `check`: read, validate and plan rosters as `run` would, in transactions that are rolled back."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from worker.cli import interruption, output
from worker.cli.context import actor, connection_of
from worker.cli.exit_codes import ExitCode
from worker.cli.explained import explained
from worker.errors import NothingSent
from worker.intake.options import parse_options
from worker.jobs.check import check_roster
from worker.ledger import relations
from worker.model import RowStatus
from worker.reports.labels import STATE_INFO, duration_text, waiting_elsewhere_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from worker.bootstrap import Services
    from worker.intake.options import Options
    from worker.jobs.check import Checked
    from worker.jobs.estimate import Plan
    from worker.jobs.same_file import SameFile
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.settings import Connection


def check_files(services: Services, files: Sequence[Path], options: dict[str, Any]) -> int:
    """Check rosters and print what each would do; return the most severe exit code."""
    interruption.begin()
    connection = connection_of(services, options["to"])
    parsed = parse_options(services.ledger, options, by=actor())
    code, results = ExitCode.DONE, []
    for place, file in enumerate(files):
        try:
            checked = _check_file(services, file, connection, parsed)
        except NothingSent as error:
            click.echo(explained(error), err=True)
            results.append(output.Unopened(file=file, error=error).to_json())
            code = ExitCode.NOTHING_SENT
            continue
        except KeyboardInterrupt:
            interruption.note()
            left = [output.Unopened(file=each, error=output.interrupted(each)) for each in files[place:]]
            click.echo("\n".join(str(each.error) for each in left), err=True)
            results += [each.to_json() for each in left]
            code = ExitCode.INTERRUPTED
            break
        results.append(checked.to_json())
        if not options["as_json"]:
            output.print_checked(checked.summary)
        if checked.summary.by_status[RowStatus.INVALID]:
            code = max(code, ExitCode.NOTHING_SENT if options["strict"] else ExitCode.NOT_DONE)
    if options["as_json"]:
        click.echo(json.dumps(results[0] if len(files) == 1 else results, ensure_ascii=False))
    return code


def _check_file(services: Services, file: Path, connection: Connection, options: Options) -> Checked:
    checked = check_roster(services, file, connection, options, show=_print_job)
    click.echo(calls_text(checked.plan), err=True)
    return checked


def _print_job(tx: Transaction, job: Job, same: SameFile | None) -> None:
    """Print what was noted, which other jobs are of the same file or rows, and the messages of the rows."""
    output.print_notes(job)
    _print_other_jobs(tx, job, same)
    output.print_row_messages(tx, job)


def _print_other_jobs(tx: Transaction, job: Job, same: SameFile | None) -> None:
    """Print which jobs are of the same file or are to send the same rows."""
    if same:
        state = STATE_INFO[same.state].label.lower()
        if same.starts_at is not None:
            state += f" for {datetime.fromtimestamp(same.starts_at).astimezone():%Y-%m-%d %H:%M %Z}"
        text = (
            f"This file is already job {same.job_id} ({state}); `roster run` continues it and sends nothing twice"
            if same.is_open
            else f"This file was submitted before, as job {same.job_id} ({state})"
        )
        click.echo(f"Note: {text}", err=True)
        if same.is_open:
            return
    for other, count in relations.count_waiting_elsewhere(tx, job.id).items():
        click.echo(f"Note: {waiting_elsewhere_text(count, other)}", err=True)


def calls_text(plan: Plan) -> str:
    """Return how many calls a run takes, and how long at the rate that is known."""
    if not plan.calls.most:
        return "No calls to the LMS"
    noun = "call" if plan.calls.most == 1 else "calls"
    seconds, rate = plan.seconds, plan.rate
    time = ""
    if seconds is not None and rate is not None:
        time = "under a second" if seconds < 1 else f"about {duration_text(seconds)}"
        time = f", {time} at {rate:.3g} calls/s"
    return f"{plan.span} {noun} to the LMS{time}"
