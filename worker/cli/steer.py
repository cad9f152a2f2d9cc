"""The bodies of `pause`, `cancel` and `undo`: what each would do, the question on a terminal, and the result."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from worker import control
from worker.cli import output
from worker.cli.check import calls_text
from worker.cli.context import actor
from worker.cli.exit_codes import ExitCode
from worker.cli.options import confirm, must_ask
from worker.cli.run import undo_job
from worker.jobs import dry_runs, lifecycle
from worker.quantities import counted
from worker.reports import gather

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.control import JobActionResult


def pause_job(services: Services, job_id: int, *, as_json: bool) -> None:
    """Pause a job."""
    _print_result(services, control.pause(services, job_id, actor=actor()), as_json=as_json)


def cancel_job(services: Services, job_id: int, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Cancel a job, or say what that would do."""
    if dry_run or must_ask(is_confirmed=yes):
        with services.ledger.read() as tx:
            expected = dry_runs.cancel(tx, job_id)
        rest = f"{counted(expected.not_sent, 'row')} of {expected.total:,} would not be sent"
        if dry_run:
            _print_dry_run(f"Job {job_id} would be cancelled: {rest}", expected.to_json(), as_json=as_json)
            return
        confirm(f"Cancel job {job_id}? {rest}.", is_confirmed=yes)
    _print_result(services, control.cancel(services, job_id, actor=actor()), as_json=as_json)


def ask_and_undo(services: Services, job_id: int, *, dry_run: bool, yes: bool, **options: Any) -> int:
    """Withdraw what a job registered, or say what that would do."""
    if dry_run or must_ask(is_confirmed=yes):
        expected = dry_runs.undo(services, job_id)
        count, place = counted(expected.registrations, "registration"), f"in {expected.connection}"
        if dry_run:
            text = f"{count} of job {job_id} would be withdrawn {place}. {calls_text(expected.plan)}"
            _print_dry_run(text, expected.to_json(), as_json=options["as_json"])
            return ExitCode.DONE
        confirm(f"Withdraw {count} of job {job_id} {place}?", is_confirmed=yes)
    return undo_job(services, job_id, options)


def _print_dry_run(text: str, expected: dict[str, object], *, as_json: bool) -> None:
    click.echo(json.dumps(expected, ensure_ascii=False) if as_json else f"{text}. Nothing was changed.")


def _print_result(services: Services, result: JobActionResult, *, as_json: bool) -> None:
    """Print the sentence of an action, or the summary of the job as JSON."""
    if not as_json:
        click.echo(result.message)
        return
    click.echo(result.message, err=True)
    with services.ledger.read() as tx:
        summary = gather.summarise(tx, lifecycle.get_job(tx, result.job_id))
    click.echo(json.dumps(output.as_object(summary), ensure_ascii=False))
