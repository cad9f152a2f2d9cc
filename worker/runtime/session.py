"""What one process keeps of a job while it works on it: the job's context, counters, stop signals and failures."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker import bootstrap
from worker.errors import LedgerError
from worker.registration.breaker import OutageBudget
from worker.registration.counters import JobCounters
from worker.registration.stop_signals import StopSignals

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.bootstrap import Services
    from worker.errors import RetryLater
    from worker.lms.http import LmsSession
    from worker.registration.context import JobContext
    from worker.settings import Connection

#: A session that was not used for this long is opened again: its job may have changed at the LMS (seconds).
STALE_SECONDS = 600.0


@dataclass(slots=True)
class JobSession:
    """A job in this process."""

    context: JobContext
    counters: JobCounters
    stop_signals: StopSignals
    outage_budget: OutageBudget = field(default_factory=OutageBudget)
    used_at: float = field(default_factory=time.monotonic)

    @property
    def job_id(self) -> int:
        """Return the id of the job."""
        return self.context.job_id

    @property
    def is_stale(self) -> bool:
        """Whether what was learnt in this session may have changed at the LMS since."""
        return self.context.halted or time.monotonic() - self.used_at > STALE_SECONDS

    def record_failure(self, error: RetryLater) -> None:
        """Note a step that must be tried again; raises StopJob when it failed too often or for too long."""
        self.outage_budget.record_failure(error, answered=self.context.client.session.has_responded)

    async def flush_counters(self) -> None:
        """Write what was counted since the last time to the ledger."""
        await self.counters.flush(self.context)

    async def flush(self) -> None:
        """Leave nothing unwritten before the event loop stops."""
        await self.context.client.session.limiter.flush()
        await self.flush_counters()
        if (mark := self.stop_signals.high_water_mark) is not None:
            with suppress(LedgerError):
                await self.context.ledger.query(mark.raise_to)
        self.used_at = time.monotonic()


def open_session(
    services: Services, connection: Connection, job_id: int, lms_session: LmsSession, *, ending: Callable[[], bool]
) -> JobSession:
    """Open a job in this process, over an open LMS session; `ending` returns whether the process is to end.

    Raises UsageError when the ledger is older than what was sent with it.
    """
    mark = bootstrap.high_water_mark(services)
    with services.ledger.write() as tx:
        mark.begin(tx)
    client = bootstrap.open_lms_client(lms_session, job_id)
    stop_signals = StopSignals(ledger=services.ledger, job_id=job_id, is_shutting_down=ending, high_water_mark=mark)
    context = bootstrap.open_job_context(services, connection, job_id, client, stop_signals.stop_reason)
    memory = bootstrap.pace_key(connection)
    return JobSession(
        context, JobCounters(ledger=services.ledger, job_id=job_id, client=client, pace_key=memory), stop_signals
    )
