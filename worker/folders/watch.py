"""Find the complete files of a drop folder, claim each by a rename, and submit it.

The ledger records how far a file is (`DroppedFileState`), so different processes may do the steps, and the next
sweep finishes what a killed process left half done:

* SEEN: `scan_folder` lists the folder, `find_complete` records its files and returns those that no longer grow.
* CLAIMED: `claim_file` moves one into `processing/`.
* TAKEN: `submit_claimed` opens its job.
* ENDED: `archive.archive_files` moves it to `done/` or `failed/` when the job has ended.

`worker.runtime.folder_sweep` calls these in this order at each sweep.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from worker.errors import RosterError, StaleClaim, UsageError
from worker.folders.names import free_name, is_download_placeholder, is_roster, is_temporary
from worker.intake.options import Options
from worker.ledger import dropped_files
from worker.ledger.database import take_lock
from worker.ledger.dropped_files import DroppedFile, DroppedFileState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.ledger.database import Transaction
    from worker.ledger.transactions import Ledger
    from worker.settings import Folder

Submitted = TypeVar("Submitted")
PROCESSING, DONE, FAILED = "processing", "done", "failed"
OWN_FOLDERS = (PROCESSING, DONE, FAILED)
#: A claim whose move has not been finished after this was left by a process that died (seconds).
CLAIM_SECONDS = 10.0
#: Files that are claimed in one sweep; the others wait for the next.
MAX_FILES_PER_SCAN = 100
STILL_GROWING = "The file was still growing after it was claimed; it is imported when it no longer changes"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file in the folder, as the file system describes it."""

    path: str
    name: str
    size: int
    modified_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderScan:
    """The content of a folder: files that may be rosters, and names of other files, which are left in place."""

    files: Sequence[FoundFile]
    others: Sequence[str]


def scan_folder(folder: Path) -> FolderScan:
    """List a folder, without its subfolders; links are skipped, because they cannot be claimed. Raises OSError."""
    files, others = [], []
    with os.scandir(folder) as entries:
        there = {entry.name: entry for entry in entries if entry.name not in OWN_FOLDERS}
    for name, entry in sorted(there.items()):
        if is_temporary(name):
            continue
        if not is_roster(name) or not entry.is_file(follow_symlinks=False):
            others.append(name)
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if not is_download_placeholder(name, status.st_size, there):
            files.append(FoundFile(path=entry.path, name=name, size=status.st_size, modified_at=status.st_mtime))
    return FolderScan(files=files, others=others)


def find_complete(
    tx: Transaction, folder: str, files: Sequence[FoundFile], settle_seconds: float
) -> list[DroppedFile]:
    """Record the files found and return those that have not changed for `settle_seconds`, oldest first."""
    take_lock(tx, f"folder:{folder}")
    known = {dropped.path: dropped for dropped in dropped_files.files_in(tx, folder, DroppedFileState.SEEN)}
    at = dropped_files.database_time(tx)
    complete = []
    for file in files:
        dropped = known.pop(file.path, None)
        if dropped is None:
            dropped = dropped_files.add(
                tx, folder, file.name, path=file.path, size=file.size, modified_at=file.modified_at
            )
        elif (dropped.size, dropped.modified_at) != (file.size, file.modified_at):
            dropped_files.note_change(tx, dropped, file.size, file.modified_at)
            continue
        if at - dropped.updated_at >= settle_seconds or not settle_seconds:
            complete.append(dropped)
    for gone in known.values():
        dropped_files.delete_file(tx, gone)
    return sorted(complete, key=lambda dropped: dropped.id)[:MAX_FILES_PER_SCAN]


def claim_file(ledger: Ledger, dropped: DroppedFile) -> DroppedFile | None:
    """Claim a file by moving it into `processing/`; None when another process has it. Raises OSError."""
    processing = Path(dropped.path).parent / PROCESSING
    make_folder(processing)
    moving = choose_target(ledger, dropped, processing, DroppedFileState.CLAIMED)
    if moving is None:
        return None
    try:
        os.rename(moving.path, str(moving.target_path))  # noqa: PTH104 - this rename is the claim
    except FileNotFoundError:
        with ledger.write() as tx:
            dropped_files.delete_file(tx, moving)
        return None
    except OSError:
        with ledger.write() as tx:
            dropped_files.start_move(tx, moving, DroppedFileState.SEEN, None)
        raise
    with ledger.write() as tx:
        return dropped_files.finish_move(tx, moving, DroppedFileState.CLAIMED)


def choose_target(
    ledger: Ledger, dropped: DroppedFile, folder: Path, state: DroppedFileState
) -> DroppedFile | None:
    """Choose a free name in `folder` and record the move to it; None when another process has moved the file."""
    there = os.listdir(folder)  # noqa: PTH208 - names only, and not while the ledger waits: a share may hang
    with ledger.write() as tx:
        take_lock(tx, "target paths in drop folders")
        targets = [Path(target) for target in dropped_files.target_paths(tx)]
        taken = {*there, *(target.name for target in targets if target.parent == folder)}
        return dropped_files.start_move(tx, dropped, state, str(folder / free_name(dropped.name, taken)))


