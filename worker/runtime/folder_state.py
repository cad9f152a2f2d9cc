"""What is wrong with a drop folder, and whether a new file has come, recorded in the ledger for all processes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from worker.folders import watch
from worker.ledger import sources
from worker.ledger.database import now
from worker.ledger.sources import SourceProblem
from worker.reports.lines import local_text
from worker.schedules.arrivals import QUIET_SWEEPS, Sighting, record_sighting, sighting_of
from worker.schedules.expectation import expectation_of_folder

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.ledger.database import Transaction
    from worker.ledger.sources import RosterSource
    from worker.schedules.expectation import Expectation
    from worker.settings import Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderState:
    """A drop folder as one sweep found it."""

    #: What is wrong, and a sentence about it; None when nothing is.
    problem: SourceProblem | None = None
    reason: str = ""
    #: The newest file that was in the folder.
    newest: Sighting | None = None


def problem_of_folder(folder: Folder, error: OSError) -> FolderState:
    """Return what is wrong with a folder that cannot be listed."""
    if isinstance(error, FileNotFoundError):
        text = f"{folder.path} does not exist, or its share is not mounted"
        return FolderState(problem=SourceProblem.MISSING, reason=text)
    text = f"{folder.path} cannot be read: {error.strerror or type(error).__name__}"
    return FolderState(problem=SourceProblem.UNREADABLE, reason=text)


def state_of(folder: Folder, scan: watch.FolderScan, not_imported: list[str]) -> FolderState:
    """Return the state of a folder that was listed; `not_imported`: which files could not be imported, and why."""
    newest = max(scan.files, key=lambda file: (file.modified_at, file.name), default=None)
    sighting = None
    if newest is not None:
        sighting = sighting_of(newest.path, newest.size, newest.modified_at, shown=newest.name)
    if blocked := _not_writable(Path(folder.path)):
        return FolderState(problem=SourceProblem.NOT_WRITABLE, reason=blocked, newest=sighting)
    if not_imported:
        return FolderState(problem=SourceProblem.NOT_IMPORTED, reason=not_imported[0], newest=sighting)
    return FolderState(newest=sighting)


def _not_writable(folder: Path) -> str:
    for place in (folder, *(folder / name for name in watch.OWN_FOLDERS)):
        if place.is_symlink() and place != folder:
            return f"{place} is a link, to which no file is moved; replace it with a folder"
        if (place.exists() or place == folder) and not os.access(place, os.W_OK | os.X_OK):
            return f"Roster has no right to move files in {place}"
    return ""


def record_state(services: Services, folder: Folder, state: FolderState) -> None:
    """Record the state of a folder, and check whether a file has come by the time that is set for it."""
    name, expected = sources.folder_source(folder.name), expectation_of_folder(folder)
    every = services.settings.sweep_seconds
    with services.ledger.read() as tx:
        recorded = sources.find(tx, name)
    if not _is_news(recorded, state, every) and (expected is None or not expected.is_due(recorded)):
        return
    connection = folder.connection or next(iter(services.settings.connections), "")
    with services.ledger.write() as tx:
        known = sources.lock(tx, name, connection=connection, place=folder.path)
        _record(tx, known, state, expected, QUIET_SWEEPS * every)


def _is_news(recorded: RosterSource | None, state: FolderState, every: float) -> bool:
    """Return whether there is something to record; while nothing changes, a problem is recorded once a sweep."""
    if recorded is None:
        return state.problem is not None or state.newest is not None
    if recorded.problem is not None or state.problem is not None:
        is_other = (state.problem, state.reason) != (recorded.problem, recorded.reason)
        if now() - (recorded.checked_at or 0.0) >= every or (state.problem is not None and is_other):
            return True
    return state.newest is not None and dict(state.newest.seen) != dict(recorded.seen or {})


def _record(
    tx: Transaction, known: RosterSource, state: FolderState, expected: Expectation | None, quiet_seconds: float
) -> None:
    if state.newest is not None:
        known = record_sighting(tx, known, state.newest)
    deadline = None if expected is None else expected.pass_deadline(tx, known)
    if state.problem is not None:
        sources.record_problem(tx, known, state.problem, state.reason)
    elif expected is not None and deadline is not None and not expected.is_met(known, deadline):
        sources.record_problem(tx, known, SourceProblem.LATE, _late_text(known, expected, deadline))
    elif known.problem is not SourceProblem.LATE or (known.seen_at or 0.0) > (known.since or 0.0):
        sources.record_ok(tx, known, quiet_seconds)
    else:
        sources.change(tx, known.name, checked_at=now())


def _late_text(known: RosterSource, expected: Expectation, deadline: float) -> str:
    late = expected.late_text(deadline)
    return (
        late
        if known.seen_at is None
        else f"{late}: the last one came on {local_text(known.seen_at, expected.zone)}"
    )
