"""Take a ledger into use that was restored from a backup: what was sent since is not sent twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.bootstrap import stored_rosters
from worker.ledger import batches, restoring, schedules
from worker.ledger.high_water import renew_identity
from worker.model import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from worker.bootstrap import Services
    from worker.ledger.schedules import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was found, and what is in doubt since."""

    #: When the ledger was last written: the backup was made then or later (seconds since 1970).
    last_written: float | None
    #: The jobs that wait for a person, with the number of their rows in doubt.
    held: Mapping[int, int]
    #: The jobs whose roster had not been read, which are not sent.
    unread: tuple[int, ...]
    #: The jobs that were to start in the future, and still are: nothing of them was sent.
    ahead: tuple[int, ...]
    #: Candidates and registrations that may have been sent, in all jobs.
    candidates: int
    registrations: int
    #: Schedules with a run that was due between the backup and now; they are not caught up.
    schedules: tuple[Schedule, ...]
    #: Stored rosters that no job of this ledger has: of jobs that were opened after the backup.
    unknown: tuple[Path, ...]


def mark_restored(services: Services, at: float) -> Restored:
    """Record that the ledger was restored from a backup. No other process may be using it.

    What the ledger says was not sent is in doubt from now on: it is looked up at the LMS before it is sent, and
    where the LMS cannot be asked, a person answers.
    """
    with services.ledger.write() as tx:
        last = restoring.last_written(tx)
        batches.close_all(tx)
        renew_identity(tx)
        unended = restoring.unended_jobs(tx)
        ahead = [job.id for job in unended if job.is_ahead]
        candidates, registrations = restoring.doubt_unsent(tx, last, ahead=ahead)
        held, unread = {}, []
        for job in unended:
            if job.is_ahead:
                continue
            if job.is_read:
                restoring.stop_job(tx, job.id, JobState.HELD, restoring.HELD)
                held[job.id] = restoring.doubt_rows(tx, job.id)
            else:
                restoring.stop_job(tx, job.id, JobState.INVALID, restoring.UNREAD)
                unread.append(job.id)
        known = restoring.known_files(tx)
        return Restored(
            last_written=last,
            held=held,
            unread=tuple(unread),
            ahead=tuple(ahead),
            candidates=candidates,
            registrations=registrations,
            schedules=tuple(schedules.due(tx, at)),
            unknown=tuple(file for file in stored_rosters(services) if str(file) not in known),
        )
