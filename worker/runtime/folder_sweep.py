"""Look into the drop folders: take what is whole, and lay aside what has ended and still lies in the way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from worker.errors import RosterError
from worker.folders import archive, message_file, watch
from worker.jobs import advance, lifecycle
from worker.ledger import dropped_files, jobs
from worker.ledger.database import now
from worker.model import Driver
from worker.safe_errors import place_of

if TYPE_CHECKING:
    from worker.intake.accept import Accepted
    from worker.ledger.queue import Bell
    from worker.ledger.transactions import Ledger
    from worker.runtime.process import Workplace
    from worker.settings import Connection, Folder

log = structlog.get_logger("roster")


def look(here: Workplace) -> None:
    """Open the jobs of the files that are whole, folder by folder; a folder that is away stops no other one."""
    for folder in here.services.settings.watched:
        try:
            _look_into(here, folder)
        except (RosterError, OSError) as error:
            trouble = getattr(error, "strerror", None) or type(error).__name__
            here.say_once(f"folder {folder.name}", "drop folder passed over", folder=folder.name, reason=trouble)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other folders go on
            place = place_of(error)
            here.say_once(f"folder {folder.name}", "drop folder passed over", folder=folder.name, place=place)
        else:
            here.is_well_again(f"folder {folder.name}")


def _look_into(here: Workplace, folder: Folder) -> None:
    ledger, connection = here.ledger, here.services.connection(folder.connection)
    sight = watch.look(Path(folder.path))
    if sight.others:
        files = len(sight.others)
        here.say_once(f"others {folder.name}", "no rosters, so left alone", folder=folder.name, files=files)
    for drop in [*watch.find_left_behind(ledger, folder.name), *_whole(ledger, folder, sight)]:
        try:
            accepted = _take(here, folder, connection, drop)
        except (RosterError, OSError) as error:
            here.say_once(f"drop {drop.id}", "file not taken yet", folder=folder.name, reason=type(error).__name__)
            continue
        if accepted is not None:
            log.info("file taken", folder=folder.name, job=accepted.job_id, twin=accepted.twin)


def _take(here: Workplace, folder: Folder, connection: Connection, drop: dropped_files.Drop) -> Accepted | None:
    claimed = drop if drop.state is dropped_files.DropState.CLAIMED else watch.claim(here.ledger, drop)
    if claimed is None:
        return None
    return watch.open_job(
        here.ledger, claimed, folder, connection, store=here.services.store, adopt=lifecycle.adopt
    )


def _whole(ledger: Ledger, folder: Folder, sight: watch.Sight) -> list[dropped_files.Drop]:
    """Note what lies there; an empty folder of which nothing is noted costs no write."""
    if not sight.files:
        with ledger.read() as tx:
            if not dropped_files.drops_of(tx, folder.name, dropped_files.DropState.SEEN):
                return []
    with ledger.write() as tx:
        return watch.find_whole(tx, folder.name, sight.files, folder.settle_seconds)


def lay_aside(here: Workplace) -> list[Bell]:
    """Move the files of ended jobs that nobody has moved, and ring for their reports."""
    with here.ledger.read() as tx:
        ended = [jobs.find_job(tx, job_id) for job_id in dropped_files.ended_but_not_aside(tx)]
    rung: list[Bell] = []
    for job in ended:
        if job is None or not _is_forgotten(job):
            continue
        archive.lay_aside(here.ledger, job, tidy_up=message_file.tidy_up)
        with here.ledger.write() as tx:
            if all(drop.state is dropped_files.DropState.ENDED for drop in dropped_files.drops_of_job(tx, job.id)):
                rung += advance.ring_report(tx, job.id, now())
    return rung


def _is_forgotten(job: jobs.Job) -> bool:
    """Tell whether its reports were written without its file, or nobody is going to write them."""
    return job.reported_at is not None or job.driver is Driver.PROCESS
