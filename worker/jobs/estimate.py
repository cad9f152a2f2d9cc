"""Estimate how many calls a job still takes, at least and at most, and how long at a known pace."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from worker import lms
from worker.errors import RosterError
from worker.ledger import learned_limits, people
from worker.ledger.database import now
from worker.ledger.rows import count_remaining, is_course_proven
from worker.pace import forecast

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.ledger.learned_limits import LearnedLimits
    from worker.ledger.rows import RemainingWork
    from worker.model import RowRules
    from worker.settings import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Remaining calls: `least` if all unknown candidates already exist, `most` if none does."""

    least: int
    most: int

    def seconds(self, rate_per_second: float) -> float:
        """Return how long the most of them take at this rate."""
        return self.most / rate_per_second


def estimate(tx: Transaction, job_id: int, rules: RowRules, *, people_per_create: int | None = None) -> Estimate:
    """Return the calls that the rows not yet sent will take.

    One for each candidate to be created, one for as many rows of a course as a call takes (and one for the first
    person of a course on which this connection has registered nobody); where the LMS lists
    people, unknown candidates may turn out to be there, and the lists are read. An action is a look-up, and
    perhaps a call; one more look-up where only an external id names the registration. `people_per_create`: how
    many people a creating call accepts, at an LMS that looks many up at a time.
    """
    ahead = count_remaining(tx, job_id)
    if rules.people_per_lookup:
        return _estimate_bulk(tx, job_id, ahead, rules, people_per_create or rules.rows_per_call)
    actions = ahead.actions
    registering = (
        ahead.unlinked
        + actions
        + sum(
            calls_of_course(rows, rules.rows_per_call, proven=is_course_proven(tx, job_id, course))
            for course, rows in ahead.rows_by_course.items()
        )
    )
    if not rules.lists_people:
        calls = registering + ahead.new_candidates
        return Estimate(least=calls, most=calls + actions)
    pages = math.ceil(ahead.new_candidates / rules.people_per_page)
    lists = 1 + len(ahead.rows_by_course) + pages if registering else 0
    return Estimate(least=registering, most=registering + actions + ahead.new_candidates + lists)


#: Kinds of value that a person is looked up by, and people on one page of the list of a course.
_LOOKUPS_EACH, _PAGE_SIZE = 3, 1000


def _estimate_bulk(
    tx: Transaction, job_id: int, ahead: RemainingWork, rules: RowRules, people_per_create: int
) -> Estimate:
    """Return the calls at an LMS that looks up and creates many people at a time, and lists a course twice."""
    proven = {course: is_course_proven(tx, job_id, course) for course in ahead.rows_by_course}

    def calls(rows_per_call: int) -> int:
        return sum(
            calls_of_course(rows, rows_per_call, proven=proven[course])
            for course, rows in ahead.rows_by_course.items()
        )

    registering, new = calls(rules.rows_per_call), ahead.new_candidates
    lists = sum(1 + 2 * (2 + rows // _PAGE_SIZE) for rows in ahead.rows_by_course.values())
    shown = math.ceil(people.count_unseen(tx, job_id) / rules.people_per_lookup)
    lookups = _LOOKUPS_EACH * math.ceil(new / rules.people_per_lookup) + shown
    actions = 2 + 3 * math.ceil(ahead.actions / rules.rows_per_action) if ahead.actions else 0
    # What the site says of itself, and a user who is known to exist.
    site = 2 if registering or actions else 0
    least = site + registering + lists + lookups + min(1, ahead.actions)
    return Estimate(
        least=least, most=site + registering + lists + lookups + actions + min(new, calls(people_per_create))
    )


def calls_of_course(rows: int, rows_per_call: int, *, proven: bool) -> int:
    """Return how many calls register the rows of a course; one row goes alone unless the course is `proven`."""
    alone = 0 if proven else 1
    return alone + math.ceil((rows - alone) / rows_per_call)


def _estimate_for(
    tx: Transaction, job_id: int, connection: Connection, learned: LearnedLimits | None = None
) -> Estimate:
    found = learned or learned_limits.last_limits(tx, connection.name)
    rules, cut_off = lms.rules_of(connection), learned_limits.last_cut_off(tx, connection.name)
    people = cut_off.cap_people(found.people_per_create if found else rules.rows_per_call)
    rules = replace(rules, rows_per_call=cut_off.cap_rows(rules.rows_per_call))
    return estimate(tx, job_id, rules, people_per_create=people)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many calls a job will take, and at which rate as far as that is known."""

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


def plan_of(
    tx: Transaction,
    services: Services,
    job_id: int,
    connection: Connection,
    *,
    learned: LearnedLimits | None = None,
) -> Plan:
    """Return what a job will cost; `learned` is what the LMS said of its limits, else what it said last."""
    calls = _estimate_for(tx, job_id, connection, learned)
    return Plan(calls=calls, rate=services.known_rate(tx, connection))


#: What is said of the time left while refusals have not yet shown what the LMS allows.
NOT_KNOWN_YET = "not known yet: what the LMS allows is still being measured"
#: What is said of a time left that rests on no limit: the LMS has stated none and refused nothing so far.
AT_THE_SPEED_SO_FAR = "at the speed so far, if the LMS does not limit it"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLeft:
    """How long a job still takes, as far as that is known."""

    #: Calls per second that are configured, or that were found last.
    rate: float
    #: Seconds until its end, a current pause included; None while the rate is still searched for.
    seconds: float | None


def calls_left(services: Services, tx: Transaction, job: Job) -> Estimate | None:
    """Return how many calls a job still takes; None when its connection is not configured."""
    try:
        return _estimate_for(tx, job.id, services.connection(job.connection))
    except RosterError:
        return None


def time_left(services: Services, tx: Transaction, job: Job, left: Estimate) -> TimeLeft | None:
    """Return how long the calls that a job has left take; None when no pace is known."""
    connection = services.connection(job.connection)
    rate = services.known_rate(tx, connection)
    if rate is None:
        return None
    if not services.has_settled_pace(tx, connection):
        return TimeLeft(rate=rate, seconds=None)
    quotas = services.stated_quotas(tx, connection) if connection.rate is None else ()
    seconds = forecast.seconds_left(left.most, rate, quotas, not_before=job.not_before or 0.0, now=now())
    return TimeLeft(rate=rate, seconds=seconds)
