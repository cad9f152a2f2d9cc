"""What a worker keeps an eye on while it has a batch: what a person asked for, whose turn it is, its own end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.errors import LedgerError, RosterError
from worker.ledger import jobs, queue, rows
from worker.model import AT_WORK, RowStatus
from worker.registration.context import Stopped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from worker.ledger.database import Transaction
    from worker.ledger.transactions import Ledger

#: How often to look what a person asked for (seconds).
LOOK_SECONDS = 0.5
#: How often to count, and to look whether a shorter job waits: a batch then gives way (seconds).
COUNT_SECONDS = 2.0
#: After so long it gives way in any case (seconds).
LONGEST_TURN_SECONDS = 300.0


@dataclass(slots=True, kw_only=True)
class Attention:
    """Looks up from a job now and then."""

    ledger: Ledger
    job_id: int
    #: Whether this process was told to end.
    ending: Callable[[], bool]
    #: Told how many of the job's rows are settled, of how many.
    progress: Callable[[int, int], None] = lambda _done, _total: None
    _began: float = field(default_factory=time.monotonic)
    _asked: RosterError | None = None

    def stopping(self) -> RosterError | None:
        """Return why nothing more may be sent, if so."""
        return Stopped("this worker was told to end") if self.ending() else self._asked

    @asynccontextmanager
    async def paid(self, *, in_turn: bool = True) -> AsyncIterator[None]:
        """Look up every second while the block runs; what cannot be done by halves is not `in_turn`."""
        self._began, self._asked = time.monotonic(), None
        looking = asyncio.create_task(self._keep_looking(in_turn=in_turn))
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _keep_looking(self, *, in_turn: bool) -> None:
        counted = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            # A ledger that is away for a moment is the commits' trouble, not ours.
            with suppress(LedgerError):
                await self.ledger.look(self._look)
                if in_turn and time.monotonic() - counted > COUNT_SECONDS:
                    counted = time.monotonic()
                    self.progress(*await self.ledger.look(self._count))

    def _look(self, tx: Transaction) -> None:
        """Look at what a person asked for."""
        state = jobs.state_of(tx, self.job_id)
        if state not in AT_WORK:
            self._asked = Stopped(f"the job is {state or 'gone'}")

    def _count(self, tx: Transaction) -> tuple[int, int]:
        """Look whose turn it is, and return how many of the job's rows are settled, of how many."""
        if time.monotonic() - self._began > LONGEST_TURN_SECONDS or queue.others_wait(tx, self.job_id):
            self._asked = self._asked or Stopped("it is another job's turn")
        tally = rows.tally(tx, self.job_id)
        return tally.total - tally.by_status[RowStatus.NOT_ATTEMPTED], tally.total
