"""What people may ask for: submit, pause, resume, cancel, retry, undo, verify and resolve. The one place for each.

The command line, the page and the API call these functions. Each changes the ledger in one transaction, which also
records who asked when `actor` is given, and then publishes the task messages that are due. A sweep works for drop
folders and schedules, and publishes by itself: there jobs are opened by `worker.jobs.submission`, as in `submit`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from worker import lms
from worker.errors import UsageError
from worker.intake.row_rules import read_course
from worker.jobs import completion, lifecycle, submission
from worker.jobs import resolve as resolving
from worker.jobs.answer_checks import check_answers, unchecked_note
from worker.jobs.undo import open_undo
from worker.ledger import accounts, jobs, queue, rows
from worker.ledger.database import now
from worker.model import Actor, Driver, RowStatus
from worker.quantities import counted
from worker.reports.labels import STATE_INFO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from worker.bootstrap import Services
    from worker.errors import LmsError
    from worker.intake.accept import Origin
    from worker.intake.answer_file import AnswerRow
    from worker.intake.options import Options
    from worker.jobs.resolve import Resolution
    from worker.jobs.submission import Submission
    from worker.jobs.time_limits import TimeLimits
    from worker.ledger.database import Transaction
    from worker.settings import Connection

#: A background process that sweeps every few seconds and did not for this long is not running (seconds).
SWEPT_WITHIN_SECONDS = 60.0


class JobAction(StrEnum):
    """What can be done to a job as a whole."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"
    UNDO = "undo"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobActionResult:
    """What an action did: a sentence for the person, and the job to show now (after `undo` it is another one)."""

    message: str
    job_id: int
    #: Whether the job goes on; False when nothing was left to do, and nothing was changed.
    is_changed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What came of a submission; without `is_published` the job starts with a later sweep."""

    submission: Submission
    is_published: bool

    @property
    def job_id(self) -> int:
        """Return the job's id."""
        return self.submission.job_id


def submit(
    services: Services,
    file: Path,
    *,
    name: str,
    connection: Connection,
    options: Options,
    report_dir: Path | None,
    origin: Origin,
    actor: Actor | None = None,
) -> Submitted:
    """Store a roster, open its job and hand it to the workers; an open job with the same roster is taken over.

    Without `report_dir` the reports go to the job's own folder below `files`.
    Raises UsageError when there is no such file.
    """

    def record(tx: Transaction, opened: Submission) -> None:
        detail = "the same roster was at work already" if opened.duplicate else ""
        _record(tx, actor, "drop", opened.job_id, detail)

    opened = submission.submit(
        services,
        file,
        name=name,
        connection=connection,
        options=options,
        report_dir=report_dir,
        origin=replace(origin, driver=Driver.QUEUE),
        record=record,
    )
    is_due = opened.duplicate or origin.start_at is None
    return Submitted(submission=opened, is_published=_publish(services, opened.job_id) if is_due else True)


def perform(
    services: Services,
    action: JobAction,
    job_id: int,
    *,
    actor: Actor | None = None,
    rejected: bool = False,
    course: str | None = None,
) -> JobActionResult:
    """Do something to a job in the background.

    `rejected`: a retry sends rejected rows too; `course`: a resume gives the rows that are not done another course.

    Raises UnknownJob, or UsageError that says why it cannot be done.
    """
    if action is JobAction.RETRY:
        return retry(services, job_id, actor=actor, rejected=rejected)
    if action is JobAction.RESUME:
        return resume(services, job_id, actor=actor, course=course)
    return _ACTIONS[action](services, job_id, actor=actor)


def pause(services: Services, job_id: int, *, actor: Actor | None = None) -> JobActionResult:
    """Pause a job: calls in progress finish, nothing more is sent. Raises UsageError."""
    with services.ledger.write() as tx:
        message = lifecycle.pause(tx, job_id)
        _record(tx, actor, JobAction.PAUSE, job_id)
    return JobActionResult(message=message, job_id=job_id)


def cancel(services: Services, job_id: int, *, actor: Actor | None = None) -> JobActionResult:
    """Cancel a job: calls in progress finish, the rest is never sent. Raises UsageError."""
    with services.ledger.write() as tx:
        message = lifecycle.cancel(tx, job_id)
        _record(tx, actor, JobAction.CANCEL, job_id)
    return JobActionResult(message=message, job_id=job_id)


