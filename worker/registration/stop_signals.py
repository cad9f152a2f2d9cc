"""Watch for reasons to stop a batch: a person's request, other jobs that wait, the end of this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.errors import LedgerError, RosterError
from worker.intake.storage import estimate_rows
from worker.ledger import jobs, queue, rows
from worker.registration.context import Stopped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from worker.ledger.database import Transaction
    from worker.ledger.high_water import HighWaterMark
    from worker.ledger.transactions import Ledger

#: How often the job's state is read (seconds).
POLL_SECONDS = 0.5
#: How often rows are counted, and waiting jobs checked, to which a batch then yields (seconds).
COUNT_SECONDS = 2.0
#: Maximum time until a batch yields in any case (seconds).
MAX_TIME_SLICE_SECONDS = 300.0


@dataclass(slots=True, kw_only=True)
class StopSignals:
    """Polls for reasons to stop a job, and reports its progress."""

    ledger: Ledger
    job_id: int
    #: Whether this process is shutting down.
    is_shutting_down: Callable[[], bool]
    #: Called with the number of the job's rows with an outcome, and of all rows.
    progress: Callable[[int, int], None] = lambda _done, _total: None
    #: Where it is written how many calls this ledger has recorded.
    high_water_mark: HighWaterMark | None = None
    _started_at: float = field(default_factory=time.monotonic)
    _reason: RosterError | None = None

    def stop_reason(self) -> RosterError | None:
        """Return why nothing more may be sent, if so."""
        return Stopped("this worker is shutting down") if self.is_shutting_down() else self._reason

    @asynccontextmanager
    async def watching(self, *, may_yield: bool = True) -> AsyncIterator[None]:
        """Poll while the block runs; work that must not be interrupted is not `may_yield`."""
        self._started_at, self._reason = time.monotonic(), None
        polling = asyncio.create_task(self._poll(may_yield=may_yield))
        try:
            yield
        finally:
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)

    async def _poll(self, *, may_yield: bool) -> None:
        counted = time.monotonic()
        while True:
            await asyncio.sleep(POLL_SECONDS)
            # A ledger that is unavailable for a moment fails the commits, which handle it.
            with suppress(LedgerError):
                await self.ledger.query(self._check_state)
                if may_yield and time.monotonic() - counted > COUNT_SECONDS:
                    counted = time.monotonic()
                    self.progress(*await self.ledger.query(self._check_waiting_jobs))

    def _check_state(self, tx: Transaction) -> None:
        """Stop when the job is no longer running."""
        if self.high_water_mark is not None:
            self.high_water_mark.raise_to(tx)
        state = jobs.state_of(tx, self.job_id)
        if state is None or not state.is_sending:
            self._reason = Stopped(f"the job is {state or 'gone'}")

    def _check_waiting_jobs(self, tx: Transaction) -> tuple[int, int]:
        """Stop when other jobs should run; return the number of the job's rows with an outcome, and of all rows."""
        if time.monotonic() - self._started_at > MAX_TIME_SLICE_SECONDS or queue.shorter_job_waits(
            tx, self.job_id, estimate_rows
        ):
            self._reason = self._reason or Stopped("yielding to another job")
        tally = rows.count_rows(tx, self.job_id)
        return tally.total - tally.pending, tally.total
