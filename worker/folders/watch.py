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
from typing import TYPE_CHECKING

from worker.errors import RosterError, StaleClaim
from worker.folders.names import free_name, is_being_fetched, is_passing, is_roster
from worker.intake.accept import Arrival, Options, accept
from worker.ledger import dropped_files
from worker.ledger.database import take_turns
from worker.ledger.dropped_files import Drop, DropState
from worker.model import Driver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.intake.accept import Accepted
    from worker.ledger.database import Transaction
    from worker.ledger.transactions import Ledger
    from worker.settings import Connection, Folder

PROCESSING, DONE, FAILED = "processing", "done", "failed"
OURS = (PROCESSING, DONE, FAILED)
#: A claim that nobody has carried out within this was left by a process that died (seconds).
CLAIM_SECONDS = 10.0
#: So many files are taken at one look; the others at the next.
MOST_AT_A_LOOK = 100
GROWING = "It went on growing after it was claimed; it is taken when it has stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file as it lies in the folder."""

    path: str
    name: str
    size: int
    changed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What lies in a folder: files that may be rosters, and names of what is left alone."""

    files: Sequence[Found]
    others: Sequence[str]


def look(folder: Path) -> Sight:
    """Look into a folder, not below it; what a link leads to cannot be claimed. Raises OSError."""
    files, others = [], []
    with os.scandir(folder) as entries:
        there = {entry.name: entry for entry in entries if entry.name not in OURS}
    for name, entry in sorted(there.items()):
        if is_passing(name):
            continue
        if not is_roster(name) or not entry.is_file(follow_symlinks=False):
            others.append(name)
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if not is_being_fetched(name, status.st_size, there):
            files.append(Found(path=entry.path, name=name, size=status.st_size, changed=status.st_mtime))
    return Sight(files=files, others=others)


def find_whole(tx: Transaction, folder: str, files: Sequence[Found], settle_seconds: float) -> list[Drop]:
    """Note what was found, and return the files that have not changed for so long, oldest first."""
    take_turns(tx, f"folder:{folder}")
    known = {drop.path: drop for drop in dropped_files.drops_of(tx, folder, DropState.SEEN)}
    at = dropped_files.clock(tx)
    whole = []
    for file in files:
        drop = known.pop(file.path, None)
        if drop is None:
            drop = dropped_files.note(tx, folder, file.name, path=file.path, size=file.size, changed=file.changed)
        elif (drop.size, drop.changed) != (file.size, file.changed):
            dropped_files.note_change(tx, drop, file.size, file.changed)
            continue
        if at - drop.at >= settle_seconds or not settle_seconds:
            whole.append(drop)
    for gone in known.values():
        dropped_files.forget(tx, gone)
    return sorted(whole, key=lambda drop: drop.id)[:MOST_AT_A_LOOK]


def claim(ledger: Ledger, drop: Drop) -> Drop | None:
    """Claim a file by moving it into `processing/`; None when somebody else has it. Raises OSError."""
    processing = Path(drop.path).parent / PROCESSING
    make_folder(processing)
    aimed = aim_at(ledger, drop, processing, DropState.CLAIMED)
    if aimed is None:
        return None
    try:
        os.rename(aimed.path, str(aimed.goal))  # noqa: PTH104 - the rename decides, so it is said plainly
    except FileNotFoundError:
        with ledger.write() as tx:
            dropped_files.forget(tx, aimed)
        return None
    except OSError:
        with ledger.write() as tx:
            dropped_files.aim(tx, aimed, DropState.SEEN, None)
        raise
    with ledger.write() as tx:
        return dropped_files.arrive(tx, aimed, DropState.CLAIMED)


def aim_at(ledger: Ledger, drop: Drop, folder: Path, state: DropState) -> Drop | None:
    """Choose a free name in a folder of ours as the goal of a file; None when somebody else has moved it on."""
    there = os.listdir(folder)  # noqa: PTH208 - names only, and not while the ledger waits: a share may hang
    with ledger.write() as tx:
        take_turns(tx, "the goals of dropped files")
        aimed_at = [Path(goal) for goal in dropped_files.goals(tx)]
        taken = {*there, *(goal.name for goal in aimed_at if goal.parent == folder)}
        return dropped_files.aim(tx, drop, state, str(folder / free_name(drop.name, taken)))


def find_left_behind(ledger: Ledger, folder: str) -> list[Drop]:
    """Return the claimed files of a folder that have no job yet, finishing the claims of dead processes."""
    with ledger.read() as tx:
        claimed = dropped_files.drops_of(tx, folder, DropState.CLAIMED)
        at = dropped_files.clock(tx) if claimed else 0.0
    found = [drop for drop in claimed if drop.goal is None]
    for drop in claimed:
        if drop.goal is not None and at - drop.at >= CLAIM_SECONDS:
            arrived = _carried(ledger, drop)
            found += [arrived] if arrived else []
    return found


def _carried(ledger: Ledger, drop: Drop) -> Drop | None:
    """Finish a claim: the file was moved, or is moved now; None when somebody else has it, or the share is away."""
    goal = Path(str(drop.goal))
    if not goal.parent.is_dir():
        return None
    with ledger.write() as tx:
        mine = dropped_files.aim(tx, drop, DropState.CLAIMED, drop.goal)
    if mine is None:
        return None
    if not goal.exists():
        try:
            os.rename(drop.path, goal)  # noqa: PTH104 - as in `claim`
        except FileNotFoundError:
            with ledger.write() as tx:
                dropped_files.forget(tx, mine)
            return None
    with ledger.write() as tx:
        return dropped_files.arrive(tx, mine, DropState.CLAIMED)


def open_job(
    ledger: Ledger,
    drop: Drop,
    folder: Folder,
    connection: Connection,
    *,
    store: str,
    adopt: Callable[[Transaction, int], object],
) -> Accepted | None:
    """Open the job of a claimed file, or find the one that works on the same bytes; `adopt` has that one go on.

    None when somebody else did, or the file has changed after all and must settle again. Raises RosterError and
    OSError, the reason being noted, when it cannot be taken now.
    """
    try:
        if not _has_settled(ledger, drop, folder.settle_seconds):
            return None
        return _accept(ledger, drop, folder, connection, store=store, adopt=adopt)
    except StaleClaim:
        return None
    except (RosterError, OSError) as error:
        with ledger.write() as tx:
            dropped_files.explain(tx, drop, str(error))
        raise


def _has_settled(ledger: Ledger, drop: Drop, settle_seconds: float) -> bool:
    """Tell whether a claimed file is as it was when it had settled; whoever writes it may have gone on after all.

    A program that has a file open writes to it wherever it was moved. Raises OSError when it is not there.
    """
    status = Path(drop.path).stat()
    if (status.st_size, status.st_mtime) != (drop.size, drop.changed):
        with ledger.write() as tx:
            dropped_files.note_change(tx, drop, status.st_size, status.st_mtime)
            dropped_files.explain(tx, drop, GROWING)
        return False
    if drop.error != GROWING:
        return True
    with ledger.read() as tx:
        return dropped_files.clock(tx) - drop.at >= settle_seconds


def _accept(
    ledger: Ledger,
    drop: Drop,
    folder: Folder,
    connection: Connection,
    *,
    store: str,
    adopt: Callable[[Transaction, int], object],
) -> Accepted:
    def note(tx: Transaction, accepted: Accepted) -> None:
        if not dropped_files.take(tx, drop, accepted.job_id):
            raise StaleClaim("Another watcher has opened the job of this file")
        if accepted.twin:
            adopt(tx, accepted.job_id)

    path = Path(drop.path)
    return accept(
        ledger,
        path,
        name=path.name,
        connection=connection,
        options=options_of(folder),
        store=store,
        report_dir=path.parent,
        arrival=Arrival(origin=f"folder:{folder.name}", driver=Driver.QUEUE),
        note=note,
    )


def options_of(folder: Folder) -> Options:
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
