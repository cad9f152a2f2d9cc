"""Count a job's calls, rate limits and waits, and write them to the ledger with the current pace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.ledger import jobs, key_value
from worker.ledger.database import now

if TYPE_CHECKING:
    from worker.ledger.database import Transaction
    from worker.ledger.transactions import Ledger
    from worker.lms.http import LmsClient
    from worker.registration.context import JobContext


@dataclass(slots=True, kw_only=True)
class JobCounters:
    """The counters of one job in one process."""

    ledger: Ledger
    job_id: int
    client: LmsClient
    #: The key under which the ledger stores the pace of the credential.
    pace_key: str
    _waited_before: float = 0.0
    _started_at: float = field(default_factory=now)

    def __post_init__(self) -> None:
        self._waited_before = self.client.session.limiter.snapshot().waited_seconds

    def calls_per_second(self) -> float:
        """Return the average call rate of this process so far."""
        return self.client.calls.total() / max(now() - self._started_at, 0.001)

    async def flush(self, context: JobContext | None) -> None:
        """Write what was counted since the last flush."""
        calls = self.client.take_calls()
        refused, self.client.rate_limited = self.client.rate_limited, 0
        total = self.client.session.limiter.snapshot().waited_seconds
        waited, self._waited_before = total - self._waited_before, total
        bisected = 0
        if context is not None:
            bisected, context.bisected = context.bisected, 0
        held = self.client.session.limiter.to_memory()

        def write(tx: Transaction) -> None:
            jobs.add_calls(tx, self.job_id, calls)
            jobs.add_to_counters(
                tx, self.job_id, rate_limited=refused, waited_seconds=waited, bisected_batches=bisected
            )
            key_value.put(tx, self.pace_key, held)

        await self.ledger.run(write)
