"""The commands on jobs. Declares commands and options; the bodies are imported when a command is called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.cli import completion
from worker.cli.context import with_connections, with_existing_ledger
from worker.cli.options import dry_run_options, json_option, output_options, report_option, roster_options

if TYPE_CHECKING:
    from worker.bootstrap import Services

FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
JOB = click.argument("job", type=int, shell_complete=completion.jobs)


@click.command()
@FILES
@roster_options
@output_options
@click.option("--dry-run", is_flag=True, help="The same as `roster check`.")
@with_connections
def run(services: Services, files: tuple[Path, ...], *, dry_run: bool, **options: Any) -> int:
    """Run rosters in this process; no services needed.

    Example: roster run spring-intake.xlsx --to north --course 58
    """
    from worker.cli.check import check_files
    from worker.cli.run import run_files
    from worker.cli.standard_input import with_files

    return with_files(services, files, options, check_files if dry_run else run_files)


@click.command()
@FILES
@roster_options
@output_options
@with_connections
def check(services: Services, files: tuple[Path, ...], **options: Any) -> int:
    """Read, validate and plan as `run` would; send nothing.

    Example: roster check spring-intake.xlsx --to north
    """
    from worker.cli.check import check_files
    from worker.cli.standard_input import with_files

    return with_files(services, files, options, check_files)


@click.command()
@FILES
@roster_options
@report_option
@json_option
@click.option("--at", metavar="TIME", help='When to start: "2026-12-01 06:00", or 06:00.')
@with_connections
def submit(services: Services, files: tuple[Path, ...], **options: Any) -> int:
    """Submit rosters to the queue; workers run them in the background.

    Example: roster submit spring-intake.xlsx --to north
    """
    from worker.cli.standard_input import with_files
    from worker.cli.submit import submit_files

    return with_files(services, files, options, submit_files)


@click.command()
@JOB
@click.option("--course", metavar="VALUE", help="Another course for the rows that are not done, such as 58.")
@output_options
@with_existing_ledger
def resume(services: Services, job: int, **options: Any) -> int:
    """Resume a job that was paused, held, interrupted or killed.

    Example: roster resume 7
    """
    from worker.cli.run import resume_job

    return resume_job(services, job, options)


@click.command()
@JOB
@output_options
@click.option("--rejected", is_flag=True, help="Also send the rows that the LMS rejected.")
@with_existing_ledger
def retry(services: Services, job: int, **options: Any) -> int:
    """Send the rows that were never sent.

    Example: roster retry 7 --rejected
    """
    from worker.cli.run import retry_job

    return retry_job(services, job, options)


@click.command()
@JOB
@dry_run_options
@output_options
@with_existing_ledger
def undo(services: Services, job: int, **options: Any) -> int:
    """Withdraw the registrations that a job made.

    Earlier ones are kept. The withdrawals are a job of their own.

    Example: roster undo 7
    """
    from worker.cli.steer import ask_and_undo

    return ask_and_undo(services, job, **options)


@click.command()
@click.option(
    "--state",
    metavar="STATE",
    shell_complete=completion.states,
    help="Only jobs in this state; `open`: those that still need somebody.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Maximum number of jobs.")
@json_option
@with_existing_ledger
def jobs(services: Services, *, state: str | None, limit: int | None, as_json: bool) -> None:
    """List the jobs, newest first.

    Example: roster jobs --state open
    """
    from worker.cli.show import check_state, list_jobs

    list_jobs(services, state=check_state(state), limit=limit, as_json=as_json)


@click.command()
@JOB
@click.option("--watch", is_flag=True, help="Print each change until the job stops.")
@json_option
@with_existing_ledger
def status(services: Services, job: int, *, watch: bool, as_json: bool) -> None:
    """Show the state of a job.

    Example: roster status 7 --watch
    """
    from worker.cli.show import show_status

    show_status(services, job, watch=watch, as_json=as_json)


@click.command()
@JOB
@report_option
@json_option
@with_existing_ledger
def report(services: Services, job: int, *, report: Path | None, as_json: bool) -> None:
    """Write the reports of a job again, with its current outcomes.

    Example: roster report 7 --report ./reports
    """
    from worker.cli.show import write_report

    write_report(services, job, report, as_json=as_json)


@click.command()
@JOB
@json_option
@with_existing_ledger
def pause(services: Services, job: int, *, as_json: bool) -> None:
    """Pause a job: calls in progress finish, nothing more is sent.

    Example: roster pause 7
    """
    from worker.cli.steer import pause_job

    pause_job(services, job, as_json=as_json)


@click.command()
@JOB
@dry_run_options
@json_option
@with_existing_ledger
def cancel(services: Services, job: int, **options: Any) -> None:
    """Cancel a job: calls in progress finish, the rest is never sent.

    Example: roster cancel 7
    """
    from worker.cli.steer import cancel_job

    cancel_job(services, job, **options)


@click.command()
@click.option("--older-than", metavar="PERIOD", help="How long ago the jobs ended: 90d, 12w.")
@click.option("--held", is_flag=True, help="Also jobs that wait for a person: paused, held, with rows in doubt.")
@click.option("--compact", is_flag=True, help="Rewrite PostgreSQL's tables: nothing deleted is left in them.")
@dry_run_options
@json_option
@with_existing_ledger
def purge(services: Services, **options: Any) -> int:
    """Delete the personal data of jobs that ended long ago.

    Counts, and who was registered, are kept.

    Example: roster purge --older-than 90d
    """
    from worker.cli.purge import purge_jobs

    return purge_jobs(services, **options)


COMMANDS = (run, check, submit, resume, retry, undo, jobs, status, report, pause, cancel, purge)
