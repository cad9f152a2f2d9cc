"""Add, change, pause, resume and remove schedules, and warn of what would make the next run fail."""

from __future__ import annotations

import difflib
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.errors import NothingSent, UnknownSchedule, UsageError
from worker.intake.accept import precheck
from worker.intake.options import Options
from worker.ledger import accounts, schedules, sources
from worker.ledger.database import now
from worker.schedules import arrivals, cron, source
from worker.settings import parse_expected_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.bootstrap import Services
    from worker.ledger.database import Transaction
    from worker.ledger.schedules import Schedule
    from worker.model import Actor
    from worker.settings import Connection

#: The length of the ledger's column.
MAX_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRequest:
    """A schedule that a person asked for."""

    name: str
    cron: str
    #: None for this machine's time zone.
    zone: str | None
    #: A file, `folder:PATH`, `folder:NAME` of a drop folder, or an address.
    source: str
    connection: Connection
    options: Options
    #: What becomes of a run that was missed: `once` or `skip`.
    missed: str
    #: None: to a folder of each job's own.
    report_dir: Path | None
    #: By when a new file must have come, such as `07:00`; empty when nothing is expected.
    expect_by: str = ""
    #: Whether a file that is the same as at the last run is no problem.
    ignore_unchanged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleChanges:
    """What a person asked to be changed; None leaves it as it is."""

    cron: str | None = None
    zone: str | None = None
    source: str | None = None
    connection: Connection | None = None
    options: Options | None = None
    missed: str | None = None
    report_dir: Path | None = None
    expect_by: str | None = None
    ignore_unchanged: bool | None = None


def get_schedule(tx: Transaction, name: str) -> Schedule:
    """Return the schedule of that name. Raises UnknownSchedule that names the nearest one."""
    found = None if "\0" in name else schedules.find(tx, name)
    if found is None:
        near = difflib.get_close_matches(name, [each.name for each in schedules.list_schedules(tx)], n=1)
        remedy = f"did you mean {near[0]}?" if near else "`roster schedule list` shows all"
        raise UnknownSchedule(f"There is no schedule {name[:MAX_NAME]!r}; {remedy}")
    return found


def edit_schedule(services: Services, name: str, wanted: ScheduleChanges, by: Actor) -> Schedule:
    """Change a schedule and return it. Raises UnknownSchedule, or UsageError that says what is wrong.

    With another cron line or zone, the next run is the first one from now on.
    """
    changes: dict[str, Any] = {}
    if wanted.source is not None:
        folders = {folder.name: folder.path for folder in services.settings.watched}
        changes |= {"source": source.parse_source(wanted.source, folders).stored_text, "last_seen_file": None}
    if wanted.connection is not None:
        changes["connection"] = wanted.connection.name
    if wanted.options is not None:
        changes["options"] = asdict(wanted.options)
    if wanted.missed is not None:
        changes["missed"] = wanted.missed
    if wanted.report_dir is not None:
        changes["report_dir"] = str(wanted.report_dir)
    if wanted.expect_by is not None:
        changes["expect_by"] = _expected_time(wanted.expect_by)
    if wanted.ignore_unchanged is not None:
        changes["ignore_unchanged"] = wanted.ignore_unchanged
    with services.ledger.write() as tx:
        run = get_schedule(tx, name)
        if wanted.cron is not None or wanted.zone is not None:
            line, zone = wanted.cron or run.cron, wanted.zone or run.zone
            cron.check_cron(line)
            cron.check_zone(zone)
            changes |= {"cron": line, "zone": zone, "next_at": cron.next_run(line, zone, now())}
        changed = _change(tx, run, "schedule edit", by, changes)
    if wanted.source is not None:
        _record_baseline(services, changed)
    return changed


def pause_schedule(services: Services, name: str, by: Actor) -> Schedule:
    """Let a schedule open no more jobs until it is resumed; return it. Raises UsageError."""
    with services.ledger.write() as tx:
        run = get_schedule(tx, name)
        if run.paused_at is not None:
            raise UsageError(f"The schedule {name} is paused already")
        # Nothing is expected of it now; what was wrong is neither shown nor reported as over.
        sources.change(tx, sources.schedule_source(name), problem=None, notified_since=None)
        return _change(tx, run, "schedule pause", by, {"paused_at": now()})


