"""By when a new file must have come from a source, and whether it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.ledger import sources
from worker.ledger.database import now
from worker.reports.lines import local_text
from worker.schedules import cron
from worker.settings import parse_expected_time

if TYPE_CHECKING:
    from worker.ledger.database import Transaction
    from worker.ledger.schedules import Schedule
    from worker.ledger.sources import RosterSource
    from worker.settings import Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """The times by which a new file must have come, in a time zone."""

    #: A cron line.
    line: str
    zone: str

    @property
    def text(self) -> str:
        """Return what differs when the expectation is another one."""
        return f"{self.line} {self.zone}"

    def is_due(self, recorded: RosterSource | None) -> bool:
        """Return whether the time by which a file must have come has passed, or is not known yet."""
        if recorded is None or recorded.expectation != self.text or recorded.deadline_at is None:
            return True
        return recorded.deadline_at <= now()

    def pass_deadline(self, tx: Transaction, known: RosterSource) -> float | None:
        """Set the next time, and return the newest one that has passed unchecked; None when none has."""
        at = now()
        is_known = known.expectation == self.text and known.deadline_at is not None
        if is_known and (known.deadline_at or 0.0) > at:
            return None
        following = cron.next_run(self.line, self.zone, at)
        sources.change(tx, known.name, expectation=self.text, deadline_at=following)
        return self._before(following) if is_known else None

    def is_met(self, known: RosterSource, deadline: float) -> bool:
        """Return whether a file has arrived since the deadline before this one."""
        return known.seen_at is not None and known.seen_at > self._before(deadline)

    def late_text(self, deadline: float) -> str:
        """Return that no new file has come by a deadline."""
        hour = local_text(deadline, self.zone).split()[2]
        return f"No new file has come by {hour} ({self.zone})"

    def _before(self, at: float) -> float:
        return cron.previous_run(self.line, self.zone, at)


def expectation_of(run: Schedule) -> Expectation | None:
    """Return when a schedule expects new files; None when it does not."""
    if not run.expect_by:
        return None
    return Expectation(line=cron.deadline_line(parse_expected_time(run.expect_by), run.cron), zone=run.zone)


def expectation_of_folder(folder: Folder) -> Expectation | None:
    """Return when a drop folder expects new files; None when it does not. Raises UsageError."""
    if folder.expect_by is None:
        return None
    line = cron.deadline_line(parse_expected_time(folder.expect_by))
    return Expectation(line=line, zone=folder.zone or cron.machine_zone())
