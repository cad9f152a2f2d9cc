"""`schedule add`, `list`, `remove` and `preview`."""

from __future__ import annotations

import difflib
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from worker.cli import output
from worker.errors import NothingSent, UsageError
from worker.intake.storage import is_address, redacted
from worker.ledger import jobs, schedules
from worker.ledger.database import now
from worker.ledger.schedules import SKIP
from worker.schedules import cron, source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.bootstrap import Services
    from worker.intake.accept import Options
    from worker.ledger.schedules import Schedule
    from worker.schedules.forecast import Outlook, Span
    from worker.schedules.source import Source

CRON_FIELDS = 5


def add(services: Services, words: Sequence[str], options: dict[str, Any]) -> int:
    """Keep a schedule, having checked everything about it that can be checked now."""
    from worker.cli.run import REPORTS, connection_of
    from worker.intake.reading import roster_options

    name, line, place = _understood(words, options)
    cron.check_cron(line)
    zone = options["zone"] or cron.machine_zone()
    cron.check_zone(zone)
    connection = connection_of(services, options["to"])
    taken = source.parse(place, {folder.name: folder.path for folder in services.settings.watched})
    read = roster_options(services, options)
    with services.ledger.write() as tx:
        if schedules.find(tx, name) is not None:
            raise UsageError(f"There is a schedule {name} already; `roster schedule remove {name}` first")
        schedules.add(
            tx,
            name=name,
            cron=line,
            zone=zone,
            source=taken.written,
            connection=connection.name,
            options=asdict(read),
            missed=options["missed"],
            next_at=cron.next_run(line, zone, now()),
            report_dir=str((options["report"] or REPORTS).absolute()),
        )
        kept = _found(schedules.find(tx, name), name)
    _warn(services, taken, read)
    if options["as_json"]:
        click.echo(json.dumps(_as_json(kept), ensure_ascii=False))
    else:
        click.echo(f"Schedule {name}: {taken.shown} to {connection.name}, first on {_when(kept, kept.next_at)}")
    return output.DONE


def _understood(words: Sequence[str], options: dict[str, Any]) -> tuple[str, str, str]:
    """Return name, cron line and source, whether they were given as options or one after the other."""
    sources = [options["file"], options["folder"] and f"{source.FOLDER}{options['folder']}", options["url"]]
    given = [each for each in sources if each]
    rest = list(words)
    line = options["cron"]
    if line is None:
        line = next((word for word in rest[1:] if _looks_like_cron(word)), None)
        if line is None:
            raise UsageError(f"Say when, with --cron: {cron.EXAMPLE}")
        rest.remove(line)
    given += rest[1:]
    if not rest:
        raise UsageError("A schedule needs a name: roster schedule add NAME --cron LINE SOURCE --to CONNECTION")
    if len(given) != 1:
        many = f"got {', '.join(redacted(each) if is_address(each) else each for each in given) or 'none'}"
        raise UsageError(f"A schedule takes one source (a file, {source.FOLDER}PATH or an address); {many}")
    if not rest[0].strip() or len(rest[0]) > 200:  # noqa: PLR2004 - the ledger's column
        raise UsageError("The name of a schedule has 1 to 200 letters")
    return rest[0], " ".join(line.split()), given[0]


def _looks_like_cron(word: str) -> bool:
    return word.startswith("@") or len(word.split()) == CRON_FIELDS


def _warn(services: Services, taken: Source, read: Options) -> None:
    """Say what would stop the run if it were now; by its time that may be mended."""
    from worker import control
    from worker.intake.accept import glance

    if not services.settings.broker and not control.anybody_at_work(services):
        click.echo("Note: nobody is at work now; schedules run while `roster serve` does", err=True)
    watched = [each.name for each in services.settings.watched if Path(each.path).absolute() == Path(taken.place)]
    if watched:
        click.echo(
            f"Note: {taken.place} is the drop folder {watched[0]}: files are taken out of it as they come", err=True
        )
    try:
        found = source.glimpse(taken)
        if found is not None:
            glance(Path(found.path), read)
    except NothingSent as error:
        click.echo(f"Note: as it is now the run would fail: {error}", err=True)


def list_all(services: Services, *, as_json: bool) -> int:
    """Print every schedule."""
    with services.ledger.read() as tx:
        kept = schedules.list_schedules(tx)
        states = {each.last_job_id: jobs.find_job(tx, each.last_job_id) for each in kept if each.last_job_id}
    if as_json:
        click.echo(json.dumps([_as_json(each) for each in kept], ensure_ascii=False))
        return output.DONE
    if not kept:
        click.echo('There are no schedules; `roster schedule add NAME --cron "0 2 * * *" FILE` makes the first')
    for each in kept:
        click.echo(f"{each.name}: {_shown(each)} to {each.connection}, {each.cron} ({each.zone})")
        click.echo(f"  next  {_when(each, each.next_at)}{', skipped if missed' if each.missed == SKIP else ''}")
        job = states.get(each.last_job_id or 0)
        if each.last_at is not None:
            became = f"job {job.id} {job.state}" if job is not None and not each.last_error else each.last_error
            click.echo(f"  last  {_when(each, each.last_at)}: {became}")
    return output.DONE