def resume_schedule(services: Services, name: str, by: Actor) -> Schedule:
    """Let a paused schedule run again, from its next time on; return it. Raises UsageError.

    What it missed while it was paused is not caught up.
    """
    with services.ledger.write() as tx:
        run = get_schedule(tx, name)
        if run.paused_at is None:
            raise UsageError(f"The schedule {name} is not paused")
        sources.change(tx, sources.schedule_source(name), deadline_at=None)
        values = {"paused_at": None, "next_at": cron.next_run(run.cron, run.zone, now())}
        return _change(tx, run, "schedule resume", by, values)


def remove_schedule(services: Services, name: str, by: Actor) -> None:
    """Remove a schedule; its jobs are kept. Raises UnknownSchedule."""
    with services.ledger.write() as tx:
        schedules.remove(tx, get_schedule(tx, name).name)
        accounts.add_audit_entry(tx, actor=by, action="schedule remove", detail=name)


def _change(tx: Transaction, run: Schedule, act: str, by: Actor, values: Mapping[str, Any]) -> Schedule:
    if not schedules.change(tx, run, **values):
        raise UsageError(f"The schedule {run.name} is being run at this moment; try again in a few seconds")
    accounts.add_audit_entry(tx, actor=by, action=act, detail=run.name)
    return get_schedule(tx, run.name)


def add_schedule(services: Services, wanted: ScheduleRequest, by: Actor) -> Schedule:
    """Validate a schedule, insert it and return it. Raises UsageError that says what is wrong."""
    if not wanted.name.strip() or len(wanted.name) > MAX_NAME:
        raise UsageError(f"The name of a schedule must have 1 to {MAX_NAME} characters")
    cron.check_cron(wanted.cron)
    zone = wanted.zone or cron.machine_zone()
    cron.check_zone(zone)
    folders = {folder.name: folder.path for folder in services.settings.watched}
    parsed = source.parse_source(wanted.source, folders)
    expect_by = _expected_time(wanted.expect_by)
    with services.ledger.write() as tx:
        if schedules.find(tx, wanted.name) is not None:
            raise UsageError(
                f"There is already a schedule {wanted.name}; `roster schedule edit {wanted.name}` changes it"
            )
        schedules.add(
            tx,
            name=wanted.name,
            cron=wanted.cron,
            zone=zone,
            source=parsed.stored_text,
            connection=wanted.connection.name,
            options=asdict(wanted.options),
            missed=wanted.missed,
            next_at=cron.next_run(wanted.cron, zone, now()),
            report_dir=str(wanted.report_dir or ""),
            expect_by=expect_by,
            ignore_unchanged=wanted.ignore_unchanged,
        )
        accounts.add_audit_entry(tx, actor=by, action="schedule add", detail=wanted.name)
        added = get_schedule(tx, wanted.name)
    _record_baseline(services, added)
    return added


def _expected_time(text: str) -> str:
    try:
        return str(parse_expected_time(text)) if text else ""
    except ValueError as error:
        raise UsageError(f"--expect-by: {error}") from None


def _record_baseline(services: Services, added: Schedule) -> None:
    """Record which file is there now; an address is first fetched when it is due."""
    found = None
    with suppress(NothingSent):
        if source.parse_source(added.source).kind is not source.SourceKind.ADDRESS:
            found = arrivals.look(services, added)
    with services.ledger.write() as tx:
        arrivals.record_baseline(tx, added, found)


def warnings_for(services: Services, schedule: Schedule) -> list[str]:
    """Return what would make the run fail if it were now; it may be fixed before the run."""
    parsed = source.parse_source(schedule.source)
    warnings = [
        f"{parsed.location} is the drop folder {folder.name}: its files are moved out as soon as they are imported"
        for folder in services.settings.watched
        if Path(folder.path).absolute() == Path(parsed.location)
    ]
    try:
        found = source.find_file(parsed)
        if found is not None:
            precheck(Path(found.path), Options(**schedule.options))
    except NothingSent as error:
        warnings.append(f"A run would fail now: {error}")
    return warnings
