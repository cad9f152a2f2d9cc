"""What `doctor` says of the drop folders and the schedules."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from worker import control
from worker.errors import RosterError
from worker.folders import watch
from worker.ledger import dropped_files, jobs
from worker.ledger import schedules as timetable
from worker.ledger.dropped_files import DropState
from worker.model import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.bootstrap import Services
    from worker.ledger.jobs import Job
    from worker.ledger.schedules import Schedule
    from worker.settings import Folder

#: So many names are told; the number tells the rest.
SHOWN = 3


def folders(services: Services) -> list[tuple[bool, str]]:
    """Look whether each drop folder can be worked with, and what lies in it for a person to look at."""
    return [_folder(services, folder) for folder in services.settings.watched]


def schedules(services: Services) -> list[tuple[bool, str]]:
    """Say which schedules there are, and why the last run of one opened no job."""
    with services.ledger.read() as tx:
        last = [(each, jobs.find_job(tx, each.last_job_id or 0)) for each in timetable.list_schedules(tx)]
    return [_schedule(each, job) for each, job in last]


def _schedule(schedule: Schedule, job: Job | None) -> tuple[bool, str]:
    about = f"schedule {schedule.name}"
    if schedule.last_error:
        return False, f"{about}: {schedule.last_error}"
    if job is not None and job.state in {JobState.INVALID, JobState.FAILED}:
        return False, f"{about}: its last job, {job.id}, is {job.state}: {job.reason}"
    return True, f"{about}: in order"


def _folder(services: Services, folder: Folder) -> tuple[bool, str]:
    about = f"folder {folder.name}: {folder.path}"
    try:
        connection = services.connection(folder.connection)
        sight = watch.look(Path(folder.path))
        _write_there(Path(folder.path))
        troubles = _troubles(services, folder)
    except RosterError as error:
        return False, f"{about}: {error}"
    except OSError as error:
        return (
            False,
            f"{about} cannot be used ({error.strerror}); is the share mounted, and may Roster write there?",
        )
    remarks = [f"to {connection.name}", f"{len(sight.files)} files wait"]
    if sight.others:
        remarks.append(f"left alone, since they are no rosters: {_named(sight.others)}")
    if not control.anybody_at_work(services):
        remarks.append("nobody looks into it now; `roster serve` does")
    return not troubles, "; ".join([f"{about} {remarks[0]}", *remarks[1:], *troubles])


def _write_there(folder: Path) -> None:
    probe = folder / ".roster-doctor"
    probe.write_bytes(b"")
    probe.unlink()


def _troubles(services: Services, folder: Folder) -> list[str]:
    with services.ledger.read() as tx:
        claimed = dropped_files.drops_of(tx, folder.name, DropState.CLAIMED)
        taken = dropped_files.drops_of(tx, folder.name, DropState.TAKEN)
    without = f"is in {watch.PROCESSING}/ and has no job"
    troubles = [f"{drop.name} {without}: {drop.error}" for drop in claimed if drop.error]
    processing = Path(folder.path) / watch.PROCESSING
    if not processing.is_dir():
        return troubles
    gone = [drop.name for drop in taken if not any(map(os.path.exists, (drop.path, drop.goal or drop.path)))]
    if gone:
        troubles.append(f"{_named(gone)} has been taken out of {watch.PROCESSING}/; put it back")
    ours = {Path(place).name for drop in (*claimed, *taken) for place in (drop.path, drop.goal or drop.path)}
    reports = {f"{Path(name).stem}." for name in ours}
    strange = [
        found.name
        for found in watch.look(processing).files
        if found.name not in ours and not any(found.name.startswith(stem) for stem in reports)
    ]
    if strange:
        troubles.append(
            f"{_named(strange)} in {watch.PROCESSING}/ is unknown to this ledger; "
            "move it back into the folder to have it taken"
        )
    return troubles


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
