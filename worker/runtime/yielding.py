"""A long import yields the CPU to much shorter running jobs, for a bounded time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from worker.intake.storage import estimate_rows
from worker.ledger import queue
from worker.runtime.process import shutting_down

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.ledger.jobs import Job
    from worker.ledger.transactions import Ledger

#: How long an import yields in all: for each of its rows, and at most (seconds).
SECONDS_PER_ROW, MAX_SECONDS = 0.01, 20.0
#: How often it checks whether it may continue (seconds).
POLL_SECONDS = 0.2
#: Chunks that are written at the same time in one process; more would only wait, each with a database connection.
MAX_WRITERS = 2
#: An import yields to jobs that have at most its own rows divided by this.
SHORTER_TIMES = 4
_writers = BoundedSemaphore(MAX_WRITERS)


@dataclass(slots=True)
class YieldBudget:
    """How long the import of a job yields to short jobs: in all, however many there are."""

    ledger: Ledger
    job_id: int
    #: It yields to jobs with up to this many rows left.
    short_rows: int
    seconds_left: float

    @classmethod
    def of(cls, ledger: Ledger, job: Job) -> YieldBudget:
        """Return the budget of `job`: the longer its roster, the larger; a short one does not yield."""
        rows = estimate_rows(job.stored_path)
        if rows <= queue.SMALL_ROWS:
            return cls(ledger, job.id, 0, 0.0)
        short_rows = min(queue.SMALL_ROWS, rows // SHORTER_TIMES)
        return cls(ledger, job.id, short_rows, min(MAX_SECONDS, rows * SECONDS_PER_ROW))

    @contextmanager
    def chunk_slot(self) -> Iterator[None]:
        """Context for writing one chunk: waits for shorter jobs, and limits concurrent chunk writers."""
        self.yield_to_short_jobs()
        with _writers:
            yield

    def yield_to_short_jobs(self) -> None:
        """Wait until no other running job has few rows left, the budget is spent, or the process shuts down."""
        began = time.monotonic()
        while time.monotonic() - began < self.seconds_left and not shutting_down.is_set():
            with self.ledger.read() as tx:
                if not queue.short_job_is_running(tx, self.job_id, estimate_rows, max_rows=self.short_rows):
                    break
            time.sleep(POLL_SECONDS)
        self.seconds_left -= time.monotonic() - began
