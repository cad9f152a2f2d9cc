"""A job as its page shows it: its progress, speed, time left, and the possible actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker import lms
from worker.control import JobAction
from worker.errors import RosterError
from worker.jobs.estimate import AT_THE_SPEED_SO_FAR, NOT_KNOWN_YET, TimeLeft, calls_left, time_left
from worker.ledger import course_change, rows
from worker.ledger.database import now
from worker.model import Action, JobState, RowStage, RowStatus
from worker.quantities import counted
from worker.reports import gather
from worker.reports.labels import STATE_INFO, relations_of, state_meaning
from worker.web.labels import status_info
from worker.web.pages import reviewed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.bootstrap import Services
    from worker.jobs.estimate import Estimate
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.reports.labels import StateInfo, StatusInfo
    from worker.reports.lines import Summary
    from worker.web.pages.reviewed import Reviewed


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
    #: Calls that this run has made (since the job was last started or resumed), and those left at most.
    calls_made: int
    calls_left: int | None
    #: The calls of this run per minute; None when the job is not sending.
    calls_per_minute: float | None
    ahead: TimeLeft | None
    #: Estimated seconds until the job has ended.
    seconds_left: float | None
    actions: frozenset[JobAction]
    #: What the review of its draft showed, while the job is scheduled.
    reviewed: Reviewed | None = None
    #: The course that the LMS refused, as it is typed, while the job is stopped; another one can be chosen.
    refused_course: str | None = None
    #: Whether the rows that the LMS rejected can be sent again.
    can_retry_rejected: bool = False

    @property
    def is_moving(self) -> bool:
        """Return whether the page should poll it."""
        return self.job.state.is_moving

    @property
    def meaning(self) -> str:
        """Return what the state of the job means for its rows."""
        return state_meaning(self.summary)

    @property
    def done(self) -> int:
        """Return the number of rows that are done."""
        return self.summary.done

    @property
    def processed(self) -> int:
        """Return the number of rows with any outcome."""
        return self.summary.total - self.pending

    @property
    def pending(self) -> int:
        """Return the number of rows without an outcome."""
        return self.summary.by_status.get(RowStatus.NOT_ATTEMPTED, 0)

    @property
    def unregistered(self) -> int:
        """Return the number of rows without an outcome whose person is in the LMS."""
        return self.summary.unsent_created + self.summary.unsent_found

    @property
    def progress(self) -> tuple[int, int]:
        """Return the calls that are made and all calls of this run; the rows, where the calls are not known."""
        if self.calls_left is None or not self.job.state.is_sending:
            return self.processed, self.summary.total
        return self.calls_made, self.calls_made + self.calls_left

    @property
    def time_left_basis(self) -> str:
        """Return what the time left rests on, or why it is not known; empty where a known pace says it."""
        if self.ahead is None:
            return AT_THE_SPEED_SO_FAR if self.seconds_left is not None else ""
        return NOT_KNOWN_YET if self.ahead.seconds is None and self.job.state is JobState.RUNNING else ""

    @property
    def retry_label(self) -> str:
        """Return what a retry sends: `12 unsent rows`, or `12 rows` when some of them were rejected."""
        retriable = sum(count for status, count in self.summary.by_status.items() if status.is_retriable)
        kind = "unsent " if retriable == self.summary.unsent else ""
        return f"{retriable:,} {kind}{'row' if retriable == 1 else 'rows'}"

    @property
    def need_attention(self) -> int:
        """Return the number of rows that a person must correct or resolve."""
        return self.summary.needs_attention

    @property
    def counts(self) -> list[tuple[str, StatusInfo, int]]:
        """Return the filters of the statuses that occur, with their labels and counts."""
        counts: list[tuple[str, StatusInfo, int]] = []
        for status in RowStatus:
            count = self.summary.by_status.get(status, 0)
            if status is RowStatus.NOT_ATTEMPTED:
                stage = RowStage.CANDIDATE_CREATED
                counts.append((stage, status_info(status, stage, is_moving=self.is_moving), self.unregistered))
                count = self.summary.unsent
            counts.append((status, status_info(status, is_moving=self.is_moving), count))
        return [each for each in counts if each[2]]

    @property
    def shares(self) -> list[Share]:
        """Return the parts of the progress bar."""
        total = self.summary.total or 1
        by_tone: dict[str, int] = {}
        for status, info, count in self.counts:
            if status != RowStatus.NOT_ATTEMPTED:
                tone = "created" if status == RowStage.CANDIDATE_CREATED else info.tone
                by_tone[tone] = by_tone.get(tone, 0) + count
        shares, begins = [], 0
        for tone in ("good", "bad", "warn", "quiet", "created"):
            if count := by_tone.get(tone, 0):
                width = max(4, round(1000 * count / total))
                shares.append(Share(tone=tone, start=begins, width=width))
                begins += width
        return shares

    @property
    def related(self) -> list[tuple[str, int]]:
        """Return the other jobs with how this one relates to them."""
        return relations_of(self.summary)

    @property
    def calls(self) -> int:
        """Return the number of calls that the job has made."""
        return sum(self.summary.calls.values())

    @property
    def announcement(self) -> str:
        """Return the progress in one sentence, for screen readers."""
        if not self.summary.total:
            return f"{self.info.label}."
        text = f"{self.info.label}: {self.processed:,} of {counted(self.summary.total, 'row')} processed"
        return f"{text}, {self.need_attention:,} need attention." if self.need_attention else f"{text}."


def view_of(services: Services, tx: Transaction, job: Job) -> JobView:
    """Return the current state of a job."""
    return _view(services, tx, job, gather.summarise(tx, job))


def views_of(services: Services, tx: Transaction, listed: Sequence[Job]) -> list[JobView]:
    """Return the current state of jobs for a list: without speed and rows in flight."""
    found = gather.summarise_all(tx, listed)
    return [_view(services, tx, job, summary, brief=True) for job, summary in zip(listed, found, strict=True)]


def _view(services: Services, tx: Transaction, job: Job, summary: Summary, *, brief: bool = False) -> JobView:
    in_flight = rows.count_in_flight(tx, job.id) if not brief and job.state.may_have_calls else 0
    left = None if brief or job.has_ended else calls_left(services, tx, job)
    made = max(0, sum(summary.calls.values()) - job.calls_before_run)
    speed = _calls_per_minute(job, made)
    ahead = time_left(services, tx, job, left) if left is not None else None
    return JobView(
        job=job,
        summary=summary,
        info=STATE_INFO[job.state],
        in_flight=in_flight,
        calls_made=made,
        calls_left=left.most if left else None,
        calls_per_minute=speed,
        ahead=ahead,
        seconds_left=_seconds_left(job, left, speed, ahead),
        actions=_actions(services, job, summary),
        reviewed=reviewed.find(tx, job.id) if job.state is JobState.SCHEDULED and not brief else None,
        refused_course=_refused_course(tx, job) if job.state.is_idle and not brief else None,
        can_retry_rejected=job.has_ended
        and job.state is not JobState.UNDONE
        and job.purged_at is None
        and bool(summary.by_status.get(RowStatus.REJECTED, 0)),
    )


def _refused_course(tx: Transaction, job: Job) -> str | None:
    course = course_change.refused_course(tx, job)
    return course.label if course else None


def _calls_per_minute(job: Job, made: int) -> float | None:
    if not job.state.is_sending or not job.run_started_at or not made:
        return None
    return made * 60 / max(1.0, now() - job.run_started_at)


def _seconds_left(
    job: Job, left: Estimate | None, calls_per_minute: float | None, ahead: TimeLeft | None
) -> float | None:
    """Return the seconds left: of the remaining calls, at the known pace or else at the speed of this run."""
    if not job.state.is_sending:
        return None
    if ahead is not None:
        return ahead.seconds
    return left.most * 60 / calls_per_minute if left and calls_per_minute else None


def _actions(services: Services, job: Job, summary: Summary) -> frozenset[JobAction]:
    """Return the actions that make sense now; whether one is possible is only known when it is tried."""
    if job.purged_at is not None:
        return frozenset()
    counts, actions = summary.by_status, set()
    if job.state is JobState.UNDONE:
        return frozenset()
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
    if (
        job.has_ended
        and counts.get(RowStatus.REGISTERED, 0) > summary.withdrawn_later
        and can_withdraw(services, job)
    ):
        actions.add(JobAction.UNDO)
    return frozenset(actions)


def can_withdraw(services: Services, job: Job) -> bool:
    """Return whether the job's LMS can withdraw registrations."""
    try:
        return Action.WITHDRAW in lms.rules_of(services.connection(job.connection)).actions
    except RosterError:
        return False
