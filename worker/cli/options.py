"""Options that several commands share."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from worker.cli import completion
from worker.errors import UsageError

_SECONDS_BY_UNIT = {"d": 86400.0, "w": 7 * 86400.0}
Command = TypeVar("Command", bound=Callable[..., Any])

#: The values of `worker.model.HiddenRows`, which `roster --help` does not load.
HIDDEN_ROWS = ("send", "skip")

_ROSTER = [
    click.option(
        "--to",
        metavar="NAME",
        shell_complete=completion.connections,
        help="The connection; optional when only one is configured.",
    ),
    click.option(
        "--course", metavar="VALUE", help='For rows without a course: 58, "name:Fire Safety" or ext:C-58.'
    ),
    click.option(
        "--set",
        "set_values",
        metavar="COLUMN=VALUE",
        multiple=True,
        help="A default value for the empty cells of a column; repeatable.",
    ),
    click.option("--sheet", metavar="NAME", help="The worksheet; default: the first visible one with data."),
    click.option("--heading-row", type=int, metavar="N", help="The row that has the headings; found by default."),
    click.option(
        "--hidden-rows",
        type=click.Choice(HIDDEN_ROWS),
        help="Send or leave out rows that are hidden in the spreadsheet; without it, such a roster is refused.",
    ),
    click.option(
        "--map",
        "mapping",
        metavar='"Heading=column"',
        multiple=True,
        help="Import this heading as that column; repeatable.",
    ),
    click.option("--save-map", metavar="NAME", help="Save the --map options of this command under a name."),
    click.option(
        "--use-map",
        metavar="NAME",
        shell_complete=completion.maps,
        help="Use the --map options saved under that name.",
    ),
    click.option("--encoding", metavar="NAME", help="The encoding of a CSV file; detected by default."),
    click.option("--strict", is_flag=True, help="Send nothing if any row is invalid."),
    click.option("--again", is_flag=True, help="Register again, even if already registered."),
    click.option(
        "--update-existing",
        is_flag=True,
        help="Update people who already exist in the LMS before they are registered.",
    ),
    click.option("--start-row", type=int, metavar="N", help="Start at this row of the spreadsheet."),
    click.option("--max-rows", type=int, metavar="N", help="Maximum number of rows."),
]
_REPORT = click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The folder for the reports; default: ./reports.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON as the last line of standard output.")
_QUIET = click.option("--quiet", is_flag=True, help="Show no progress.")


def roster_options(command: Command) -> Command:
    """Add the options that say how a roster is read and sent."""
    for option in reversed(_ROSTER):
        command = option(command)
    return command


def output_options(command: Command) -> Command:
    """Add --report, --json and --quiet."""
    return _REPORT(_JSON(_QUIET(command)))


def report_option(command: Command) -> Command:
    """Add --report."""
    return _REPORT(command)


def json_option(command: Command) -> Command:
    """Add --json."""
    return _JSON(command)


def quiet_option(command: Command) -> Command:
    """Add --quiet."""
    return _QUIET(command)


def parse_period(option: str, period: str) -> float:
    """Return a period such as 90d or 12w in seconds; `option` is named in the UsageError about another text."""
    match = re.fullmatch(r"([0-9]{1,5})\s*([dw])", period.strip(), re.IGNORECASE)
    if match is None:
        raise UsageError(f"{option} {period!r} is not a period; write days or weeks, for example 90d or 12w")
    return int(match[1]) * _SECONDS_BY_UNIT[match[2].lower()]


def defaults(**given: Any) -> dict[str, Any]:
    """Return the roster and output options of a command of which only those in `given` were typed."""
    command = roster_options(output_options(click.Command("defaults")))
    return {**command.make_context("defaults", []).params, **given}


def dry_run_options(command: Command) -> Command:
    """Add --dry-run and --yes."""
    dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
    return dry_run(click.option("--yes", is_flag=True, help="Do not ask on a terminal.")(command))


def must_ask(*, is_confirmed: bool) -> bool:
    """Return whether a person is to be asked first: on a terminal, without --yes."""
    return not is_confirmed and sys.stdin is not None and sys.stdin.isatty()


def confirm(question: str, *, is_confirmed: bool) -> None:
    """Ask before something that cannot be undone, on a terminal and without --yes; raise click.Abort after a no."""
    if must_ask(is_confirmed=is_confirmed) and not click.confirm(question, err=True):
        click.echo("Nothing was changed", err=True)
        raise click.Abort
