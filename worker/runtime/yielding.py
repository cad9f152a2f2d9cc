"""Reading a roster in leaves the processor to much shorter jobs at work, for a while."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from worker.ledger import queue
from worker.runtime import process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.ledger.jobs import Job
    from worker.ledger.transactions import Ledger

#: How long a reading stands back in all: so long for each of its rows, and at most (seconds).
SECONDS_PER_ROW, MOST_SECONDS = 0.01, 20.0
#: How often it looks whether it may go on (seconds).
LOOK_SECONDS = 0.2
#: Rosters of which a piece is written at the same time in one process; more would only wait, each with a line to
#: the database.
AT_ONCE = 2
#: A job is short beside a roster that has so many times its rows.
TIMES = 4
_writing = BoundedSemaphore(AT_ONCE)


@dataclass(slots=True)
class Courtesy:
    """How a job that is being read in gives way to short ones: for so long in all, however many come."""

    ledger: Ledger
    job_id: int
    #: It gives way to jobs that have at most so many rows left.
    short: int
    seconds_left: float

    @classmethod
    def of(cls, ledger: Ledger, job: Job) -> Courtesy:
        """Return how `job` gives way: the longer its roster, the longer; a short one not at all."""
        rows = queue.likely_rows(job.kept_at)
        if rows <= queue.SMALL:
            return cls(ledger, job.id, 0, 0.0)
        return cls(ledger, job.id, min(queue.SMALL, rows // TIMES), min(MOST_SECONDS, rows * SECONDS_PER_ROW))

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Write one piece of the roster within, when nobody much shorter is at work and few others write here."""
        self.stand_back()
        with _writing:
            yield

    def stand_back(self) -> None:
        """Wait until no other job at work has few rows left, or patience is used up, or the process ends."""
        began = time.monotonic()
        while time.monotonic() - began < self.seconds_left and not process.ending.is_set():
            with self.ledger.read() as tx:
                if not queue.short_at_work(tx, self.job_id, most=self.short):
                    break
            time.sleep(LOOK_SECONDS)
        self.seconds_left -= time.monotonic() - began
