"""Reading a long roster in leaves the processor to short jobs at work, for a while."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker import workplace
from worker.ledger import bells
from worker.ledger.bells import Urgency

if TYPE_CHECKING:
    from worker.ledger.access import Ledger
    from worker.ledger.jobs import Job

#: How long a reading stands back in all, and how often it looks whether it may go on (seconds).
MOST_SECONDS, LOOK_SECONDS = 20.0, 0.2


@dataclass(slots=True)
class Courtesy:
    """How a job that is being read in gives way to short ones: for so long in all, however many come."""

    ledger: Ledger
    job_id: int
    _left: float

    @classmethod
    def of(cls, ledger: Ledger, job: Job) -> Courtesy:
        """Return how `job` gives way: not at all, unless its roster is a long one."""
        long = bells.urgency(bells.likely_rows(job.kept_at)) is Urgency.LAST
        return cls(ledger, job.id, MOST_SECONDS if long else 0.0)

    def stand_back(self) -> None:
        """Wait until no other job at work has few rows left, or patience is used up, or the process ends."""
        began = time.monotonic()
        while time.monotonic() - began < self._left and not workplace.ending.is_set():
            with self.ledger.read() as tx:
                if not bells.short_at_work(tx, self.job_id):
                    break
            time.sleep(LOOK_SECONDS)
        self._left -= time.monotonic() - began
