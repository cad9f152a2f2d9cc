"""What a job will cost: calls, and time at the pace that is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker import lms
from worker.jobs.estimate import estimate

if TYPE_CHECKING:
    from sqlalchemy import Connection as Transaction

    from worker.bootstrap import Services
    from worker.jobs.estimate import Estimate
    from worker.settings import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many calls a job will take, and how fast they may go as far as anybody knows."""

    calls: Estimate
    #: Calls a second; None when no pace is known yet.
    rate: float | None

    @property
    def span(self) -> str:
        """Return the number of calls as a person reads it."""
        least, most = self.calls.least, self.calls.most
        return f"{least:,}" if least == most else f"{least:,} to {most:,}"

    @property
    def seconds(self) -> float | None:
        """Return how long the most of them take at the known pace."""
        return self.calls.seconds(self.rate) if self.rate else None


def plan_of(tx: Transaction, services: Services, job_id: int, connection: Connection) -> Plan:
    """Return what a job will cost."""
    calls = estimate(tx, job_id, lms.rules_of(connection))
    return Plan(calls=calls, rate=services.known_rate(tx, connection))
