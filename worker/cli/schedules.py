"""`roster schedule …`: add, list, remove and preview schedules. Each command imports what it needs when called."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from worker.cli import completion
from worker.cli.context import REPORTS, actor, connection_of, record, with_connections, with_existing_ledger
from worker.cli.group import CommandGroup
from worker.cli.options import json_option, report_option, roster_options
from worker.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.bootstrap import Services
    from worker.ledger.jobs import Job
    from worker.ledger.schedules import Schedule
    from worker.ledger.sources import RosterSource
    from worker.schedules.forecast import Forecast, Span

CRON_FIELDS = 5


@click.group(cls=CommandGroup)
def schedule() -> None:
    """Schedules that import a roster automatically at set times."""


@schedule.command()
@click.argument("words", nargs=-1, metavar="NAME [CRON] [SOURCE]")
@click.option("--cron", metavar="LINE", help='Minute, hour, day, month, weekday: "0 2 * * 1-5"; or @daily.')
@click.option("--zone", metavar="ZONE", help="The time zone, such as Europe/Dublin; default: this machine's.")
@click.option("--file", "file", type=click.Path(), metavar="FILE", help="The source: a file.")
@click.option("--folder", type=click.Path(), metavar="PATH", help="The source: the newest file in this folder.")
@click.option("--url", metavar="URL", help="The source: an address (https, sftp, s3 …).")
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
    )
    record(services, "schedule add", detail=name)
    if not services.settings.broker and not control.has_background_process(services):
        click.echo("Note: no worker is online; schedules run only while `roster serve` is running", err=True)
    for warning in manage.warnings_for(services, added):
        click.echo(f"Note: {warning}", err=True)
    if options["as_json"]:
        click.echo(json.dumps(_as_json(added), ensure_ascii=False))
    else:
        first = _local_time(added, added.next_at)
        click.echo(f"Schedule {name}: {_source(added)} to {connection.name}, first on {first}")


def _parse_arguments(words: Sequence[str], options: dict[str, Any]) -> tuple[str, str, str]:
    """Return name, cron line and source, whether they were given as options or as arguments."""
    from worker.addresses import masked
    from worker.intake.storage import is_address
    from worker.schedules import cron, source

    sources = [options["file"], options["folder"] and f"{source.FOLDER}{options['folder']}", options["url"]]
    given = [each for each in sources if each]
    rest = list(words)
    line = options["cron"]
    if line is None:
        line = next((word for word in rest[1:] if _looks_like_cron(word)), None)
        if line is None:
            raise UsageError(f"Say when to run it, with --cron: {cron.EXAMPLE}")
        rest.remove(line)
    given += rest[1:]
    if not rest:
        raise UsageError("A schedule needs a name: roster schedule add NAME --cron LINE SOURCE --to CONNECTION")
    if len(given) != 1:
        many = f"got {', '.join(masked(each) if is_address(each) else each for each in given) or 'none'}"
        raise UsageError(f"A schedule takes one source (a file, {source.FOLDER}PATH or an address); {many}")
    return rest[0], " ".join(line.split()), given[0]


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

    with services.ledger.read() as tx:
        found, known = schedules.list_schedules(tx), sources.all_sources(tx)
        last_jobs = {each.last_job_id: jobs.find_job(tx, each.last_job_id) for each in found if each.last_job_id}
    if as_json:
        click.echo(json.dumps([_listed(each, known) for each in found], ensure_ascii=False))
        return
    if not found:
        click.echo('There are no schedules; add one with `roster schedule add NAME --cron "0 2 * * *" FILE`')
    for each in found:
        _print_schedule(each, last_jobs.get(each.last_job_id or 0), known.get(sources.schedule_source(each.name)))


def _print_schedule(each: Schedule, job: Job | None, source: RosterSource | None) -> None:
    from worker.ledger.schedules import SKIP
    from worker.reports.labels import STATE_INFO

    click.echo(f"{each.name}: {_source(each)} to {each.connection}, {each.cron} ({each.zone})")
    click.echo(f"  next  {_local_time(each, each.next_at)}{', skipped if missed' if each.missed == SKIP else ''}")
    if each.last_at is not None:
        of_job = f"job {job.id}: {STATE_INFO[job.state].label}" if job is not None else ""
        click.echo(f"  last  {_local_time(each, each.last_at)}: {each.last_error or of_job}")
    if each.expect_by:
        click.echo(f"  file  expected by {each.expect_by}{_last_file(each, source)}")
    if source is not None and source.problem is not None:
        from worker.reports.source_labels import problem_label

        label, since = problem_label(source.problem, is_folder=False), _local_time(each, source.since or 0.0)
        click.secho(f"  wrong {label} since {since}: {source.reason}", fg="yellow")


def _last_file(each: Schedule, source: RosterSource | None) -> str:
    seen_at = source.seen_at if source is not None else None
    return "" if seen_at is None else f"; the last one came {_local_time(each, seen_at)}"


def _listed(each: Schedule, known: Mapping[str, RosterSource]) -> dict[str, Any]:
    """Return a schedule as JSON, with what is wrong with its source."""
    from worker.ledger import sources

    source = known.get(sources.schedule_source(each.name))
    problem = None
    if source is not None and source.problem is not None:
        problem = {"code": source.problem, "reason": source.reason, "since": _utc(source.since or 0.0)}
    file_at = None if source is None or source.seen_at is None else _utc(source.seen_at)
    return {**_as_json(each), "problem": problem, "last_file_at": file_at}


@schedule.command()
@click.argument("name", shell_complete=completion.schedules)
@with_existing_ledger
def remove(services: Services, name: str) -> None:
    """Remove a schedule; its jobs are kept.

    Example: roster schedule remove nightly
    """
    from worker.ledger import accounts, schedules

    with services.ledger.write() as tx:
        if not schedules.remove(tx, name):
            raise UsageError(_unknown(name, schedules.list_schedules(tx)))
        accounts.add_audit_entry(tx, actor=actor(), action="schedule remove", detail=name)
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

    with services.ledger.read() as tx:
        found = schedules.list_schedules(tx)
    names = {each.name for each in found if name is None or each.name == name}
    if name is not None and not names:
        raise UsageError(_unknown(name, found))
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
        click.echo(f"{each.schedule.name}: {_source(each.schedule)} to {each.schedule.connection}, {_cost(each)}")
        for at in each.times:
            end = f" to about {_hour(each.schedule, at + each.cost.seconds)}" if each.cost.seconds else ""
            click.echo(f"  {_local_time(each.schedule, at)}{end}")
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
    calls = counted(cost.most, "call") if cost.least == cost.most else f"{cost.least:,} to {cost.most:,} calls"
    time = f"about {duration_text(cost.seconds)}" if cost.seconds is not None else "no rate is known yet"
    return f"currently {counted(cost.rows, 'row')}, {calls}, {time}"


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


def _as_json(each: Schedule) -> dict[str, Any]:
    return {
        "name": each.name,
        "cron": each.cron,
        "zone": each.zone,
        "source": _source(each),
        "connection": each.connection,
        "options": dict(each.options),
        "missed": each.missed,
        "expect_by": each.expect_by or None,
        "ignore_unchanged": each.ignore_unchanged,
        "report": each.report_dir,
        "next_at": _utc(each.next_at),
        "last_at": None if each.last_at is None else _utc(each.last_at),
        "last_job": each.last_job_id,
        "last_error": each.last_error or None,
    }


def _source(each: Schedule) -> str:
    from worker.schedules.source import parse_source

    return parse_source(each.source).display_text


def _local_time(each: Schedule, at: float) -> str:
    from worker.reports.lines import local_text

    return local_text(at, each.zone)


def _hour(each: Schedule, at: float) -> str:
    return datetime.fromtimestamp(at, ZoneInfo(each.zone)).strftime("%H:%M")


def _utc(at: float) -> str:
    from worker.reports.lines import utc_text

    return utc_text(datetime.fromtimestamp(at, UTC))


def _unknown(name: str, known: Sequence[Schedule]) -> str:
    import difflib

    near = difflib.get_close_matches(name, [each.name for each in known], n=1)
    return f"There is no schedule {name!r}; " + (f"did you mean {near[0]}?" if near else "`roster schedule list`")


COMMANDS = (schedule,)
