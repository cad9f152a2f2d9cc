"""The body of `check`: read, validate and plan rosters as `run` would, in transactions that are rolled back."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from worker import lms
from worker.cli import output
from worker.cli.context import actor, connection_of
from worker.cli.exit_codes import ExitCode
from worker.cli.explained import explained
from worker.errors import NothingSent
from worker.intake.accept import fingerprint
from worker.intake.importing import SEPARATOR, dry_run
from worker.intake.options import parse_options
from worker.jobs import same_file
from worker.jobs.estimate import plan_of
from worker.ledger import relations
from worker.ledger.duplicates import repeated_rows
from worker.ledger.rows import rows_with_status
from worker.model import Relation, RowStatus
from worker.reports import gather
from worker.reports.labels import STATE_INFO, duration_text, waiting_elsewhere_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from worker.bootstrap import Services
    from worker.intake.options import Options
    from worker.jobs.estimate import Plan
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.reports.lines import Summary
    from worker.settings import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a roster would do."""

    summary: Summary
    plan: Plan
    #: How many rows have a problem, by its code and column (None: of the row as a whole).
    problems: Mapping[tuple[str, str | None], int]
    #: The rows that are not sent because they repeat another one, or their source marks them as inactive (None).
    skipped: Mapping[int, int | None]

    def to_json(self) -> dict[str, object]:
        """Return the summary as JSON, with what would be sent; of a job that is not, number and state are None."""
        return self.summary.to_json() | {
            "job": None,
            "state": None,
            "would_send": self.summary.by_status.get(RowStatus.NOT_ATTEMPTED, 0),
            "planned_calls": self.plan.calls.most,
            "planned_seconds": None if self.plan.seconds is None else round(self.plan.seconds, 3),
            "problems": [
                {"code": code, "column": column, "rows": count} for (code, column), count in self.problems.items()
            ],
            "skipped": [{"row": row, "repeats": repeats} for row, repeats in self.skipped.items()],
        }


def check_files(services: Services, files: Sequence[Path], options: dict[str, Any]) -> int:
    """Check rosters and print what each would do; return the most severe exit code."""
    connection = connection_of(services, options["to"])
    parsed = parse_options(services.ledger, options, by=actor())
    code, results = ExitCode.DONE, []
    for file in files:
        try:
            checked = _check_file(services, file, connection, parsed)
        except NothingSent as error:
            click.echo(explained(error), err=True)
            results.append(output.Unopened(file=file, error=error).to_json())
            code = ExitCode.NOTHING_SENT
            continue
        results.append(checked.to_json())
        if not options["as_json"]:
            output.print_checked(checked.summary)
        if checked.summary.by_status[RowStatus.INVALID]:
            code = max(code, ExitCode.NOTHING_SENT if options["strict"] else ExitCode.NOT_DONE)
    if options["as_json"]:
        click.echo(json.dumps(results[0] if len(files) == 1 else results, ensure_ascii=False))
    return code


def _check_file(services: Services, file: Path, connection: Connection, options: Options) -> Checked:
    problems: Counter[tuple[str, str | None]] = Counter()
    with services.ledger.dry_run() as tx:
        job = try_import(tx, file, connection, options, problems)
        output.print_notes(job)
        _print_other_jobs(tx, job, fingerprint(file, connection.name, options))
        output.print_row_messages(tx, job)
        _add_later_problems(tx, job, problems)
        plan = plan_of(tx, services, job.id, connection)
        click.echo(calls_text(plan), err=True)
        return Checked(
            summary=gather.summarise(tx, job),
            plan=plan,
            problems=problems,
            skipped=repeated_rows(tx, job.id),
        )


def _print_other_jobs(tx: Transaction, job: Job, digest: str) -> None:
    """Print, and relate in this transaction, which jobs are of the same file or are to send the same rows."""
    if same := same_file.find(tx, job.connection, digest):
        relations.relate(tx, job.id, Relation.REPEATS, [same.job_id])
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


def _add_later_problems(tx: Transaction, job: Job, problems: Counter[tuple[str, str | None]]) -> None:
    """Count the problems that are only found with the ledger, after a row was parsed."""
    parsed = {code for code, _ in problems}
    for row in rows_with_status(tx, job.id, RowStatus.INVALID):
        problems.update({(code, row.column or None) for code in row.code.split(SEPARATOR) if code not in parsed})


def try_import(
    tx: Transaction,
    file: Path,
    connection: Connection,
    options: Options,
    problems: Counter[tuple[str, str | None]] | None = None,
) -> Job:
    """Import a roster in a transaction that the caller rolls back. Raises NothingSent when it must be fixed."""
    fingerprint(file, connection.name, options)
    return dry_run(tx, file, connection, options, rules=lms.rules_of(connection), problems=problems)


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