def resume(
    services: Services,
    job_id: int,
    *,
    actor: Actor | None = None,
    driver: Driver = Driver.QUEUE,
    report_dir: Path | None = None,
    course: str | None = None,
) -> JobActionResult:
    """Let a job that stopped continue: with the workers, or in the calling process, which then runs it.

    `report_dir` is where the reports go from now on; `course` is another course for the rows that are not done, as
    `--course` takes it. A job that has ended with nothing left to do is not changed by the calling process. Raises
    UsageError when the job cannot continue.
    """
    with services.ledger.write() as tx:
        moved = _change_course(services, tx, job_id, course) if course is not None else ""
        if driver is Driver.PROCESS and lifecycle.has_nothing_to_resume(tx, job_id):
            _set_report_dir(tx, job_id, report_dir)
            state = STATE_INFO[lifecycle.get_job(tx, job_id).state].label
            message = f"Job {job_id} has ended ({state}); nothing is left to do"
            return JobActionResult(message=message, job_id=job_id, is_changed=False)
        message = _continue(tx, job_id, driver, report_dir)
        _record(tx, actor, JobAction.RESUME, job_id, f"course {course}" if course is not None else "")
    return _published(services, moved or message, job_id, driver)


def _change_course(services: Services, tx: Transaction, job_id: int, typed: str) -> str:
    """Give the rows of a job that are not done another course; return a sentence for the person."""
    connection = services.connection(lifecycle.get_job(tx, job_id).connection)
    course = read_course(typed, lms.rules_of(connection))
    count = lifecycle.change_course(tx, job_id, course)
    return f"Job {job_id} continues: {counted(count, 'row')} on course {course.label}"


def retry(
    services: Services,
    job_id: int,
    *,
    actor: Actor | None = None,
    driver: Driver = Driver.QUEUE,
    report_dir: Path | None = None,
    rejected: bool = False,
) -> JobActionResult:
    """Send the rows of a job that were never sent, and with `rejected` those that the LMS rejected.

    An ended job without such rows is not changed. Raises UsageError when it cannot be retried.
    """
    with services.ledger.write() as tx:
        _record(tx, actor, JobAction.RETRY, job_id, "rejected rows too" if rejected else "")
        if lifecycle.has_nothing_to_retry(tx, job_id, rejected=rejected):
            _set_report_dir(tx, job_id, report_dir)
            return JobActionResult(message=_nothing_to_retry(tx, job_id), job_id=job_id, is_changed=False)
        count = lifecycle.reopen(tx, job_id, rejected=rejected)
        _continue(tx, job_id, driver, report_dir)
    ahead = f"{counted(count, 'row')} will be sent" if count else "no rows left to send"
    message = f"Job {job_id}: {ahead}"
    return _published(services, message, job_id, driver)


def undo(
    services: Services,
    job_id: int,
    *,
    actor: Actor | None = None,
    driver: Driver = Driver.QUEUE,
    report_dir: Path | None = None,
) -> JobActionResult:
    """Open the job that withdraws what `job_id` registered. Raises UsageError when nothing can be withdrawn."""
    with services.ledger.write() as tx:
        rules = lms.rules_of(services.connection(lifecycle.get_job(tx, job_id).connection))
        undoing = open_undo(tx, job_id, rules)
        count = rows.count_rows(tx, undoing).total
        _continue(tx, undoing, driver, report_dir)
        _record(tx, actor, JobAction.UNDO, job_id, f"job {undoing}")
    message = f"Job {undoing} withdraws {counted(count, 'registration')} that job {job_id} made"
    return _published(services, message, undoing, driver)


def resolve(
    services: Services, job_id: int, row: int, resolution: Resolution, *, actor: Actor | None = None
) -> str:
    """Resolve a row in doubt by what a person found at the LMS, and return what that means for the row.

    Raises UnknownJob or UsageError.
    """
    found = (
        "absent" if resolution.absent else "candidate" if resolution.candidate_id is not None else "registration"
    )
    with services.ledger.read() as tx:
        connection = lifecycle.get_unpurged_job(tx, job_id).connection
    checked = check_answers(services, job_id, connection, {row: resolution})
    if isinstance(objection := checked.get(row), str):
        raise UsageError(objection)
    with services.ledger.write() as tx:
        message = resolving.resolve_row(tx, job_id, row, resolution)
        completion.mark_succeeded_if_done(tx, job_id)
        _record(tx, actor, "resolve", job_id, f"row {row}: {found}")
    return f"{message}.{unchecked_note(checked)}" if checked else message


