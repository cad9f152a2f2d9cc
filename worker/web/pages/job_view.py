"""A job as its page shows it: where it stands, how fast it goes, when it will be done, what can be done to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker import lms
from worker.errors import RosterError
from worker.ledger import rows
from worker.ledger.database import now
from worker.metrics import Ahead, ahead_of
from worker.model import AT_WORK, DONE, Action, JobState, RowStatus
from worker.reports import gather
from worker.web.job_actions import Act
from worker.web.pages.labels import STATES, Words, status_words

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.reports.lines import Summary

#: The rate is that of so long ago until now (seconds).
RATE_SECONDS = 60.0
#: States from which a job moves by itself.
MOVING = frozenset(
    {
        JobState.UPLOADED,
        JobState.VALIDATING,
        JobState.SCHEDULED,
        JobState.QUEUED,
        JobState.RUNNING,
        JobState.WAITING,
        JobState.CANCELLING,
    }
)
_STILL = rows.Movement(in_flight=0, settled=0)
_NOT_DONE = (RowStatus.INVALID, RowStatus.REJECTED, RowStatus.IN_DOUBT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A part of the bar: rows of one tone, from where to where in thousandths of all."""

    tone: str
    begins: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """Where a job stands."""

    job: Job
    summary: Summary
    words: Words
    in_flight: int
    #: Rows that got an outcome in a minute, just now; None when it is not at work.
    rows_a_minute: float | None
    ahead: Ahead | None
    #: Seconds until it is done, as far as anybody can tell.
    left: float | None
    acts: frozenset[Act]

    @property
    def moves(self) -> bool:
        """Tell whether the page should follow it."""
        return self.job.state in MOVING

    @property
    def done(self) -> int:
        """Return how many rows are done."""
        return sum(self.summary.by_status.get(status, 0) for status in DONE)

    @property
    def settled(self) -> int:
        """Return how many rows have an outcome of any kind."""
        return self.summary.total - self.unsent

    @property
    def unsent(self) -> int:
        """Return how many rows have none yet."""
        return self.summary.by_status.get(RowStatus.NOT_ATTEMPTED, 0)

    @property
    def left_over(self) -> int:
        """Return how many rows a person must look at."""
        return sum(self.summary.by_status.get(status, 0) for status in _NOT_DONE)

    @property
    def counts(self) -> list[tuple[RowStatus, Words, int]]:
        """Return the statuses that occur."""
        counts = self.summary.by_status
        return [
            (each, status_words(each, moves=self.moves), counts[each]) for each in RowStatus if counts.get(each, 0)
        ]

    @property
    def shares(self) -> list[Share]:
        """Return the parts of the bar."""
        total = self.summary.total or 1
        by_tone: dict[str, int] = {}
        for status, words, count in self.counts:
            if status is not RowStatus.NOT_ATTEMPTED:
                by_tone[words.tone] = by_tone.get(words.tone, 0) + count
        shares, begins = [], 0
        for tone in ("good", "bad", "warn", "quiet"):
            if count := by_tone.get(tone, 0):
                width = max(4, round(1000 * count / total))
                shares.append(Share(tone=tone, begins=begins, width=width))
                begins += width
        return shares

    @property
    def calls(self) -> int:
        """Return how many calls it has made."""
        return sum(self.summary.calls.values())

    @property
    def said(self) -> str:
        """Return where it stands in one sentence, for those who listen."""
        text = f"{self.words.label}: {self.settled:,} of {self.summary.total:,} rows have an outcome"
        return f"{text}, {self.left_over:,} need a look." if self.left_over else f"{text}."


def view_of(services: Services, tx: Transaction, job: Job, *, brief: bool = False) -> JobView:
    """Return where a job stands now; a `brief` view, for a list, knows no speed and nothing that is under way."""
    summary = gather.summarise(tx, job)
    moved = _STILL if brief else rows.movement(tx, job.id, now() - RATE_SECONDS)
    rate = _rows_a_minute(job, moved.settled)
    ahead = None if brief or job.has_ended else ahead_of(services, tx, job)
    return JobView(
        job=job,
        summary=summary,
        words=STATES[job.state],
        in_flight=moved.in_flight if job.state in {*AT_WORK, JobState.CANCELLING, JobState.PAUSED} else 0,
        rows_a_minute=rate,
        ahead=ahead,
        left=_left(job, summary, rate, ahead),
        acts=_acts(services, job, summary),
    )


def _rows_a_minute(job: Job, settled: int) -> float | None:
    if job.state not in AT_WORK or not job.started_at or not settled:
        return None
    seconds = min(RATE_SECONDS, max(1.0, now() - job.started_at))
    return settled * 60 / seconds


def _left(job: Job, summary: Summary, rate: float | None, ahead: Ahead | None) -> float | None:
    """Return the seconds left: by the calls ahead and the pace, or else as the rows of the last minute went."""
    if job.state not in AT_WORK:
        return None
    if ahead is not None:
        return ahead.seconds
    return summary.by_status.get(RowStatus.NOT_ATTEMPTED, 0) * 60 / rate if rate else None


def _acts(services: Services, job: Job, summary: Summary) -> frozenset[Act]:
    """Return what makes sense now; whether it can be done is found out when it is tried."""
    if job.purged_at is not None:
        return frozenset()
    counts, acts = summary.by_status, set()
    if job.state in MOVING - {JobState.CANCELLING}:
        acts |= {Act.PAUSE, Act.CANCEL}
    if job.state in {JobState.PAUSED, JobState.HELD, JobState.SCHEDULED}:
        acts |= {Act.RESUME, Act.CANCEL}
    ended_by_itself = job.has_ended and job.state not in {JobState.INVALID, JobState.CANCELLED}
    if ended_by_itself and counts.get(RowStatus.NOT_ATTEMPTED, 0):
        acts.add(Act.RESUME)
    again = counts.get(RowStatus.REJECTED, 0) + counts.get(RowStatus.NOT_ATTEMPTED, 0)
    if job.has_ended and job.state is not JobState.INVALID and again:
        acts.add(Act.RETRY)
    if job.has_ended and counts.get(RowStatus.REGISTERED, 0) and can_undo(services, job):
        acts.add(Act.UNDO)
    return frozenset(acts)


def can_undo(services: Services, job: Job) -> bool:
    """Tell whether the job's LMS can withdraw registrations."""
    try:
        return Action.WITHDRAW in lms.rules_of(services.connection(job.connection)).actions
    except RosterError:
        return False