def find_claimed(ledger: Ledger, folder: str) -> list[DroppedFile]:
    """Return the claimed files of a folder that have no job yet; finish the claims of dead processes."""
    with ledger.read() as tx:
        claimed = dropped_files.files_in(tx, folder, DroppedFileState.CLAIMED)
        at = dropped_files.database_time(tx) if claimed else 0.0
    found = [dropped for dropped in claimed if dropped.target_path is None]
    for dropped in claimed:
        if dropped.target_path is not None and at - dropped.updated_at >= CLAIM_SECONDS:
            moved = _finish_claim(ledger, dropped)
            found += [moved] if moved else []
    return found


def _finish_claim(ledger: Ledger, dropped: DroppedFile) -> DroppedFile | None:
    """Finish a claim, moving the file if needed; None when another process has it or the share is gone."""
    target = Path(str(dropped.target_path))
    if not target.parent.is_dir() or target.parent.is_symlink():
        return None
    with ledger.write() as tx:
        mine = dropped_files.start_move(tx, dropped, DroppedFileState.CLAIMED, dropped.target_path)
    if mine is None:
        return None
    if not target.exists():
        try:
            os.rename(dropped.path, target)  # noqa: PTH104 - as in `claim_file`
        except FileNotFoundError:
            with ledger.write() as tx:
                dropped_files.delete_file(tx, mine)
            return None
    with ledger.write() as tx:
        return dropped_files.finish_move(tx, mine, DroppedFileState.CLAIMED)


def submit_claimed(
    ledger: Ledger,
    dropped: DroppedFile,
    settle_seconds: float,
    submit: Callable[[Path, Callable[[Transaction, int], None]], Submitted],
) -> Submitted | None:
    """Submit a claimed file with `submit`, which is given its path and a function that records the id of its job.

    None when another process did, or the file has changed and must stop changing first. Raises RosterError or
    OSError, and records the reason, when it cannot be submitted now.
    """

    def record(tx: Transaction, job_id: int) -> None:
        if not dropped_files.assign_job(tx, dropped, job_id):
            raise StaleClaim("Another process has opened the job of this file")

    try:
        if not _is_still_complete(ledger, dropped, settle_seconds):
            return None
        return submit(Path(dropped.path), record)
    except StaleClaim:
        return None
    except (RosterError, OSError) as error:
        with ledger.write() as tx:
            dropped_files.set_error(tx, dropped, str(error))
        raise


def _is_still_complete(ledger: Ledger, dropped: DroppedFile, settle_seconds: float) -> bool:
    """Return whether a claimed file has not changed since it was found complete.

    A program that has it open may still write to it after the move. Raises OSError when it does not exist.
    """
    status = Path(dropped.path).lstat()
    refuse_link(Path(dropped.path).parent)
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{dropped.name} has become a link since it was found; links are not imported")
    if (status.st_size, status.st_mtime) != (dropped.size, dropped.modified_at):
        with ledger.write() as tx:
            dropped_files.note_change(tx, dropped, status.st_size, status.st_mtime)
            dropped_files.set_error(tx, dropped, STILL_GROWING)
        return False
    if dropped.error != STILL_GROWING:
        return True
    with ledger.read() as tx:
        return dropped_files.database_time(tx) - dropped.updated_at >= settle_seconds


def options_of_folder(folder: Folder) -> Options:
    """Return how the rosters of a folder are read and sent."""
    return Options(
        course=folder.course,
        set_values=folder.set,
        sheet=folder.sheet,
        mapping=folder.map,
        encoding=folder.encoding,
        heading_row=folder.heading_row,
        hidden_rows=folder.hidden_rows,
        strict=folder.strict,
        again=folder.again,
        update_existing=folder.update_existing,
    )


def make_folder(folder: Path) -> None:
    """Make a subfolder of a drop folder, with the same permissions. Raises LinkedFolder when it is a link."""
    try:
        folder.mkdir()
    except FileExistsError:
        refuse_link(folder)
        return
    with suppress(OSError):  # some shares have no permissions
        folder.chmod(folder.parent.stat().st_mode & 0o7777)


class LinkedFolder(OSError):
    """A folder in which Roster would move files is a link, perhaps made by somebody who may only write rosters."""

    def __init__(self, folder: Path) -> None:
        super().__init__(0, f"{folder.name}/ is a link or a file; replace it with a folder", str(folder))


def refuse_link(folder: Path) -> None:
    """Raise LinkedFolder when a folder is a link: files and reports would be moved to where it leads."""
    if folder.is_symlink() or not folder.is_dir():
        raise LinkedFolder(folder)
