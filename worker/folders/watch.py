"""A drop folder: find the files that are whole, claim them by a rename, and open their jobs.

What is known of a file stands in the ledger, so the two looks that tell whether it has stopped growing may be
those of two processes, and whatever a killed process left half done the next look finishes. Where a file goes when
its job has ended stands in aside.py.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from worker.errors import RosterError, StaleClaim
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
#: A claim that nobody has carried out within this was left by a process that died (seconds).
CLAIM_SECONDS = 10.0
#: So many files are taken at one look; the others at the next.
MAX_FILES_PER_SCAN = 100
STILL_GROWING = "It went on growing after it was claimed; it is taken when it has stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file as it lies in the folder."""

    path: str
    name: str
    size: int
    modified: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderScan:
    """What lies in a folder: files that may be rosters, and names of what is left alone."""

    files: Sequence[FoundFile]
    others: Sequence[str]


def scan_folder(folder: Path) -> FolderScan:
    """Look into a folder, not below it; what a link leads to cannot be claimed. Raises OSError."""
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
            files.append(FoundFile(path=entry.path, name=name, size=status.st_size, modified=status.st_mtime))
    return FolderScan(files=files, others=others)


def find_complete(
    tx: Transaction, folder: str, files: Sequence[FoundFile], settle_seconds: float
) -> list[DroppedFile]:
    """Note what was found, and return the files that have not changed for so long, oldest first."""
    take_lock(tx, f"folder:{folder}")
    known = {drop.path: drop for drop in dropped_files.files_in(tx, folder, DroppedFileState.SEEN)}
    at = dropped_files.database_time(tx)
    whole = []
    for file in files:
        drop = known.pop(file.path, None)
        if drop is None:
            drop = dropped_files.add(
                tx, folder, file.name, path=file.path, size=file.size, modified_at=file.modified
            )
        elif (drop.size, drop.modified_at) != (file.size, file.modified):
            dropped_files.note_change(tx, drop, file.size, file.modified)
            continue
        if at - drop.updated_at >= settle_seconds or not settle_seconds:
            whole.append(drop)
    for gone in known.values():
        dropped_files.delete_file(tx, gone)
    return sorted(whole, key=lambda drop: drop.id)[:MAX_FILES_PER_SCAN]


def claim_file(ledger: Ledger, drop: DroppedFile) -> DroppedFile | None:
    """Claim a file by moving it into `processing/`; None when somebody else has it. Raises OSError."""
    processing = Path(drop.path).parent / PROCESSING
    make_folder(processing)
    aimed = choose_target(ledger, drop, processing, DroppedFileState.CLAIMED)
    if aimed is None:
        return None
    try:
        os.rename(aimed.path, str(aimed.target_path))  # noqa: PTH104 - the rename decides, so it is said plainly
    except FileNotFoundError:
        with ledger.write() as tx:
            dropped_files.delete_file(tx, aimed)
        return None
    except OSError:
        with ledger.write() as tx:
            dropped_files.start_move(tx, aimed, DroppedFileState.SEEN, None)
        raise
    with ledger.write() as tx:
        return dropped_files.finish_move(tx, aimed, DroppedFileState.CLAIMED)


def choose_target(ledger: Ledger, drop: DroppedFile, folder: Path, state: DroppedFileState) -> DroppedFile | None:
    """Choose a free name in a folder of ours as the goal of a file; None when somebody else has moved it on."""
    there = os.listdir(folder)  # noqa: PTH208 - names only, and not while the ledger waits: a share may hang
    with ledger.write() as tx:
        take_lock(tx, "the goals of dropped files")
        aimed_at = [Path(goal) for goal in dropped_files.target_paths(tx)]
        taken = {*there, *(goal.name for goal in aimed_at if goal.parent == folder)}
        return dropped_files.start_move(tx, drop, state, str(folder / free_name(drop.name, taken)))


def find_claimed(ledger: Ledger, folder: str) -> list[DroppedFile]:
    """Return the claimed files of a folder that have no job yet, finishing the claims of dead processes."""
    with ledger.read() as tx:
        claimed = dropped_files.files_in(tx, folder, DroppedFileState.CLAIMED)
        at = dropped_files.database_time(tx) if claimed else 0.0
    found = [drop for drop in claimed if drop.target_path is None]
    for drop in claimed:
        if drop.target_path is not None and at - drop.updated_at >= CLAIM_SECONDS:
            arrived = _finish_claim(ledger, drop)
            found += [arrived] if arrived else []
    return found


def _finish_claim(ledger: Ledger, drop: DroppedFile) -> DroppedFile | None:
    """Finish a claim: the file was moved, or is moved now; None when somebody else has it, or the share is away."""
    goal = Path(str(drop.target_path))
    if not goal.parent.is_dir():
        return None
    with ledger.write() as tx:
        mine = dropped_files.start_move(tx, drop, DroppedFileState.CLAIMED, drop.target_path)
    if mine is None:
        return None
    if not goal.exists():
        try:
            os.rename(drop.path, goal)  # noqa: PTH104 - as in `claim`
        except FileNotFoundError:
            with ledger.write() as tx:
                dropped_files.delete_file(tx, mine)
            return None
    with ledger.write() as tx:
        return dropped_files.finish_move(tx, mine, DroppedFileState.CLAIMED)


def open_job(
    ledger: Ledger,
    drop: DroppedFile,
    settle_seconds: float,
    submit: Callable[[Path, Callable[[Transaction, int], None]], Submitted],
) -> Submitted | None:
    """Submit a claimed file with `submit`, which is given its path and what notes the id of its job.

    None when another process did, or the file has changed after all and must settle again. Raises RosterError and
    OSError, the reason being noted, when it cannot be submitted now.
    """

    def record(tx: Transaction, job_id: int) -> None:
        if not dropped_files.assign_job(tx, drop, job_id):
            raise StaleClaim("Another process has opened the job of this file")

    try:
        if not _is_still_complete(ledger, drop, settle_seconds):
            return None
        return submit(Path(drop.path), record)
    except StaleClaim:
        return None
    except (RosterError, OSError) as error:
        with ledger.write() as tx:
            dropped_files.set_error(tx, drop, str(error))
        raise


def _is_still_complete(ledger: Ledger, drop: DroppedFile, settle_seconds: float) -> bool:
    """Tell whether a claimed file is as it was when it had settled; whoever writes it may have gone on after all.

    A program that has a file open writes to it wherever it was moved. Raises OSError when it is not there.
    """
    status = Path(drop.path).stat()
    if (status.st_size, status.st_mtime) != (drop.size, drop.modified_at):
        with ledger.write() as tx:
            dropped_files.note_change(tx, drop, status.st_size, status.st_mtime)
            dropped_files.set_error(tx, drop, STILL_GROWING)
        return False
    if drop.error != STILL_GROWING:
        return True
    with ledger.read() as tx:
        return dropped_files.database_time(tx) - drop.updated_at >= settle_seconds


def options_of_folder(folder: Folder) -> Options:
    """Return how the rosters of a folder are read and sent."""
    return Options(
        course=folder.course,
        set_values=folder.set,
        sheet=folder.sheet,
        mapping=folder.map,
        encoding=folder.encoding,
        strict=folder.strict,
        again=folder.again,
        update_existing=folder.update_existing,
    )


def make_folder(folder: Path) -> None:
    """Make a folder of ours below a drop folder; who may read that one may read this one."""
    try:
        folder.mkdir()
    except FileExistsError:
        return
    with suppress(OSError):  # some shares know no permissions
        folder.chmod(folder.parent.stat().st_mode & 0o7777)
