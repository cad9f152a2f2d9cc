"""What one process keeps of a job while it works on it: the job's context, counters, stop signals and failures."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker import bootstrap
from worker.registration.breaker import Patience
from worker.registration.counters import Books
from worker.registration.stop_signals import Attention

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.bootstrap import Services
    from worker.errors import RetryLater
    from worker.lms.http import Wire
    from worker.registration.context import Desk
    from worker.settings import Connection

#: A session that was not used for this long is opened again: its job may have changed at the LMS (seconds).
STALE_SECONDS = 600.0


@dataclass(slots=True)
class JobSession:
    """A job in this process."""

    desk: Desk
    books: Books
    attention: Attention
    patience: Patience = field(default_factory=Patience)
    used_at: float = field(default_factory=time.monotonic)

    @property
    def job_id(self) -> int:
        """Return the id of the job."""
        return self.desk.job_id

    @property
    def is_stale(self) -> bool:
        """Whether what was learnt in this session may have changed at the LMS since."""
        return self.desk.halted or time.monotonic() - self.used_at > STALE_SECONDS

    def has_failed(self, error: RetryLater) -> None:
        """Note a step that must be tried again; raises StopJob when it failed too often or for too long."""
        self.patience.lose(error, answered=self.desk.door.wire.answered)

    async def write_counts(self) -> None:
        """Write what was counted since the last time to the ledger."""
        await self.books.write(self.desk)

    async def flush(self) -> None:
        """Leave nothing unwritten before the event loop stops."""
        await self.desk.door.wire.gate.rest()
        await self.write_counts()
        self.used_at = time.monotonic()


def open_session(
    services: Services, connection: Connection, job_id: int, wire: Wire, *, ending: Callable[[], bool]
) -> JobSession:
    """Open a job in this process, over an open LMS session; `ending` returns whether the process is to end."""
    door = bootstrap.open_door(wire, job_id)
    attention = Attention(ledger=services.ledger, job_id=job_id, ending=ending)
    desk = bootstrap.open_desk(services, connection, job_id, door, attention.stopping)
    memory = bootstrap.pace_memory(connection)
    return JobSession(desk, Books(ledger=services.ledger, job_id=job_id, door=door, pace_memory=memory), attention)
