"""`roster`: the command line. Declares commands and options; each command imports what it needs when called."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import click

from worker import __version__
from worker.cli.messages import message
from worker.cli.options import json_option, output_options, report_option, roster_options
from worker.cli.rows import resolve, verify
from worker.cli.schedules import schedule
from worker.cli.services import demo, doctor, sandbox, serve, services_of
from worker.cli.users import audit, user
from worker.errors import NothingSent, RosterError
from worker.safe_errors import place_of

FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
JOB = click.argument("job", type=int)
NOTHING_SENT, STOPPED, INTERRUPTED = 2, 3, 130
OBJECTS_BETWEEN_COLLECTIONS = 10_000


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="roster")
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE", help="Default: $ROSTER_CONFIG, ./roster.toml."
)
@click.pass_context
def roster(context: click.Context, config: Path | None) -> None:
    """Register everybody on a spreadsheet on an LMS, exactly once, and report what happened to every row."""
    context.obj = config


@roster.command()
@FILES
@roster_options
@output_options
@click.option("--dry-run", is_flag=True, help="The same as `roster check`.")
@click.pass_context
def run(context: click.Context, /, files: tuple[Path, ...], *, dry_run: bool, **options: Any) -> None:
    """Work rosters off in this process; no service is needed.

    Example: roster run spring-intake.xlsx --to north --course 58
    """
    from worker.cli import run as work

    context.exit((work.check if dry_run else work.run)(services_of(context), files, options))


@roster.command()
@FILES
@roster_options
@output_options
@click.pass_context
def check(context: click.Context, /, files: tuple[Path, ...], **options: Any) -> None:
    """Read, validate and plan as `run` would; send nothing.

    Example: roster check spring-intake.xlsx --to north
    """
    from worker.cli import run as work

    context.exit(work.check(services_of(context), files, options))


@roster.command()
@FILES
@roster_options
@report_option
@json_option
@click.option("--at", metavar="TIME", help='When to begin: "2026-12-01 06:00", or 06:00.')
@click.pass_context
def submit(context: click.Context, /, files: tuple[Path, ...], **options: Any) -> None:
    """Hand rosters to the queue; the workers behind the broker work them off.

    Example: roster submit spring-intake.xlsx --to north
    """
    from worker.cli import submit

    context.exit(submit.submit(services_of(context), files, options))


@roster.command()
@JOB
@output_options
@click.pass_context
def resume(context: click.Context, /, job: int, **options: Any) -> None:
    """Go on with a job where it stopped: paused, held, interrupted, or killed.

    Example: roster resume 7
    """
    from worker.cli import run as work

    context.exit(work.resume(services_of(context), job, options))


@roster.command()
@JOB
@output_options
@click.pass_context
def retry(context: click.Context, /, job: int, **options: Any) -> None:
    """Send again the rows for which nothing was done.

    Example: roster retry 7
    """
    from worker.cli import run as work

    context.exit(work.retry(services_of(context), job, options))


@roster.command()
@JOB
@output_options
@click.pass_context
def undo(context: click.Context, /, job: int, **options: Any) -> None:
    """Withdraw what a job registered; leave what was there before.

    Example: roster undo 7
    """
    from worker.cli import undo

    context.exit(undo.undo(services_of(context), job, options))


@roster.command()
@json_option
@click.pass_context
def jobs(context: click.Context, *, as_json: bool) -> None:
    """List the jobs, newest first.

    Example: roster jobs
    """
    from worker.cli import show

    context.exit(show.list_jobs(services_of(context), as_json=as_json))


@roster.command()
@JOB
@click.option("--watch", is_flag=True, help="Until the job stops moving.")
@json_option
@click.pass_context
def status(context: click.Context, job: int, *, watch: bool, as_json: bool) -> None:
    """Show where a job stands.

    Example: roster status 7 --watch
    """
    from worker.cli import show

    context.exit(show.status(services_of(context), job, watch=watch, as_json=as_json))


@roster.command()
@JOB
@report_option
@json_option
@click.pass_context
def report(context: click.Context, job: int, *, report: Path | None, as_json: bool) -> None:
    """Write the reports of a job again, as it stands now.

    Example: roster report 7 --report ./reports
    """
    from worker.cli import show

    context.exit(show.report(services_of(context), job, report, as_json=as_json))


@roster.command()
@JOB
@click.pass_context
def pause(context: click.Context, job: int) -> None:
    """Pause a job: calls under way finish, nothing more is sent.

    Example: roster pause 7
    """
    from worker.jobs import lifecycle

    with services_of(context).ledger.write() as tx:
        click.echo(lifecycle.pause(tx, job))


@roster.command()
@JOB
@click.pass_context
def cancel(context: click.Context, job: int) -> None:
    """Cancel a job: calls under way finish, the rest is never sent.

    Example: roster cancel 7
    """
    from worker.jobs import lifecycle

    with services_of(context).ledger.write() as tx:
        click.echo(lifecycle.cancel(tx, job))


@roster.command()
@click.option("--older-than", required=True, metavar="DAYS", help="Jobs that ended so long ago: 90d, 12w.")
@click.pass_context
def purge(context: click.Context, *, older_than: str) -> None:
    """Remove the personal data of jobs that ended long ago; their counts stay, and who was registered.

    Example: roster purge --older-than 90d
    """
    from worker.cli import purge

    context.exit(purge.purge(services_of(context), older_than))


for command in (verify, resolve, schedule, serve, doctor, sandbox, demo, user, audit, message):
    roster.add_command(command)


def main() -> None:
    """Run the command line; end with the exit codes of the contract, and never with a traceback."""
    # What a command imports stays: a collection after every 700 new objects costs a tenth of a short command.
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    try:
        sys.exit(roster.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(NOTHING_SENT)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except RosterError as error:
        click.echo(str(error), err=True)
        sys.exit(NOTHING_SENT if isinstance(error, NothingSent) else STOPPED)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a plain sentence and the place
        click.echo(_unexpected(error), err=True)
        sys.exit(STOPPED)


def _unexpected(error: Exception) -> str:
    """Return what to tell of an error that nobody foresaw; its own text may hold personal data and is left out."""
    return (
        f"This should not have happened: {place_of(error)}. "
        "What was recorded is safe; `roster jobs` shows the job, `roster resume JOB` goes on. Please report this"
    )
