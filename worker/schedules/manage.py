"""Add a schedule: validate what a person asked for, insert it, and warn of what would make its next run fail."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from worker.errors import NothingSent, UsageError
from worker.intake.accept import precheck
from worker.intake.options import Options
from worker.ledger import schedules
from worker.ledger.database import now
from worker.schedules import arrivals, cron, source
from worker.settings import parse_expected_time

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.ledger.schedules import Schedule
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
    report_dir: Path
    #: By when a new file must have come, such as `07:00`; empty when nothing is expected.
    expect_by: str = ""
    #: Whether a file that is the same as at the last run is no problem.
    ignore_unchanged: bool = False


def add_schedule(services: Services, wanted: ScheduleRequest) -> Schedule:
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
                f"There is already a schedule {wanted.name}; `roster schedule remove {wanted.name}` first"
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
            report_dir=str(wanted.report_dir),
            expect_by=expect_by,
            ignore_unchanged=wanted.ignore_unchanged,
        )
        added = schedules.find(tx, wanted.name)
    if added is None:
        raise UsageError(f"The schedule {wanted.name} has been removed meanwhile")
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
