"""How many calls a job still takes, at least and at most, and how long at a known pace. Pure but for the counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker import lms
from worker.ledger.rows import outlook
from worker.registration.directory import PAGE

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.ledger.database import Transaction
    from worker.model import RowRules
    from worker.settings import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The calls that a job still takes: `least` when everybody is on the LMS, `most` when nobody unknown is."""

    least: int
    most: int

    def seconds(self, rate_per_second: float) -> float:
        """Return how long the most of them take at this rate."""
        return self.most / rate_per_second


def estimate(tx: Transaction, job_id: int, rules: RowRules) -> Estimate:
    """Return the calls that the rows not yet sent will take.

    One for each candidate to be created, one for as many rows of a course as a call takes; where the LMS lists
    people, unknown candidates may turn out to be there, and the lists are read. A deed is a look, and perhaps a
    call; one more look where only an external id names the registration.
    """
    ahead = outlook(tx, job_id)
    deeds = ahead.deeds
    registering = (
        ahead.to_find + deeds + sum(math.ceil(rows / rules.rows_per_call) for rows in ahead.rows_by_course.values())
    )
    if not rules.lists_people:
        calls = registering + ahead.new_candidates
        return Estimate(least=calls, most=calls + deeds)
    lists = 1 + len(ahead.rows_by_course) + math.ceil(ahead.new_candidates / PAGE) if registering else 0
    return Estimate(least=registering, most=registering + deeds + ahead.new_candidates + lists)


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
