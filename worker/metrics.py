"""Metrics for Prometheus, counted in the ledger when asked for: rows, calls, waits, pace, time left, sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from worker.errors import RosterError
from worker.jobs.estimate import calls_left, time_left
from worker.ledger import jobs, queue, rows, sources, webhooks
from worker.ledger.database import now

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.core import Metric

    from worker.bootstrap import Services
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.ledger.rows import RowCounts
    from worker.ledger.sources import RosterSource

#: Jobs that ended longer ago are not reported, so that the series do not grow for ever (seconds).
REPORTED_SECONDS = 24 * 3600.0
#: How many jobs are reported, the newest first.
MAX_JOBS = 200


class JobMetrics:
    """Collects what the ledger knows of the running jobs and of those that ended in the last day."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now."""
        families = _Families()
        try:
            with self._services.ledger.read() as tx:
                self._add_jobs(tx, families)
                for each, count in webhooks.count_events(tx).items():
                    families.hooks.add_metric(each, count)
                if swept_at := queue.last_swept(tx):
                    families.swept.add_metric((), swept_at)
                for source in sources.in_use(tx, self._services.settings.folders):
                    families.add_source(source)
        except RosterError:
            families.up.add_metric((), 0)
        else:
            families.up.add_metric((), 1)
        yield from families.all()

    def _add_jobs(self, tx: Transaction, families: _Families) -> None:
        since = now() - REPORTED_SECONDS
        reported = [
            job for job in jobs.list_jobs(tx, MAX_JOBS) if not job.has_ended or (job.finished_at or 0) > since
        ]
        ids = [job.id for job in reported]
        counts, calls = rows.count_rows_of(tx, ids), jobs.calls_of_all(tx, ids)
        for job in reported:
            self._add_job(tx, families, job, counts[job.id], calls[job.id])

    def _add_job(
        self, tx: Transaction, families: _Families, job: Job, counts: RowCounts, calls: Mapping[str, int]
    ) -> None:
        name = (str(job.id), job.connection)
        families.state.add_metric((*name, job.state), 1)
        for status, count in counts.by_status.items():
            families.rows.add_metric((*name, status), count)
        for operation, count in calls.items():
            families.calls.add_metric((*name, operation), count)
        families.refused.add_metric(name, job.rate_limited)
        families.waited.add_metric(name, job.waited_seconds)
        if not job.has_ended:
            self._tell_pace(tx, families, job, name)

    def _tell_pace(self, tx: Transaction, families: _Families, job: Job, name: tuple[str, str]) -> None:
        left = calls_left(self._services, tx, job)
        ahead = time_left(self._services, tx, job, left) if left else None
        if ahead is not None:
            families.pace.add_metric(name, ahead.rate)
            if ahead.seconds is not None:
                families.left.add_metric(name, ahead.seconds)
        if left is not None:
            pace = self._services.describe_pace(tx, self._services.connection(job.connection))
            families.source.add_metric((*name, pace.source), 1)
            families.waits.add_metric(name, pace.waits_until or 0)


class _Families:
    """The families of metrics that one collection fills."""

    def __init__(self) -> None:
        job = ("job", "connection")
        self.up = GaugeMetricFamily("roster_ledger_up", "Whether the ledger could be read", labels=())
        self.swept = GaugeMetricFamily(
            "roster_last_sweep_seconds", "When a worker or server last swept the ledger (Unix time)", labels=()
        )
        self.state = GaugeMetricFamily("roster_job_state", "1 for the state a job is in", labels=(*job, "state"))
        self.rows = GaugeMetricFamily("roster_rows", "Rows of a job by status", labels=(*job, "status"))
        self.calls = CounterMetricFamily("roster_calls", "Calls to the LMS", labels=(*job, "operation"))
        self.refused = CounterMetricFamily("roster_calls_refused", "Calls refused for speed", labels=job)
        self.waited = CounterMetricFamily(
            "roster_waited_seconds", "Seconds in which calls stood in line for the pace", labels=job
        )
        self.pace = GaugeMetricFamily("roster_pace", "Calls a second that are configured or held last", labels=job)
        self.source = GaugeMetricFamily(
            "roster_pace_source", "1 for how the pace is known: named, measured or guessed", labels=(*job, "source")
        )
        self.waits = GaugeMetricFamily(
            "roster_pace_waits_until_seconds", "Until when no call may go (Unix time); 0 for no wait", labels=job
        )
        self.left = GaugeMetricFamily("roster_seconds_left", "Seconds that a job still takes", labels=job)
        self.hooks = GaugeMetricFamily(
            "roster_webhooks", "Webhook events of LMSs in the last 30 days", labels=("connection", "fate")
        )
        source = ("source", "connection")
        self.source_up = GaugeMetricFamily(
            "roster_source_up", "1 while rosters come from a schedule or drop folder, 0 while not", labels=source
        )
        self.source_problem = GaugeMetricFamily(
            "roster_source_problem", "1 for what is wrong with a source of rosters", labels=(*source, "problem")
        )
        self.source_file = GaugeMetricFamily(
            "roster_source_last_file_seconds", "When the last new file of a source came (Unix time)", labels=source
        )

    def add_source(self, source: RosterSource) -> None:
        """Add what is recorded of a schedule or a drop folder."""
        name = (source.name, source.connection)
        self.source_up.add_metric(name, source.problem is None)
        if source.problem is not None:
            self.source_problem.add_metric((*name, source.problem), 1)
        if source.seen_at is not None:
            self.source_file.add_metric(name, source.seen_at)

    def all(self) -> tuple[Metric, ...]:
        return (
            self.up,
            self.swept,
            self.state,
            self.rows,
            self.calls,
            self.refused,
            self.waited,
            self.pace,
            self.source,
            self.waits,
            self.left,
            self.hooks,
            self.source_up,
            self.source_problem,
            self.source_file,
        )
