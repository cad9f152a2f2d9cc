"""How many calls a job still takes, at least and at most, and how long at a known pace. Pure but for the counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.ledger import outlook
from worker.registration.directory import PAGE

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from worker.model import RowRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The calls that a job still takes: `least` when everybody is on the LMS, `most` when nobody unknown is."""

    least: int
    most: int

    def seconds(self, rate_per_second: float) -> float:
        """Return how long the most of them take at this rate."""
        return self.most / rate_per_second


def estimate(tx: Connection, job_id: int, rules: RowRules) -> Estimate:
    """Return the calls that the rows not yet sent will take.

    One for each candidate to be created, one for as many rows of a course as a call takes; where the LMS lists
    people, unknown candidates may turn out to be there, and the lists are read. A deed is a look, and perhaps a
    call; one more look where only an external id names the registration.
    """
    ahead = outlook.outlook(tx, job_id)
    deeds = ahead.deeds
    registering = (
        ahead.to_find + deeds + sum(math.ceil(rows / rules.rows_per_call) for rows in ahead.rows_by_course.values())
    )
    if not rules.lists_people:
        calls = registering + ahead.new_candidates
        return Estimate(least=calls, most=calls + deeds)
    lists = 1 + len(ahead.rows_by_course) + math.ceil(ahead.new_candidates / PAGE) if registering else 0
    return Estimate(least=registering, most=registering + deeds + ahead.new_candidates + lists)
