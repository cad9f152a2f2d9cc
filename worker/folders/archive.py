"""Move the files of a job to `done/` or `failed/` when it has ended; never overwrite another file.

`archive_files` is called in two places. The report task calls it first, so that the reports are written next to
the archived file (`worker.jobs.reporting`). The sweep calls it for files that are still in `processing/` later: the
share could not be reached, or no report task will run (`worker.runtime.folder_sweep.archive_leftovers`).
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from worker.folders.message_file import remove_reports
from worker.folders.watch import DONE, FAILED, choose_target, make_folder
from worker.ledger import dropped_files, jobs
from worker.ledger.dropped_files import DroppedFile, DroppedFileState

if TYPE_CHECKING:
    from worker.ledger.jobs import Job
    from worker.ledger.transactions import Ledger

CHANGED_NOTE = (
    "The file {name} was still being written after it was imported, and the later part was not read. "
    "Put the complete file into the folder again"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLocation:
    """Where a file of a job is, in its drop folder."""

    folder: Path
    name: str
    #: Whether it is in `done/` or `failed/`.
    is_archived: bool

    @property
    def is_unreachable(self) -> bool:
        """Whether nothing may be written there: its share is not mounted, or a link is in its place."""
        return not self.folder.is_dir() or self.folder.is_symlink()


def archive_files(ledger: Ledger, job: Job) -> Job:
    """Move the files of a job that has ended, and remove the reports that were next to them; return the new job.

    A file that cannot be moved now (the share is gone, a program has it open) stays where it is for a later sweep.
    A move that another process has begun meanwhile is finished here too: the caller writes reports, and must know
    where.
    """
    if not job.has_ended:
        return job
    with ledger.read() as tx:
        files = dropped_files.files_of_job(tx, job.id)
    waiting = [dropped for dropped in files if dropped.state is DroppedFileState.TAKEN]
    for dropped in waiting:
        with suppress(OSError):
            if _archive_with_others(ledger, job, dropped):
                remove_reports(Path(dropped.path))
    with ledger.read() as tx:
        return (jobs.find_job(tx, job.id) or job) if files else job


def file_locations(ledger: Ledger, job: Job) -> list[FileLocation]:
    """Return where the files of a job are, in their drop folders."""
    with ledger.read() as tx:
        files = dropped_files.files_of_job(tx, job.id)
    return [
        FileLocation(
            folder=Path(dropped.path).parent,
            name=Path(dropped.path).name,
            is_archived=dropped.state is DroppedFileState.ENDED,
        )
        for dropped in files
    ]


def _archive_with_others(ledger: Ledger, job: Job, dropped: DroppedFile) -> bool:
    """Move a file as long as other processes do so too; return whether this one has recorded it."""
    while not _archive(ledger, job, dropped):
        with ledger.read() as tx:
            now = dropped_files.find(tx, dropped.id)
        if now is None or now == dropped or now.state is not DroppedFileState.TAKEN:
            return False
        dropped = now
    return True


def _archive(ledger: Ledger, job: Job, dropped: DroppedFile) -> bool:
    source = Path(dropped.path)
    if not source.parent.is_dir() or source.parent.is_symlink():
        return False
    folder = source.parent.parent / (DONE if job.state.went_through else FAILED)
    make_folder(folder)
    moving: DroppedFile | None = dropped
    while moving is not None:
        if moving.target_path is None:
            moving = choose_target(ledger, moving, folder, DroppedFileState.TAKEN)
        if moving is None or _move(source, Path(str(moving.target_path))):
            break
        with ledger.write() as tx:
            moving = dropped_files.start_move(tx, moving, DroppedFileState.TAKEN, None)
    return moving is not None and _record_move(ledger, job, moving)


def _record_move(ledger: Ledger, job: Job, dropped: DroppedFile) -> bool:
    """Record the new path of the file, in one commit with the new folder for the reports of its job."""
    target, source = Path(str(dropped.target_path)), Path(dropped.path)
    has_changed = _has_changed(target, dropped)
    with ledger.write() as tx:
        now = jobs.find_job(tx, job.id)
        if dropped_files.finish_move(tx, dropped, DroppedFileState.ENDED) is None or now is None:
            return False
        if (now.report_dir, now.roster) == (str(source.parent), source.name):
            jobs.change_job(tx, job.id, report_dir=str(target.parent), roster=target.name)
        if has_changed:
            jobs.change_job(tx, job.id, notes=[*now.notes, CHANGED_NOTE.format(name=target.name)])
    return True


def _has_changed(path: Path, dropped: DroppedFile) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime) != (dropped.size, dropped.modified_at)


def _move(source: Path, target: Path) -> bool:
    """Move a file; False when another one is there. Raises OSError, also when the file is in neither place."""
    try:
        os.link(source, target, follow_symlinks=False)  # a rename would replace an existing file
    except FileExistsError:
        if not _is_same(source, target):
            return not source.exists()
    except FileNotFoundError:
        if not target.exists():
            raise
        return True
    except OSError:
        return _move_without_links(source, target)
    source.unlink(missing_ok=True)
    return True


def _move_without_links(source: Path, target: Path) -> bool:
    """Move a file without hard links; the ledger allows no other file the same target, so there is no race."""
    if target.exists():
        return not source.exists()
    source.rename(target)
    return True


def _is_same(source: Path, target: Path) -> bool:
    try:
        return source.samefile(target)
    except FileNotFoundError:
        return False
