"""The options that several commands share (contract §2), and what they make of what a person typed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from worker.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

_ROSTER = [
    click.option("--to", metavar="NAME", help="The connection; may be left out when only one is configured."),
    click.option(
        "--course", metavar="VALUE", help='For rows that name no course: 58, "name:Fire Safety" or ext:C-58.'
    ),
    click.option(
        "--set",
        "set_values",
        metavar="COLUMN=VALUE",
        multiple=True,
        help="A value for every row that leaves that column empty; repeatable.",
    ),
    click.option("--sheet", metavar="NAME", help="The worksheet; default: the first visible one that has data."),
    click.option(
        "--map",
        "mapping",
        metavar='"Heading=column"',
        multiple=True,
        help="This heading is that column; repeatable.",
    ),
    click.option("--save-map", metavar="NAME", help="Keep the --map of this call under a name."),
    click.option("--use-map", metavar="NAME", help="Use the --map kept under that name."),
    click.option("--encoding", metavar="NAME", help="The encoding of a CSV; without it, found out."),
    click.option("--strict", is_flag=True, help="Any invalid row: nothing is sent."),
    click.option("--again", is_flag=True, help="Register even where the ledger already knows the registration."),
    click.option(
        "--update-existing",
        is_flag=True,
        help="Bring people who are on the LMS already up to date before they are registered.",
    ),
    click.option("--start-row", type=int, metavar="N", help="Begin at this row of the spreadsheet."),
    click.option("--max-rows", type=int, metavar="N", help="Take at most so many rows."),
]
_REPORT = click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where the reports go; default ./reports.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="The last line of standard output is JSON.")
_QUIET = click.option("--quiet", is_flag=True, help="No progress.")


def roster_options(command: Command) -> Command:
    """Give a command the options with which a roster is read and sent."""
    for option in reversed(_ROSTER):
        command = option(command)
    return command


def output_options(command: Command) -> Command:
    """Give a command --report, --json and --quiet."""
    return _REPORT(_JSON(_QUIET(command)))


def report_option(command: Command) -> Command:
    """Give a command --report."""
    return _REPORT(command)


def json_option(command: Command) -> Command:
    """Give a command --json."""
    return _JSON(command)


def pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    """Return `NAME=VALUE` texts as a mapping; a heading may hold `=`, so the last one divides a --map.

    Raises UsageError for a text without `=`.
    """
    found = {}
    for text in texts:
        name, sign, value = text.rpartition("=") if option == "--map" else text.partition("=")
        if not sign or not name.strip():
            raise UsageError(f'{option} takes NAME=VALUE, for example {_EXAMPLES[option]}; got "{text}"')
        found[name.strip()] = value.strip()
    return found


_EXAMPLES = {"--set": "--set behavior=1", "--map": '--map "Staff no=external_id"'}