def remove(services: Services, name: str) -> int:
    """Remove a schedule; its jobs stay."""
    with services.ledger.write() as tx:
        if not schedules.remove(tx, name):
            raise UsageError(_no_such(name, [each.name for each in schedules.list_schedules(tx)]))
    click.echo(f"Schedule {name} is removed; jobs that it opened stay")
    return output.DONE


def preview(services: Services, name: str | None, count: int, *, as_json: bool) -> int:
    """Print the next runs of one schedule or of all, and which will be in each other's way."""
    from worker.schedules import forecast

    with services.ledger.read() as tx:
        kept = schedules.list_schedules(tx)
    wanted = [each for each in kept if name is None or each.name == name]
    if name is not None and not wanted:
        raise UsageError(_no_such(name, [each.name for each in kept]))
    ahead = forecast.look_ahead(services, kept, count)
    spans = [span for each in ahead for span in each.spans] + forecast.open_spans(services)
    names = {each.name for each in wanted}
    clashes = [pair for pair in forecast.clashes(spans) if name is None or {each.what for each in pair} & names]
    shown = [each for each in ahead if each.schedule.name in names]
    if as_json:
        click.echo(json.dumps(_forecast_as_json(shown, clashes), ensure_ascii=False))
    else:
        _tell_forecast(shown, clashes)
    return output.DONE


def _tell_forecast(ahead: Sequence[Outlook], clashes: Sequence[tuple[Span, Span]]) -> None:
    if not ahead:
        click.echo("There are no schedules")
    for each in ahead:
        click.echo(f"{each.schedule.name}: {_shown(each.schedule)} to {each.schedule.connection}, {_cost(each)}")
        for at in each.times:
            end = f" to about {_hour(each.schedule, at + each.cost.seconds)}" if each.cost.seconds else ""
            click.echo(f"  {_when(each.schedule, at)}{end}")
    for first, second in clashes:
        click.secho(f"clash on {first.connection}: {_met(first, second)}", fg="yellow")


def _met(first: Span, second: Span) -> str:
    if first.end > second.start:
        until = f"while {first.what} is at work until about {_utc(first.end)}"
        return f"{second.what} begins {_utc(second.start)}, {until}"
    return f"{first.what} and {second.what} begin together, {_utc(second.start)}"


def _cost(each: Outlook) -> str:
    cost = each.cost
    if cost.unknown:
        return f"what it will take cannot be said: {cost.unknown}"
    calls = f"{cost.least}" if cost.least == cost.most else f"{cost.least} to {cost.most}"
    time = f"about {cost.seconds:,.0f} seconds" if cost.seconds is not None else "no pace is known yet"
    return f"as it stands now {cost.rows} rows, {calls} calls, {time}"


def _forecast_as_json(ahead: Sequence[Outlook], clashes: Sequence[tuple[Span, Span]]) -> dict[str, Any]:
    runs = [
        {
            "schedule": each.schedule.name,
            "connection": each.schedule.connection,
            "at": _utc(at),
            "rows": each.cost.rows,
            "calls": {"least": each.cost.least, "most": each.cost.most},
            "seconds": None if each.cost.seconds is None else round(each.cost.seconds, 1),
            "unknown": each.cost.unknown or None,
        }
        for each in ahead
        for at in each.times
    ]
    met = [
        {
            "connection": first.connection,
            "first": first.what,
            "second": second.what,
            "at": _utc(second.start),
            "until": _utc(first.end),
        }
        for first, second in clashes
    ]
    return {"runs": sorted(runs, key=lambda run: str(run["at"])), "clashes": met}


def _as_json(each: Schedule) -> dict[str, Any]:
    return {
        "name": each.name,
        "cron": each.cron,
        "zone": each.zone,
        "source": _shown(each),
        "connection": each.connection,
        "options": dict(each.options),
        "missed": each.missed,
        "report": each.report_dir,
        "next_at": _utc(each.next_at),
        "last_at": None if each.last_at is None else _utc(each.last_at),
        "last_job": each.last_job_id,
        "last_error": each.last_error or None,
    }


def _shown(each: Schedule) -> str:
    return source.parse(each.source).shown


def _when(each: Schedule, at: float) -> str:
    return datetime.fromtimestamp(at, ZoneInfo(each.zone)).strftime("%a %Y-%m-%d %H:%M %Z")


def _hour(each: Schedule, at: float) -> str:
    return datetime.fromtimestamp(at, ZoneInfo(each.zone)).strftime("%H:%M")


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _no_such(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"There is no schedule {name!r}; " + (f"did you mean {near[0]}?" if near else "`roster schedule list`")


def _found(schedule: Schedule | None, name: str) -> Schedule:
    if schedule is None:
        raise UsageError(f"The schedule {name} was removed meanwhile")
    return schedule
