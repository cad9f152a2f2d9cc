"""Forecast the next runs of the schedules from their rosters as they are now, and find runs that overlap."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker import lms
from worker.errors import LedgerError, RosterError
from worker.intake.importing import dry_run
from worker.intake.options import Options
from worker.jobs.estimate import plan_of
from worker.ledger import jobs, rows
from worker.ledger.database import now
from worker.reports.labels import STATE_INFO
from worker.schedules import source
from worker.schedules.cron import runs

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.ledger.database import Transaction
    from worker.ledger.schedules import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one run needs: calls, at least and at most, and seconds at the measured pace, if there is one."""

    rows: int = 0
    least: int = 0
    most: int = 0
    seconds: float | None = None
    #: Why there is no estimate, in plain words.
    unknown_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """When something uses a connection; seconds since 1970."""

    what: str
    connection: str
    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The next runs of one schedule."""

    schedule: Schedule
    cost: Cost
    times: Sequence[float]

    @property
    def spans(self) -> Iterator[Span]:
        """Yield when its runs use their connection; a run of unknown length has no duration."""
        for at in self.times:
            end = at + (self.cost.seconds or 0.0)
            yield Span(what=self.schedule.name, connection=self.schedule.connection, start=at, end=end)


def forecast_runs(services: Services, wanted: Sequence[Schedule], count: int) -> list[Forecast]:
    """Return the next `count` runs of each schedule, and what each of them needs."""
    return [Forecast(schedule=each, cost=_cost(services, each), times=_times(each, count)) for each in wanted]


def _times(schedule: Schedule, count: int) -> list[float]:
    """Return the next runs; none while the schedule is paused."""
    if schedule.paused_at is not None:
        return []
    later = runs(schedule.cron, schedule.zone, max(schedule.next_at, now()))
    return list(itertools.islice(itertools.chain([schedule.next_at], later), count))


def _cost(services: Services, schedule: Schedule) -> Cost:
    """Read the roster as it is now, in a transaction that is rolled back."""
    try:
        with (
            source.local_copy(source.parse_source(schedule.source), services.files) as roster,
            services.ledger.dry_run() as tx,
        ):
            return _estimate(tx, services, schedule, roster)
    except LedgerError:
        raise
    except (RosterError, OSError) as error:
        return Cost(unknown_reason=str(error))


def _estimate(tx: Transaction, services: Services, schedule: Schedule, roster: source.LocalRoster) -> Cost:
    connection = services.connection(schedule.connection)
    job = dry_run(
        tx,
        roster.path,
        connection,
        Options(**schedule.options),
        rules=lms.rules_of(connection),
        name=roster.name,
    )
    plan = plan_of(tx, services, job.id, connection)
    return Cost(
        rows=rows.count_rows(tx, job.id).total,
        least=plan.calls.least,
        most=plan.calls.most,
        seconds=plan.seconds,
    )


def job_spans(services: Services) -> list[Span]:
    """Return when the jobs that have not ended use their connections, if that is known."""
    spans = []
    with services.ledger.read() as tx:
        for job in jobs.list_jobs(tx):
            if job.has_ended:
                continue
            try:
                seconds = plan_of(tx, services, job.id, services.connection(job.connection)).seconds or 0.0
            except RosterError:
                seconds = 0.0
            start = max(now(), job.not_before or 0.0)
            what = f"job {job.id} ({STATE_INFO[job.state].label})"
            spans.append(Span(what=what, connection=job.connection, start=start, end=start + seconds))
    return spans


def find_overlaps(spans: Sequence[Span]) -> list[tuple[Span, Span]]:
    """Return the pairs that use one connection at the same time, ordered by the time at which they overlap."""
    found = []
    for first, second in itertools.combinations(sorted(spans, key=lambda span: (span.start, span.end)), 2):
        if first.connection == second.connection and second.start <= first.end:
            found.append((first, second))
    return sorted(found, key=lambda pair: pair[1].start)
