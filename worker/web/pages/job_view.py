"""A job as its page shows it: where it stands, how fast it goes, when it will be done, what can be done to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker import lms
from worker.control import JobAction
from worker.errors import RosterError
from worker.jobs.estimate import TimeLeft, time_left
from worker.ledger import rows
from worker.ledger.database import now
from worker.model import Action, JobState, RowStatus
from worker.reports import gather
from worker.reports.labels import STATE_INFO
from worker.web.pages.labels import status_info

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.reports.labels import StateInfo, StatusInfo
    from worker.reports.lines import Summary

#: The rate is that of so long ago until now (seconds).
RATE_SECONDS = 60.0
_NO_ACTIVITY = rows.Activity(in_flight=0, finished=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A part of the bar: rows of one tone, from where to where in thousandths of all."""

    tone: str
    start: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """Where a job stands."""

    job: Job
    summary: Summary
    info: StateInfo
    in_flight: int
    #: Rows that got an outcome in a minute, just now; None when it is not at work.
    rows_a_minute: float | None
    ahead: TimeLeft | None
    #: Seconds until it is done, as far as anybody can tell.
    seconds_left: float | None
    actions: frozenset[JobAction]

    @property
    def is_moving(self) -> bool:
        """Tell whether the page should follow it."""
        return self.job.state.is_moving

    @property
    def done(self) -> int:
        """Return how many rows are done."""
        return self.summary.done

    @property
    def processed(self) -> int:
        """Return how many rows have an outcome of any kind."""
        return self.summary.total - self.unsent

    @property
    def unsent(self) -> int:
        """Return how many rows have none yet."""
        return self.summary.by_status.get(RowStatus.NOT_ATTEMPTED, 0)

    @property
    def need_attention(self) -> int:
        """Return how many rows a person must look at."""
        return sum(count for status, count in self.summary.by_status.items() if status.needs_attention)

    @property
    def counts(self) -> list[tuple[RowStatus, StatusInfo, int]]:
        """Return the statuses that occur."""
        counts = self.summary.by_status
        return [
            (each, status_info(each, is_moving=self.is_moving), counts[each])
            for each in RowStatus
            if counts.get(each, 0)
        ]

    @property
    def shares(self) -> list[Share]:
        """Return the parts of the bar."""
        total = self.summary.total or 1
        by_tone: dict[str, int] = {}
        for status, info, count in self.counts:
            if status is not RowStatus.NOT_ATTEMPTED:
                by_tone[info.tone] = by_tone.get(info.tone, 0) + count
        shares, begins = [], 0
        for tone in ("good", "bad", "warn", "quiet"):
            if count := by_tone.get(tone, 0):
                width = max(4, round(1000 * count / total))
                shares.append(Share(tone=tone, start=begins, width=width))
                begins += width
        return shares

    @property
    def calls(self) -> int:
        """Return how many calls it has made."""
        return sum(self.summary.calls.values())

    @property
    def announcement(self) -> str:
        """Return where it stands in one sentence, for those who listen."""
        text = f"{self.info.label}: {self.processed:,} of {self.summary.total:,} rows have an outcome"
        return f"{text}, {self.need_attention:,} need a look." if self.need_attention else f"{text}."


def view_of(services: Services, tx: Transaction, job: Job, *, brief: bool = False) -> JobView:
    """Return where a job stands now; a `brief` view, for a list, knows no speed and nothing that is under way."""
    summary = gather.summarise(tx, job)
    moved = _NO_ACTIVITY if brief else rows.activity_since(tx, job.id, now() - RATE_SECONDS)
    rate = _rows_a_minute(job, moved.finished)
    ahead = None if brief or job.has_ended else time_left(services, tx, job)
    return JobView(
        job=job,
        summary=summary,
        info=STATE_INFO[job.state],
        in_flight=moved.in_flight if job.state.may_have_calls else 0,
        rows_a_minute=rate,
        ahead=ahead,
        seconds_left=_seconds_left(job, summary, rate, ahead),
        actions=_actions(services, job, summary),
    )


def _rows_a_minute(job: Job, settled: int) -> float | None:
    if not job.state.is_sending or not job.started_at or not settled:
        return None
    seconds = min(RATE_SECONDS, max(1.0, now() - job.started_at))
    return settled * 60 / seconds


def _seconds_left(job: Job, summary: Summary, rate: float | None, ahead: TimeLeft | None) -> float | None:
    """Return the seconds left: by the calls ahead and the pace, or else as the rows of the last minute went."""
    if not job.state.is_sending:
        return None
    if ahead is not None:
        return ahead.seconds
    return summary.by_status.get(RowStatus.NOT_ATTEMPTED, 0) * 60 / rate if rate else None


def _actions(services: Services, job: Job, summary: Summary) -> frozenset[JobAction]:
    """Return what makes sense now; whether it can be done is found out when it is tried."""
    if job.purged_at is not None:
        return frozenset()
    counts, acts = summary.by_status, set()
    if job.state.is_moving and job.state is not JobState.CANCELLING:
        acts |= {JobAction.PAUSE, JobAction.CANCEL}
    if job.state.is_idle:
        acts |= {JobAction.RESUME, JobAction.CANCEL}
    ended_by_itself = job.has_ended and job.state not in {JobState.INVALID, JobState.CANCELLED}
    if ended_by_itself and counts.get(RowStatus.NOT_ATTEMPTED, 0):
        acts.add(JobAction.RESUME)
    again = any(count for status, count in counts.items() if status.is_retriable)
    if job.has_ended and job.state is not JobState.INVALID and again:
        acts.add(JobAction.RETRY)
    if job.has_ended and counts.get(RowStatus.REGISTERED, 0) and can_undo(services, job):
        acts.add(JobAction.UNDO)
    return frozenset(acts)


def can_undo(services: Services, job: Job) -> bool:
    """Tell whether the job's LMS can withdraw registrations."""
    try:
        return Action.WITHDRAW in lms.rules_of(services.connection(job.connection)).actions
    except RosterError:
        return False
