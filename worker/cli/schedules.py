"""`roster schedule …`: declares commands and options; each command imports what it needs when called."""

from __future__ import annotations

from typing import Any

import click

from worker.cli.options import json_option, report_option, roster_options
from worker.cli.services import services_of


@click.group()
def schedule() -> None:
    """Rosters that are taken again and again: a cron line, a source, a connection."""


@schedule.command()
@click.argument("words", nargs=-1, metavar="NAME [CRON] [SOURCE]")
@click.option("--cron", metavar="LINE", help='Minute, hour, day, month, weekday: "0 2 * * 1-5"; or @daily.')
@click.option("--zone", metavar="ZONE", help="Of the cron line, such as Europe/Dublin; default: this machine's.")
@click.option("--file", "file", metavar="FILE", help="The source: a file.")
@click.option("--folder", metavar="PATH", help="The source: the newest file of this folder.")
@click.option("--url", metavar="URL", help="The source: an address (https, sftp, s3 …).")
@click.option(
    "--missed",
    type=click.Choice(["once", "skip"]),
    default="once",
    show_default=True,
    help="A run missed while nothing was up is caught up once, or skipped.",
)
@roster_options
@report_option
@json_option
@click.pass_context
def add(context: click.Context, /, words: tuple[str, ...], **options: Any) -> None:
    """Have a roster taken again and again. SOURCE is a file, folder:PATH or an address.

    Example: roster schedule add nightly --cron "0 2 * * 1-5" --zone Europe/Dublin hr/today.csv --to north
    """
    from worker.cli import schedules_old

    context.exit(schedules_old.add(services_of(context), words, options))


@schedule.command("list")
@json_option
@click.pass_context
def list_(context: click.Context, *, as_json: bool) -> None:
    """List the schedules: when each is due, and what became of its last run.

    Example: roster schedule list
    """
    from worker.cli import schedules_old

    context.exit(schedules_old.list_all(services_of(context), as_json=as_json))


@schedule.command()
@click.argument("name")
@click.pass_context
def remove(context: click.Context, name: str) -> None:
    """Remove a schedule; its jobs stay.

    Example: roster schedule remove nightly
    """
    from worker.cli import schedules_old

    context.exit(schedules_old.remove(services_of(context), name))


@schedule.command()
@click.argument("name", required=False)
@click.option("--count", type=click.IntRange(1, 1000), default=5, show_default=True, help="So many runs of each.")
@json_option
@click.pass_context
def preview(context: click.Context, name: str | None, *, count: int, as_json: bool) -> None:
    """Show the next runs, how long each will take, and which will be in each other's way; send nothing.

    Example: roster schedule preview nightly --count 3
    """
    from worker.cli import schedules_old

    context.exit(schedules_old.preview(services_of(context), name, count, as_json=as_json))
