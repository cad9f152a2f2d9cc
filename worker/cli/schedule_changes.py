"""`roster schedule edit`, `pause`, `resume` and `run`. Each command imports what it needs when it is called."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from worker.cli import completion
from worker.cli.context import actor, connection_of, with_existing_ledger
from worker.cli.options import json_option, quiet_option, report_option, roster_options
from worker.cli.schedules import as_json_of, local_time, schedule, source_of, source_options, typed_source
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.intake.options import Options
    from worker.ledger.schedules import Schedule

NAME = click.argument("name", shell_complete=completion.schedules)
#: The options of a roster that can be typed, and their fields in `Options`.
FIELDS = {
    "course": "course",
    "set_values": "set_values",
    "sheet": "sheet",
    "heading_row": "heading_row",
    "hidden_rows": "hidden_rows",
    "mapping": "mapping",
    "use_map": "mapping",
    "encoding": "encoding",
    "strict": "strict",
    "again": "again",
    "update_existing": "update_existing",
    "start_row": "start_row",
    "max_rows": "max_rows",
}
#: What --clear takes: options of a roster, and of the schedule itself with what they are without a value.
CLEARED_FIELDS = {
    {"set_values": "set", "mapping": "map"}.get(field, field.replace("_", "-")): field
    for field in dict.fromkeys(FIELDS.values())
}
CLEARED_VALUES: dict[str, dict[str, Any]] = {
    "expect-by": {"expect_by": ""},
    "ignore-unchanged": {"ignore_unchanged": False},
}


@schedule.command()
@NAME
@click.argument("source", required=False, type=click.Path(), metavar="[SOURCE]")
@click.option("--cron", metavar="LINE", help='Minute, hour, day, month, weekday: "0 2 * * 1-5"; or @daily.')
@click.option("--zone", metavar="ZONE", help="The time zone, such as Europe/Dublin.")
@source_options
@click.option("--missed", type=click.Choice(["once", "skip"]), help="What becomes of missed runs.")
@click.option("--expect-by", metavar="TIME", help="By when a new file must have come.")
@click.option("--ignore-unchanged", is_flag=True, help="Send no message when the file is the same.")
@click.option(
    "--clear",
    multiple=True,
    type=click.Choice([*CLEARED_FIELDS, *CLEARED_VALUES]),
    metavar="OPTION",
    help="Take an option out, such as `course` or `strict`; repeatable.",
)
@roster_options
@report_option
@json_option
@click.pass_context
def edit(context: click.Context, /, name: str, **options: Any) -> None:
    """Change a schedule: only what is given, the rest stays.

    --set and --map replace all earlier ones.

    Example: roster schedule edit nightly --cron "30 5 * * 1-5" --clear course
    """
    from worker.cli.context import services_of
    from worker.schedules import manage

    services = services_of(context, make_ledger=False)
    typed = {each for each in options if context.get_parameter_source(each) is ParameterSource.COMMANDLINE} - {
        "as_json"
    }
    if not typed:
        raise UsageError("Say what to change, for example --cron; `roster schedule edit --help` lists the options")
    cleared = [CLEARED_VALUES[each] for each in options["clear"] if each in CLEARED_VALUES]
    values: dict[str, Any] = {key: options[key] for key in ("cron", "zone", "missed", "expect_by") if key in typed}
    if options["ignore_unchanged"]:
        values["ignore_unchanged"] = True
    for each in cleared:
        values |= each
    changes = manage.ScheduleChanges(
        **values,
        source=typed_source(options, [options["source"]] if options["source"] else []),
        connection=connection_of(services, options["to"]) if options["to"] else None,
        options=_changed_options(services, name, typed, options),
        report_dir=options["report"].absolute() if options["report"] else None,
    )
    changed = manage.edit_schedule(services, name, changes, actor())
    for warning in manage.warnings_for(services, changed):
        click.echo(f"Note: {warning}", err=True)
    _print(services, changed, f"{source_of(changed)} to {changed.connection}", as_json=options["as_json"])


def _changed_options(services: Services, name: str, typed: set[str], options: dict[str, Any]) -> Options | None:
    """Return the options of the rosters with those that were typed or cleared; None when there are none."""
    from worker.intake.options import Options, parse_options
    from worker.schedules.manage import get_schedule

    changed = {FIELDS[each] for each in typed & set(FIELDS)}
    cleared = {CLEARED_FIELDS[each] for each in options["clear"] if each in CLEARED_FIELDS}
    if twice := changed & cleared:
        raise UsageError(f"--clear: {', '.join(sorted(twice))} is also given a value; leave one of them out")
    if not changed | cleared:
        return None
    with services.ledger.read() as tx:
        stored = Options(**get_schedule(tx, name).options)
    parsed, empty = parse_options(services.ledger, options, by=actor()), Options()
    values = {field: getattr(parsed, field) for field in changed}
    return replace(stored, **values, **{field: getattr(empty, field) for field in cleared})


@schedule.command()
@NAME
@json_option
@with_existing_ledger
def pause(services: Services, name: str, *, as_json: bool) -> None:
    """Pause a schedule: no jobs are opened until it is resumed.

    Example: roster schedule pause nightly
    """
    from worker.schedules import manage

    paused = manage.pause_schedule(services, name, actor())
    _print(services, paused, f"paused; `roster schedule resume {name}` resumes it", as_json=as_json)


@schedule.command()
@NAME
@json_option
@with_existing_ledger
def resume(services: Services, name: str, *, as_json: bool) -> None:
    """Resume a paused schedule; missed runs are not caught up.

    Example: roster schedule resume nightly
    """
    from worker.schedules import manage

    resumed = manage.resume_schedule(services, name, actor())
    _print(services, resumed, "resumed", as_json=as_json)


def _print(services: Services, each: Schedule, text: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(as_json_of(services, each), ensure_ascii=False))
        return
    following = "" if each.paused_at is not None else f", next on {local_time(each, each.next_at)}"
    click.echo(f"Schedule {each.name}: {text}{following}")


@schedule.command()
@NAME
@json_option
@quiet_option
@with_existing_ledger
def run(services: Services, name: str, *, as_json: bool, quiet: bool) -> int:
    """Run a schedule now; its next run is due as planned.

    With workers or `roster serve`, it is handed to them; else it runs in this process.

    Example: roster schedule run nightly
    """
    from worker import control
    from worker.cli.exit_codes import ExitCode
    from worker.cli.run import run_opened
    from worker.model import Driver

    is_served = bool(services.settings.broker) or control.has_background_process(services)
    driver = Driver.QUEUE if is_served else Driver.PROCESS
    submitted = control.run_schedule(services, name, actor=actor(), driver=driver)
    job_id = submitted.job_id
    if submitted.submission.duplicate:
        click.echo(f"Schedule {name}: {submitted.submission.message}", err=True)
    if not is_served:
        return run_opened(services, job_id, {"quiet": quiet, "as_json": as_json})
    if not submitted.is_published:
        click.echo(f"The broker cannot be reached; job {job_id} is saved and starts when it is back", err=True)
    text = f"job {job_id}: `roster status {job_id} --watch` follows it"
    click.echo(json.dumps({"job": job_id}) if as_json else text)
    return ExitCode.DONE


COMMANDS = (schedule,)