def resolve_from_file(
    services: Services, job_id: int, file: str, lines: Iterable[AnswerRow], *, actor: Actor | None = None
) -> str:
    """Resolve the rows in doubt that a file answers, all or none, and return a summary. Raises UsageError."""
    with services.ledger.read() as tx:
        connection = lifecycle.get_unpurged_job(tx, job_id).connection
        given = resolving.answers_in(tx, job_id, file, lines)
    checked = check_answers(services, job_id, connection, given)
    objections = {number: each for number, each in checked.items() if isinstance(each, str)}
    with services.ledger.write() as tx:
        message = resolving.apply_answers(tx, job_id, file, given, objections)
        completion.mark_succeeded_if_done(tx, job_id)
        _record(tx, actor, "resolve", job_id, "from a file")
    return f"{message}.{unchecked_note(checked)}" if checked else message


def run_schedule(services: Services, name: str, *, actor: Actor, driver: Driver = Driver.QUEUE) -> Submitted:
    """Run a schedule now: with the workers, or in the calling process, which then runs the job.

    Raises UnknownSchedule, or UsageError when its roster is not there or cannot be read.
    """
    from worker.schedules.extra_run import run_now  # noqa: PLC0415 - what fetches rosters is loaded when one is

    opened = run_now(services, name, actor, driver)
    is_published = driver is not Driver.QUEUE or _publish(services, opened.job_id)
    return Submitted(submission=opened, is_published=is_published)


def verify(
    services: Services,
    job_id: int,
    *,
    actor: Actor | None = None,
    report_dir: Path | None = None,
    show: Callable[[str], None] = lambda _: None,
    limits: TimeLimits | None = None,
) -> LmsError | None:
    """Compare the rows of a job that are done with the LMS, and record what differs; return what stopped it, if so.

    `report_dir` is where the reports go from now on; `show` is called with a sentence about the progress. Without
    `limits` it takes as long as it takes.

    Raises UnknownJob, UsageError when there is nothing to verify, SettingsError.
    """
    from worker.jobs.verify import rows_to_verify, verify_job  # noqa: PLC0415 - 250 ms that only this costs

    with services.ledger.write() as tx:
        done = rows_to_verify(tx, job_id)
        connection = services.connection(lifecycle.get_job(tx, job_id).connection)
        _set_report_dir(tx, job_id, report_dir)
        _record(tx, actor, "verify", job_id)
    return asyncio.run(verify_job(services, job_id, connection, done, show, limits=limits))


def has_background_process(services: Services) -> bool:
    """Return whether a worker or `roster serve` has swept the ledger lately."""
    with services.ledger.read() as tx:
        return now() - queue.last_swept(tx) < SWEPT_WITHIN_SECONDS


def _nothing_to_retry(tx: Transaction, job_id: int) -> str:
    """Return that no row is left to send, and how to send those that the LMS rejected."""
    rejected = rows.count_rows(tx, job_id).by_status[RowStatus.REJECTED]
    how = (
        f"; `roster retry {job_id} --rejected` sends {counted(rejected, 'rejected row')} again" if rejected else ""
    )
    return f"Job {job_id}: no rows left to send{how}"


def _set_report_dir(tx: Transaction, job_id: int, report_dir: Path | None) -> None:
    if report_dir is not None:
        jobs.change_job(tx, job_id, report_dir=str(report_dir.absolute()))


def _continue(tx: Transaction, job_id: int, driver: Driver, report_dir: Path | None) -> str:
    """Let a job go to the workers, or make it ready for the calling process."""
    _set_report_dir(tx, job_id, report_dir)
    if driver is Driver.QUEUE:
        return lifecycle.hand_to_queue(tx, job_id)
    lifecycle.resume(tx, job_id)
    return f"Job {job_id} continues"


def _record(tx: Transaction, actor: Actor | None, action: str, job_id: int, detail: str = "") -> None:
    if actor is not None:
        accounts.add_audit_entry(tx, actor=actor, action=action, job_id=job_id, detail=detail)


def _published(services: Services, message: str, job_id: int, driver: Driver) -> JobActionResult:
    if driver is Driver.QUEUE:
        _publish(services, job_id)
    return JobActionResult(message=message, job_id=job_id)


def _publish(services: Services, job_id: int) -> bool:
    """Publish a job's task messages; False when the broker is away: the job then starts with a later sweep."""
    if not services.settings.broker:
        return True
    from worker import dispatch, logs  # noqa: PLC0415 - 300 ms that only a queue costs

    # A command has no log yet; unconfigured, its lines would be on standard output.
    logs.configure_once(services.settings.log, services.settings.log_level or "error")
    return dispatch.start(services, job_id)


_ACTIONS: dict[JobAction, Callable[..., JobActionResult]] = {
    JobAction.PAUSE: pause,
    JobAction.RESUME: resume,
    JobAction.CANCEL: cancel,
    JobAction.RETRY: retry,
    JobAction.UNDO: undo,
}
