"""The texts of a message: a subject, and the body of the e-mail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.model import RowStatus
from worker.notifications import source_texts
from worker.notifications.content import one_line
from worker.reports.kinds import ReportKind, file_name
from worker.reports.labels import STATE_INFO, next_steps, shown_counts
from worker.reports.lines import utc_text
from worker.settings import Event

if TYPE_CHECKING:
    from worker.notifications.content import JobContent, Notification
    from worker.reports.lines import Summary

_TEST = "This is a test message. Messages from Roster arrive here."


def subject(notification: Notification) -> str:
    """Return the subject line."""
    job, connection = notification.job, notification.connection
    if notification.source is not None:
        return f"Roster: {one_line(source_texts.subject(notification.event, notification.source))}"
    if job is None:
        return "Roster: a test message"
    outcome = counts(job.summary)
    return {
        Event.ENDED: f"Roster: {job.roster}: {outcome}",
        Event.NEEDS_PERSON: f"Roster: {job.roster} needs attention: {outcome}",
        Event.TROUBLE: f"Roster: {connection} is not working: {job.reason.partition('. ')[0].rstrip('.')}",
        Event.RECOVERED: f"Roster: {connection} works again: {job.roster}: {outcome}",
    }[notification.event]


def counts(summary: Summary) -> str:
    """Return how many rows are done and how many are not: `412 of 430 registered, 18 need attention`."""
    if not summary.total:
        return f"{STATE_INFO[summary.state].label}, no rows were read"
    by_status = summary.by_status
    registered = by_status.get(RowStatus.REGISTERED, 0) + by_status.get(RowStatus.ALREADY_REGISTERED, 0)
    text = f"{summary.done:,} of {summary.total:,} {'registered' if registered == summary.done else 'done'}"
    left = summary.not_done
    if not left:
        return text
    return f"{text}, {left:,} {'needs' if left == 1 else 'need'} attention"


def text(notification: Notification) -> str:
    """Return the body of the e-mail."""
    if notification.source is not None:
        source = notification.source
        told = source_texts.paragraphs(notification.event, source, notification.connection)
        return "\n\n".join(block for block in (*told, source.link) if block) + "\n"
    if notification.job is None:
        return f"{_TEST}\n"
    blocks = [
        _opening(notification, notification.job),
        _table(notification.job.summary),
        *_what_to_do(notification, notification.job),
        notification.job.link,
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _opening(notification: Notification, job: JobContent) -> str:
    summary = job.summary
    lines = [f"{job.roster} for {summary.connection}, job {summary.job}: {STATE_INFO[summary.state].label}."]
    if notification.event is Event.TROUBLE:
        lines = [f"Jobs of {notification.connection} cannot continue: {job.reason}", *lines]
    elif notification.event is Event.RECOVERED:
        lines = [f"{notification.connection} works again: a job has completed.", *lines]
    else:
        lines.append(job.reason or STATE_INFO[summary.state].meaning)
    if summary.not_before is not None:
        lines.append(f"The job resumes at {utc_text(summary.not_before)}.")
    return "\n".join(lines)


def _table(summary: Summary) -> str:
    lines = [f"{count:>9,}  {info.label}" for _, info, count in shown_counts(summary)]
    return "\n".join([*lines, f"{summary.total:>9,}  {'row' if summary.total == 1 else 'rows'} in total"])


def _what_to_do(notification: Notification, job: JobContent) -> list[str]:
    if notification.event is Event.RECOVERED:
        waiting = "\n".join(
            f"* job {number} is still held; resume it with `roster resume {number}`" for number in notification.held
        )
        return [waiting]
    steps = next_steps(job.summary, file_name(job.roster, ReportKind.FAILED))
    return ["\n".join(f"* {step}" for step in steps)]
