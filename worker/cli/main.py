"""`roster`: the command line. Each command imports what it needs when it is called, so that `--help` is quick."""

from __future__ import annotations

import gc
import os
import sys

import click

from worker import __version__
from worker.cli import interruption, jobs, ledger, messages, rows, schedule_changes, services, users
from worker.cli.exit_codes import ExitCode
from worker.cli.group import CommandGroup, add_config_option
from worker.errors import NothingSent, RosterError
from worker.safe_errors import location_of

OBJECTS_BETWEEN_COLLECTIONS = 10_000


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="roster")
@click.pass_context
def roster(context: click.Context) -> None:
    """Register everybody on a spreadsheet on an LMS, exactly once, and report what happened to every row."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        context.color = False


for module in (jobs, rows, schedule_changes, services, users, messages, ledger):
    for command in module.COMMANDS:
        roster.add_command(command)
add_config_option(roster)


def main() -> None:
    """Run the command line; exit with a documented code, and never with a traceback."""
    # Imported modules stay: collecting after every 700 new objects is a tenth of the time of a short command.
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    try:
        code = roster.main(standalone_mode=False) or 0
        interruption.ignore()
        sys.exit(code)
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.NOTHING_SENT)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(ExitCode.INTERRUPTED)
    except RosterError as error:
        click.echo(_explained(error), err=True)
        sys.exit(ExitCode.NOTHING_SENT if isinstance(error, NothingSent) else ExitCode.STOPPED)
    except Exception as error:  # noqa: BLE001 - the last handler: a plain sentence and the place
        click.echo(_unexpected(error), err=True)
        sys.exit(ExitCode.STOPPED)


def _explained(error: RosterError) -> str:
    from worker.cli.explained import explained

    return explained(error)


def _unexpected(error: Exception) -> str:
    """Return the message for an unexpected error; its own text may hold personal data and is left out."""
    return (
        f"Unexpected error: {location_of(error)}. Recorded outcomes are safe; `roster jobs` lists the job, and "
        "`roster resume JOB` continues it. Please report this"
    )
