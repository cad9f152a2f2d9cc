"""Count what was done for a job, and write it to the ledger: calls, refusals, waits, the pace that held."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.ledger import jobs, key_value
from worker.ledger.database import now

if TYPE_CHECKING:
    from worker.ledger.database import Transaction
    from worker.ledger.transactions import Ledger
    from worker.lms.http import Door
    from worker.registration.context import Desk


@dataclass(slots=True, kw_only=True)
class Books:
    """The counts of one job in one process."""

    ledger: Ledger
    job_id: int
    door: Door
    #: The name under which the ledger remembers the pace of the credential.
    pace_memory: str
    _waited_before: float = 0.0
    _calls: int = 0
    _began: float = field(default_factory=now)

    def __post_init__(self) -> None:
        self._waited_before = self.door.wire.gate.snapshot().waited_seconds

    def calls_per_second(self) -> float:
        """Return how fast this process has called so far."""
        return self._calls / max(now() - self._began, 0.001)

    async def write(self, desk: Desk | None) -> None:
        """Write what was counted since the last time."""
        calls, self.door.calls = self.door.calls, type(self.door.calls)()
        refused, self.door.rate_limited = self.door.rate_limited, 0
        self._calls += calls.total()
        total = self.door.wire.gate.snapshot().waited_seconds
        waited, self._waited_before = total - self._waited_before, total
        bisected = 0
        if desk is not None:
            bisected, desk.bisected = desk.bisected, 0
        held = self.door.wire.gate.to_memory()

        def write(tx: Transaction) -> None:
            jobs.count_calls(tx, self.job_id, calls)
            jobs.add_to_job(tx, self.job_id, rate_limited=refused, waited_seconds=waited, bisected_batches=bisected)
            key_value.remember(tx, self.pace_memory, held)

        await self.ledger.run(write)
