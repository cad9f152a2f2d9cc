"""The body of `submit`: hand rosters to the queue."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker import control, lms
from worker.cli import output
from worker.cli.context import REPORTS, actor, connection_of
from worker.cli.exit_codes import ExitCode
from worker.cli.explained import explained
from worker.cli.output import Unopened
from worker.errors import NothingSent, UsageError
from worker.intake.accept import Origin, precheck
from worker.intake.options import parse_options, parse_start_time
from worker.intake.row_rules import check_options
from worker.shadowing import shadowing_warning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.bootstrap import Services
    from worker.control import Submitted
    from worker.intake.options import Options


def submit_files(services: Services, files: Sequence[Path], options: dict[str, Any]) -> int:
    """Store each roster, open its job and hand it to the workers; print the jobs' ids."""
    if not services.settings.broker and not control.has_background_process(services):
        raise UsageError(
            "There is no queue: set `broker` in roster.toml (redis://host:6379/0) and start "
            "`celery -A worker worker`; or start `roster serve`; or use `roster run`, which needs no service"
        )
    if services.settings.broker and (warning := shadowing_warning(Path.cwd())):
        click.echo(f"Warning: {warning}", err=True)
    connection = connection_of(services, options["to"])
    parsed = parse_options(services.ledger, options, by=actor())
    start = parse_start_time(options["at"]) if options["at"] else None
    origin = Origin(start_at=start.timestamp() if start else None)
    check_options(parsed, lms.rules_of(connection))
    if failed := _precheck(files, parsed):
        output.print_results(failed, as_json=options["as_json"], as_list=len(files) > 1)
        return ExitCode.NOTHING_SENT
    results: list[int | Unopened] = []
    for file in files:
        try:
            submitted = control.submit(
                services,
                file,
                name=file.name,
                connection=connection,
                options=parsed,
                report_dir=(options["report"] or REPORTS).absolute(),
                origin=origin,
                actor=actor(),
            )
        except NothingSent as error:
            results.append(Unopened(file=file, error=error))
            continue
        _print_note(submitted, file, start)
        results.append(submitted.job_id)
    _print_submitted(results, as_json=options["as_json"])
    return ExitCode.NOTHING_SENT if any(isinstance(each, Unopened) for each in results) else ExitCode.DONE


def _precheck(files: Sequence[Path], options: Options) -> list[Unopened]:
    """Return the files that must be fixed before any is submitted."""
    failed = []
    for file in files:
        try:
            precheck(file, options)
        except NothingSent as error:
            failed.append(Unopened(file=file, error=error))
    return failed


def _print_note(submitted: Submitted, file: Path, start: datetime | None) -> None:
    job_id = submitted.job_id
    if submitted.submission.duplicate:
        click.echo(f"{file.name}: {submitted.submission.message}", err=True)
    elif start is not None:
        click.echo(f"{file.name}: job {job_id} starts {start:%Y-%m-%d %H:%M %Z}", err=True)
    elif not submitted.is_published:
        click.echo(f"The broker cannot be reached; job {job_id} is saved and starts when it is back", err=True)


def _print_submitted(results: Sequence[int | Unopened], *, as_json: bool) -> None:
    """Print the number of each job, and why a file became none."""
    for result in results:
        if isinstance(result, Unopened):
            click.echo(explained(result.error), err=True)
        elif not as_json:
            click.echo(f"job {result}: `roster status {result} --watch` follows it")
    if as_json:
        objects = [each.to_json() if isinstance(each, Unopened) else {"job": each} for each in results]
        click.echo(json.dumps(objects[0] if len(objects) == 1 else objects, ensure_ascii=False))
