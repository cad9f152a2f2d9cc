"""`roster schedule …`: add, list, remove and preview schedules. Each command imports what it needs when called."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from worker.cli import completion
from worker.cli.context import REPORTS, actor, connection_of, with_connections, with_existing_ledger
from worker.cli.group import CommandGroup
from worker.cli.options import Command, json_option, report_option, roster_options
from worker.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.bootstrap import Services
    from worker.ledger.jobs import Job
    from worker.ledger.schedules import Schedule
    from worker.ledger.sources import RosterSource
    from worker.schedules.forecast import Forecast, Span

CRON_FIELDS = 5


@click.group(cls=CommandGroup)
def schedule() -> None:
    """Schedules that import a roster automatically at set times."""


def source_options(command: Command) -> Command:
    """Add the options that name a source."""
    file = click.option("--file", type=click.Path(), metavar="FILE", help="The source: a file.")
    folder = click.option(
        "--folder", type=click.Path(), metavar="PATH", help="The source: the newest file in this folder."
    )
    url = click.option("--url", metavar="URL", help="The source: an address (https, sftp, s3 …).")
    return file(folder(url(command)))


@schedule.command()
@click.argument("words", nargs=-1, metavar="NAME [CRON] [SOURCE]")
@click.option("--cron", metavar="LINE", help='Minute, hour, day, month, weekday: "0 2 * * 1-5"; or @daily.')
@click.option("--zone", metavar="ZONE", help="The time zone, such as Europe/Dublin; default: this machine's.")
@source_options
@click.option(
    "--missed",
    type=click.Choice(["once", "skip"]),
    default="once",
    show_default=True,
    help="Runs missed while nothing was running are caught up once, or skipped.",
)
@click.option(
    "--expect-by",
    default="",
    metavar="TIME",
    help='By when a new file must have come: 07:00, or "MON-FRI 07:00"; you are notified when it has not.',
)
@click.option(
    "--ignore-unchanged", is_flag=True, help="Send no message when the file is the same as at the last run."
)
@roster_options
@report_option
@json_option
@with_connections
def add(services: Services, words: tuple[str, ...], **options: Any) -> None:
    """Import a roster automatically at set times. SOURCE is a file, folder:PATH or an address.

    Example: roster schedule add nightly --cron "0 2 * * 1-5" --zone Europe/Dublin hr/today.csv --to north
    """
    from worker import control
    from worker.intake.options import parse_options
    from worker.schedules import manage

    name, line, place = _parse_arguments(words, options)
    connection = connection_of(services, options["to"])
    added = manage.add_schedule(
        services,
        manage.ScheduleRequest(
            name=name,
            cron=line,
            zone=options["zone"],
            source=place,
            connection=connection,
            options=parse_options(services.ledger, options, by=actor()),
            missed=options["missed"],
            report_dir=(options["report"] or REPORTS).absolute(),
            expect_by=options["expect_by"],
            ignore_unchanged=options["ignore_unchanged"],
        ),
        actor(),
    )
    if not services.settings.broker and not control.has_background_process(services):
        click.echo("Note: no worker is online; schedules run only while `roster serve` is running", err=True)
    for warning in manage.warnings_for(services, added):
        click.echo(f"Note: {warning}", err=True)
    if options["as_json"]:
        click.echo(json.dumps(as_json_of(services, added), ensure_ascii=False))
    else:
        first = local_time(added, added.next_at)
        click.echo(f"Schedule {name}: {source_of(added)} to {connection.name}, first on {first}")


def _parse_arguments(words: Sequence[str], options: dict[str, Any]) -> tuple[str, str, str]:
    """Return name, cron line and source, whether they were given as options or as arguments."""
    from worker.schedules import cron

    rest = list(words)
    line = options["cron"]
    if line is None:
        line = next((word for word in rest[1:] if _looks_like_cron(word)), None)
        if line is None:
            raise UsageError(f"Say when to run it, with --cron: {cron.EXAMPLE}")
        rest.remove(line)
    if not rest:
        raise UsageError("A schedule needs a name: roster schedule add NAME --cron LINE SOURCE --to CONNECTION")
    source = typed_source(options, rest[1:])
    if source is None:
        raise UsageError("A schedule takes one source (a file, folder:PATH or an address); got none")
    return rest[0], " ".join(line.split()), source


def typed_source(options: dict[str, Any], words: Sequence[str]) -> str | None:
    """Return the source that was typed, as an option or as a word; None when there is none. Raises UsageError."""
    from worker.addresses import masked
    from worker.intake.storage import is_address
    from worker.schedules import source

    sources = [options["file"], options["folder"] and f"{source.FOLDER}{options['folder']}", options["url"]]
    given = [*(each for each in sources if each), *words]
    if len(given) > 1:
        many = ", ".join(masked(each) if is_address(each) else each for each in given)
        raise UsageError(f"A schedule takes one source (a file, {source.FOLDER}PATH or an address); got {many}")
    return given[0] if given else None


def _looks_like_cron(word: str) -> bool:
    return word.startswith("@") or len(word.split()) == CRON_FIELDS


@schedule.command("list")
@json_option
@with_existing_ledger
def list_(services: Services, *, as_json: bool) -> None:
    """List the schedules, with their next and last runs.

    Example: roster schedule list
    """
    from worker.ledger import jobs, schedules, sources
    from worker.schedules.describe import describe_all

    with services.ledger.read() as tx:
        if as_json:
            click.echo(json.dumps(describe_all(tx), ensure_ascii=False))
            return
        found, known = schedules.list_schedules(tx), sources.all_sources(tx)
        last_jobs = {each.last_job_id: jobs.find_job(tx, each.last_job_id) for each in found if each.last_job_id}
    if not found:
        click.echo('There are no schedules; add one with `roster schedule add NAME --cron "0 2 * * *" FILE`')
    for each in found:
        _print_schedule(each, last_jobs.get(each.last_job_id or 0), known.get(sources.schedule_source(each.name)))


def _print_schedule(each: Schedule, job: Job | None, source: RosterSource | None) -> None:
    from worker.ledger.schedules import SKIP
    from worker.reports.labels import STATE_INFO

    click.echo(f"{each.name}: {source_of(each)} to {each.connection}, {each.cron} ({each.zone})")
    if each.paused_at is not None:
        click.echo(f"  paused since {local_time(each, each.paused_at)}; `roster schedule resume {each.name}`")
    else:
        missed = ", skipped if missed" if each.missed == SKIP else ""
        click.echo(f"  next  {local_time(each, each.next_at)}{missed}")
    if each.last_at is not None:
        of_job = f"job {job.id}: {STATE_INFO[job.state].label}" if job is not None else ""
        click.echo(f"  last  {local_time(each, each.last_at)}: {each.last_error or of_job}")
    if each.expect_by:
        click.echo(f"  file  expected by {each.expect_by}{_last_file(each, source)}")
    if source is not None and source.problem is not None:
        from worker.reports.source_labels import problem_label

        label, since = problem_label(source.problem, is_folder=False), local_time(each, source.since or 0.0)
        click.secho(f"  wrong {label} since {since}: {source.reason}", fg="yellow")


def _last_file(each: Schedule, source: RosterSource | None) -> str:
    seen_at = source.seen_at if source is not None else None
    return "" if seen_at is None else f"; the last one came {local_time(each, seen_at)}"


def as_json_of(services: Services, each: Schedule) -> dict[str, Any]:
    """Return a schedule as JSON, with what is wrong with its source."""
    from worker.ledger import sources
    from worker.schedules.describe import describe

    with services.ledger.read() as tx:
        return describe(each, sources.find(tx, sources.schedule_source(each.name)))


@schedule.command()
@click.argument("name", shell_complete=completion.schedules)
@with_existing_ledger
def remove(services: Services, name: str) -> None:
    """Remove a schedule; its jobs are kept.

    Example: roster schedule remove nightly
    """
    from worker.schedules import manage

    manage.remove_schedule(services, name, actor())
    click.echo(f"Schedule {name} was removed; its jobs are kept")


@schedule.command()
@click.argument("name", required=False, shell_complete=completion.schedules)
@click.option("--count", type=click.IntRange(1, 1000), default=5, show_default=True, help="N runs of each.")
@json_option
@with_existing_ledger
def preview(services: Services, name: str | None, *, count: int, as_json: bool) -> None:
    """Show the next runs, how long they take and which overlap.

    Sends nothing.

    Example: roster schedule preview nightly --count 3
    """
    from worker.ledger import schedules
    from worker.schedules import forecast
    from worker.schedules.manage import get_schedule

    with services.ledger.read() as tx:
        found = schedules.list_schedules(tx)
        names = {each.name for each in found} if name is None else {get_schedule(tx, name).name}
    forecasts = forecast.forecast_runs(services, found, count)
    spans = [span for each in forecasts for span in each.spans] + forecast.job_spans(services)
    overlaps = [
        pair for pair in forecast.find_overlaps(spans) if name is None or {each.what for each in pair} & names
    ]
    shown = [each for each in forecasts if each.schedule.name in names]
    if as_json:
        click.echo(json.dumps(_forecast_as_json(shown, overlaps), ensure_ascii=False))
    else:
        _print_forecast(shown, overlaps)


def _print_forecast(forecasts: Sequence[Forecast], overlaps: Sequence[tuple[Span, Span]]) -> None:
    if not forecasts:
        click.echo("There are no schedules")
    for each in forecasts:
        click.echo(f"{each.schedule.name}: {source_of(each.schedule)} to {each.schedule.connection}, {_cost(each)}")
        if each.schedule.paused_at is not None:
            click.echo("  paused")
        for at in each.times:
            end = f" to about {_hour(each.schedule, at + each.cost.seconds)}" if each.cost.seconds else ""
            click.echo(f"  {local_time(each.schedule, at)}{end}")
    for first, second in overlaps:
        click.secho(f"overlap on {first.connection}: {_overlap(first, second)}", fg="yellow")


def _overlap(first: Span, second: Span) -> str:
    if first.end > second.start:
        until = f"while {first.what} is running until about {_utc(first.end)}"
        return f"{second.what} starts {_utc(second.start)}, {until}"
    return f"{first.what} and {second.what} start at the same time, {_utc(second.start)}"


def _cost(each: Forecast) -> str:
    from worker.reports.labels import counted, duration_text

    cost = each.cost
    if cost.unknown_reason:
        return f"no estimate: {cost.unknown_reason}"
    rows = f"currently {counted(cost.rows, 'row')}"
    if not cost.most:
        return f"{rows}, no calls to the LMS"
    calls = counted(cost.most, "call") if cost.least == cost.most else f"{cost.least:,} to {cost.most:,} calls"
    if cost.seconds is None:
        return f"{rows}, {calls}, no rate is known yet"
    return f"{rows}, {calls}, {'under a second' if cost.seconds < 1 else f'about {duration_text(cost.seconds)}'}"


def _forecast_as_json(
    forecasts: Sequence[Forecast], overlaps: Sequence[tuple[Span, Span]]
) -> dict[str, list[dict[str, Any]]]:
    runs = [
        {
            "schedule": each.schedule.name,
            "connection": each.schedule.connection,
            "at": _utc(at),
            "rows": each.cost.rows,
            "calls": {"least": each.cost.least, "most": each.cost.most},
            "seconds": None if each.cost.seconds is None else round(each.cost.seconds, 1),
            "unknown": each.cost.unknown_reason or None,
        }
        for each in forecasts
        for at in each.times
    ]
    clashes = [
        {
            "connection": first.connection,
            "first": first.what,
            "second": second.what,
            "at": _utc(second.start),
            "until": _utc(first.end),
        }
        for first, second in overlaps
    ]
    return {"runs": sorted(runs, key=lambda run: str(run["at"])), "clashes": clashes}


def source_of(each: Schedule) -> str:
    """Return the source of a schedule, without secrets."""
    from worker.schedules.source import parse_source

    return parse_source(each.source).display_text


def local_time(each: Schedule, at: float) -> str:
    """Return a time in the zone of a schedule."""
    from worker.reports.lines import local_text

    return local_text(at, each.zone)


def _hour(each: Schedule, at: float) -> str:
    return datetime.fromtimestamp(at, ZoneInfo(each.zone)).strftime("%H:%M")


def _utc(at: float) -> str:
    from worker.reports.lines import utc_text

    return utc_text(datetime.fromtimestamp(at, UTC))


COMMANDS = (schedule,)
