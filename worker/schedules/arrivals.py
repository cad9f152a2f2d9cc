"""Whether new rosters come to schedules and drop folders, as the ledger records it (`ledger.sources`).

A run records the file that it imports, or why it could not. Between runs only what is due is checked: a time by
which a new file must have come, and a problem that may be over.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.errors import LedgerError, MissingFile, RosterError, UnreadableSource
from worker.ledger import schedules, sources
from worker.ledger.database import now
from worker.ledger.sources import SourceProblem
from worker.reports.lines import local_text
from worker.safe_errors import log_and_continue
from worker.schedules import source
from worker.schedules.expectation import expectation_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.bootstrap import Services
    from worker.ledger.database import Transaction
    from worker.ledger.schedules import Schedule
    from worker.ledger.sources import RosterSource
    from worker.schedules.expectation import Expectation
    from worker.schedules.source import LocalRoster, Source

#: How often an address with a problem is fetched to see whether that is over (seconds).
ADDRESS_SECONDS = 900.0
#: A problem is over when no process has seen it for this many sweeps: one of several may have lost a share.
QUIET_SWEEPS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """The file that a source has now."""

    #: What differs when the file is another one.
    seen: Mapping[str, Any]
    #: The path, or the address without secrets.
    shown: str
    modified_at: float | None = None


def sight(parsed: Source, roster: LocalRoster) -> Sighting:
    """Return what a source has now, from its local copy. Raises UnreadableSource."""
    try:
        if parsed.kind is source.SourceKind.ADDRESS:
            with roster.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            return Sighting(seen={"digest": digest}, shown=parsed.display_text)
        with roster.path.open("rb") as file:
            file.read(1)
        status = roster.path.stat()
    except OSError as error:
        raise UnreadableSource(f"{roster.path} cannot be read: {error.strerror}") from None
    return sighting_of(str(roster.path), status.st_size, status.st_mtime, shown=str(roster.path))


def sighting_of(path: str, size: int, modified_at: float, *, shown: str) -> Sighting:
    """Return a file as a source has it; only a digest of its path is kept, since file names can name people."""
    digest = hashlib.sha256(f"{path}\n{size}\n{modified_at}".encode(errors="surrogatepass")).hexdigest()
    return Sighting(seen={"digest": digest}, shown=shown, modified_at=modified_at)


def problem_of(error: Exception) -> SourceProblem:
    """Return which problem an error of a run is."""
    if isinstance(error, MissingFile):
        return SourceProblem.MISSING
    return SourceProblem.UNREADABLE if isinstance(error, UnreadableSource) else SourceProblem.NOT_IMPORTED


def lock_schedule(tx: Transaction, run: Schedule) -> RosterSource:
    """Return a schedule as a source that no other process changes until the transaction ends."""
    return sources.lock(tx, sources.schedule_source(run.name), connection=run.connection, place=run.source)


def record_run(tx: Transaction, run: Schedule, sighting: Sighting, *, is_planned: bool = True) -> None:
    """Record the file of a run that opened a job, and whether it is the same as that of the last one.

    A person who starts a run with the same file knows that.
    """
    known = lock_schedule(tx, run)
    same = known.imported is not None and dict(known.imported) == dict(sighting.seen)
    known = record_sighting(tx, known, sighting)
    sources.change(tx, known.name, imported=dict(sighting.seen))
    if same and is_planned and _reports_unchanged(run):
        text = f"No new file since the last run: {_is_from(sighting, run.zone)}"
        sources.record_problem(tx, known, SourceProblem.UNCHANGED, text)
    elif _is_over(run, known):
        sources.record_ok(tx, known)


def _reports_unchanged(run: Schedule) -> bool:
    return not run.ignore_unchanged and not run.expect_by


def record_failure(tx: Transaction, run: Schedule, problem: SourceProblem, reason: str) -> None:
    """Record why a run opened no job."""
    sources.record_problem(tx, lock_schedule(tx, run), problem, reason)


def record_sighting(tx: Transaction, known: RosterSource, sighting: Sighting) -> RosterSource:
    """Record the file that a source has, and when it arrived if it is another one; return the changed source."""
    at = now()
    values: dict[str, Any] = {"checked_at": at}
    if known.seen is None or dict(known.seen) != dict(sighting.seen):
        # A file that was copied with its old time arrived when it was first seen.
        modified = sighting.modified_at
        is_since = modified is not None and (known.checked_at or 0.0) <= modified <= at
        values |= {"seen": dict(sighting.seen), "seen_at": modified if is_since else at}
    sources.change(tx, known.name, **values)
    return sources.find(tx, known.name) or known


def record_baseline(tx: Transaction, run: Schedule, found: Sighting | None) -> None:
    """Record the file that is there when a schedule is added, so that a new one can be recognised."""
    known = lock_schedule(tx, run)
    if found is not None:
        record_sighting(tx, known, found)


def check_schedules(services: Services) -> None:
    """Check the schedules that expect a file by now, and those whose problem may be over."""
    with services.ledger.read() as tx:
        found, known = schedules.list_schedules(tx), sources.all_sources(tx)
    for run in found:
        if run.paused_at is not None:
            continue
        with log_and_continue("arrival", schedule=run.name):
            recorded, expected = known.get(sources.schedule_source(run.name)), expectation_of(run)
            if (expected is not None and expected.is_due(recorded)) or _may_be_over(services, run, recorded):
                _check(services, run, expected)


def _may_be_over(services: Services, run: Schedule, recorded: RosterSource | None) -> bool:
    if recorded is None or recorded.problem is None or recorded.problem.ends_with_a_run:
        return False
    is_address = source.parse_source(run.source).kind is source.SourceKind.ADDRESS
    every = ADDRESS_SECONDS if is_address else services.settings.sweep_seconds
    return now() - (recorded.checked_at or 0.0) >= every


def _check(services: Services, run: Schedule, expected: Expectation | None) -> None:
    found: Sighting | RosterError
    try:
        found = look(services, run)
    except LedgerError:
        raise
    except RosterError as error:
        found = error
    with services.ledger.write() as tx:
        known = lock_schedule(tx, run)
        deadline = None if expected is None else expected.pass_deadline(tx, known)
        if not isinstance(found, Sighting):
            if deadline is not None or known.problem is not None:
                sources.record_problem(tx, known, problem_of(found), str(found))
            return
        known = record_sighting(tx, known, found)
        if expected is not None and deadline is not None and not expected.is_met(known, deadline):
            text = f"{expected.late_text(deadline)}: {_is_from(found, run.zone)}"
            sources.record_problem(tx, known, SourceProblem.LATE, text)
        elif _is_over(run, known):
            sources.record_ok(tx, known, QUIET_SWEEPS * services.settings.sweep_seconds)


def look(services: Services, run: Schedule) -> Sighting:
    """Return what the source of a schedule has now. Raises UsageError."""
    parsed = source.parse_source(run.source)
    with source.local_copy(parsed, services.files) as roster:
        return sight(parsed, roster)


def _is_from(found: Sighting, zone: str) -> str:
    if found.modified_at is None:
        return f"{found.shown} has the same content as before"
    return f"{found.shown} is from {local_text(found.modified_at, zone)}"


def _is_over(run: Schedule, known: RosterSource) -> bool:
    """Return whether the problem of a source that has a file now is over."""
    if known.problem is SourceProblem.UNCHANGED and not _reports_unchanged(run):
        return True
    if known.problem is SourceProblem.LATE and not run.expect_by:
        return True
    if known.problem is None or not known.problem.is_stale:
        return True
    return (known.seen_at or 0.0) > (known.since or 0.0)
