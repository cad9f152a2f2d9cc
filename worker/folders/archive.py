"""Lay dropped files aside when their job has ended: to `done/` or `failed/`, never over another file."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from worker.folders.watch import DONE, FAILED, aim_at, make_folder
from worker.ledger import dropped_files, jobs
from worker.ledger.dropped_files import Drop, DropState
from worker.model import JobState

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.ledger.jobs import Job
    from worker.ledger.transactions import Ledger

#: Jobs that end so have done what could be done; every other end is one that a person must look at.
WELL = frozenset({JobState.SUCCEEDED, JobState.COMPLETED_WITH_ERRORS})
CHANGED = (
    "The file {name} was still being written after it was taken: what came later was not read. "
    "Drop the whole file again"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a dropped file of a job lies."""

    folder: Path
    name: str
    #: Whether it lies in `done/` or `failed/`.
    is_last: bool

    @property
    def is_away(self) -> bool:
        """Whether the folder cannot be seen: its share is not mounted, and nothing may be written in its stead."""
        return not self.folder.is_dir()


def lay_aside(ledger: Ledger, job: Job, *, tidy_up: Callable[[Path], None]) -> Job:
    """Move the files of a job that has ended, and let its reports follow; return the job as it then stands.

    `tidy_up` is given each path that a file has left, to take away what was written beside it. A file that cannot
    be moved now (the share is away, somebody has it open) stays where it is for a later sweep.
    """
    if not job.has_ended:
        return job
    with ledger.read() as tx:
        waiting = [drop for drop in dropped_files.drops_of_job(tx, job.id) if drop.state is DropState.TAKEN]
    for drop in waiting:
        with suppress(OSError):
            if _lay(ledger, job, drop):
                tidy_up(Path(drop.path))
    with ledger.read() as tx:
        return (jobs.find_job(tx, job.id) or job) if waiting else job


def places(ledger: Ledger, job: Job) -> list[Place]:
    """Return where the dropped files of a job lie."""
    with ledger.read() as tx:
        drops = dropped_files.drops_of_job(tx, job.id)
    return [
        Place(folder=Path(drop.path).parent, name=Path(drop.path).name, is_last=drop.state is DropState.ENDED)
        for drop in drops
    ]


def _lay(ledger: Ledger, job: Job, drop: Drop) -> bool:
    source = Path(drop.path)
    if not source.parent.is_dir():
        return False
    target = source.parent.parent / (DONE if job.state in WELL else FAILED)
    make_folder(target)
    aimed: Drop | None = drop
    while aimed is not None:
        if aimed.goal is None:
            aimed = aim_at(ledger, aimed, target, DropState.TAKEN)
        if aimed is None or _moved(source, Path(str(aimed.goal))):
            break
        with ledger.write() as tx:
            aimed = dropped_files.aim(tx, aimed, DropState.TAKEN, None)
    return aimed is not None and _note(ledger, job, aimed)


def _note(ledger: Ledger, job: Job, drop: Drop) -> bool:
    """Note where the file lies now, in one commit with where the reports of its job go."""
    goal, source = Path(str(drop.goal)), Path(drop.path)
    has_changed = _has_changed(goal, drop)
    with ledger.write() as tx:
        now = jobs.find_job(tx, job.id)
        if dropped_files.arrive(tx, drop, DropState.ENDED) is None or now is None:
            return False
        if (now.report_dir, now.roster) == (str(source.parent), source.name):
            jobs.change_job(tx, job.id, report_dir=str(goal.parent), roster=goal.name)
        if has_changed:
            jobs.change_job(tx, job.id, notes=[*now.notes, CHANGED.format(name=goal.name)])
    return True


def _has_changed(path: Path, drop: Drop) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime) != (drop.size, drop.changed)


def _moved(source: Path, goal: Path) -> bool:
    """Move a file; False when another one lies there. Raises OSError, also when it is in neither place."""
    try:
        os.link(source, goal)  # a rename would replace what lies there
    except FileExistsError:
        if not _is_same(source, goal):
            return not source.exists()
    except FileNotFoundError:
        if not goal.exists():
            raise
        return True
    except OSError:
        return _moved_without_links(source, goal)
    source.unlink(missing_ok=True)
    return True


def _moved_without_links(source: Path, goal: Path) -> bool:
    """Move a file where the file system has no hard links; nobody else of this ledger aims at the same place."""
    if goal.exists():
        return not source.exists()
    source.rename(goal)
    return True


def _is_same(source: Path, goal: Path) -> bool:
    try:
        return source.samefile(goal)
    except FileNotFoundError:
        return False
