"""A job as its page shows it: its progress, speed, time left, and the possible actions."""

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
from worker.web.labels import status_info

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.reports.labels import StateInfo, StatusInfo
    from worker.reports.lines import Summary

#: The period over which the speed is measured (seconds).
RATE_SECONDS = 60.0
_NO_ACTIVITY = rows.Activity(in_flight=0, finished=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A part of the progress bar: rows of one tone; start and width in thousandths of all rows."""

    tone: str
    start: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """The current state of a job."""

    job: Job
    summary: Summary
    info: StateInfo
    in_flight: int
    #: Rows processed per minute; None when the job is not sending.
    rows_per_minute: float | None
    ahead: TimeLeft | None
    #: Estimated seconds until the job has ended.
    seconds_left: float | None
    actions: frozenset[JobAction]

    @property
    def is_moving(self) -> bool:
        """Return whether the page should poll it."""
        return self.job.state.is_moving

    @property
    def done(self) -> int:
        """Return the number of rows that are done."""
        return self.summary.done

    @property
    def processed(self) -> int:
        """Return the number of rows with any outcome."""
        return self.summary.total - self.unsent

    @property
    def unsent(self) -> int:
        """Return the number of rows without an outcome."""
        return self.summary.by_status.get(RowStatus.NOT_ATTEMPTED, 0)

    @property
    def retry_label(self) -> str:
        """Return what a retry sends: `12 unsent rows`, or `12 rows` when some of them were rejected."""
        retriable = sum(count for status, count in self.summary.by_status.items() if status.is_retriable)
        kind = "unsent " if retriable == self.unsent else ""
        return f"{retriable:,} {kind}{'row' if retriable == 1 else 'rows'}"

    @property
    def need_attention(self) -> int:
        """Return the number of rows that a person must correct or resolve."""
        return sum(count for status, count in self.summary.by_status.items() if status.needs_attention)

    @property
    def counts(self) -> list[tuple[RowStatus, StatusInfo, int]]:
        """Return the statuses that occur, with their labels and counts."""
        counts = self.summary.by_status
        return [
            (each, status_info(each, is_moving=self.is_moving), counts[each])
            for each in RowStatus
            if counts.get(each, 0)
        ]

    @property
    def shares(self) -> list[Share]:
        """Return the parts of the progress bar."""
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
        """Return the number of calls that the job has made."""
        return sum(self.summary.calls.values())

    @property
    def announcement(self) -> str:
        """Return the progress in one sentence, for screen readers."""
        text = f"{self.info.label}: {self.processed:,} of {self.summary.total:,} rows processed"
        return f"{text}, {self.need_attention:,} need attention." if self.need_attention else f"{text}."


def view_of(services: Services, tx: Transaction, job: Job, *, brief: bool = False) -> JobView:
    """Return the current state of a job; without speed and rows in flight when `brief`, for a list."""
    summary = gather.summarise(tx, job)
    activity = _NO_ACTIVITY if brief else rows.activity_since(tx, job.id, now() - RATE_SECONDS)
    rate = _rows_per_minute(job, activity.finished)
    ahead = None if brief or job.has_ended else time_left(services, tx, job)
    return JobView(
        job=job,
        summary=summary,
        info=STATE_INFO[job.state],
        in_flight=activity.in_flight if job.state.may_have_calls else 0,
        rows_per_minute=rate,
        ahead=ahead,
        seconds_left=_seconds_left(job, summary, rate, ahead),
        actions=_actions(services, job, summary),
    )


def _rows_per_minute(job: Job, finished: int) -> float | None:
    if not job.state.is_sending or not job.started_at or not finished:
        return None
    seconds = min(RATE_SECONDS, max(1.0, now() - job.started_at))
    return finished * 60 / seconds


def _seconds_left(job: Job, summary: Summary, rate: float | None, left: TimeLeft | None) -> float | None:
    """Return the seconds left: by the remaining calls and their rate, or else by the rows of the last minute."""
    if not job.state.is_sending:
        return None
    if left is not None:
        return left.seconds
    return summary.by_status.get(RowStatus.NOT_ATTEMPTED, 0) * 60 / rate if rate else None


def _actions(services: Services, job: Job, summary: Summary) -> frozenset[JobAction]:
    """Return the actions that make sense now; whether one is possible is only known when it is tried."""
    if job.purged_at is not None:
        return frozenset()
    counts, actions = summary.by_status, set()
    if job.state.is_moving and job.state is not JobState.CANCELLING:
        actions |= {JobAction.PAUSE, JobAction.CANCEL}
    if job.state.is_idle:
        actions |= {JobAction.RESUME, JobAction.CANCEL}
    ended_by_itself = job.has_ended and job.state not in {JobState.INVALID, JobState.CANCELLED}
    if ended_by_itself and counts.get(RowStatus.NOT_ATTEMPTED, 0):
        actions.add(JobAction.RESUME)
    has_retriable = any(count for status, count in counts.items() if status.is_retriable)
    if job.has_ended and job.state is not JobState.INVALID and has_retriable:
        actions.add(JobAction.RETRY)
    if job.has_ended and counts.get(RowStatus.REGISTERED, 0) and can_withdraw(services, job):
        actions.add(JobAction.UNDO)
    return frozenset(actions)


def can_withdraw(services: Services, job: Job) -> bool:
    """Return whether the job's LMS can withdraw registrations."""
    try:
        return Action.WITHDRAW in lms.rules_of(services.connection(job.connection)).actions
    except RosterError:
        return False
