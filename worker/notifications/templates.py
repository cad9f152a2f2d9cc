"""The texts of a message: a subject, the body of the e-mail, and a short text for a chat."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from worker.model import JobState, RowStatus
from worker.notifications import source_texts
from worker.notifications.content import one_line
from worker.quantities import counted
from worker.reports.kinds import ReportKind, file_name
from worker.reports.labels import STATE_INFO, next_steps, shown_counts, state_meaning
from worker.reports.lines import utc_text
from worker.reports.wording import for_page
from worker.settings import Event

if TYPE_CHECKING:
    from worker.notifications.content import JobContent, Notification
    from worker.notifications.reasons import Problem
    from worker.reports.lines import Summary

_TEST = "This is a test message. Messages from Roster arrive here."
#: Reasons why rows were not accepted that are listed, the most frequent ones.
MAX_PROBLEMS = 5
_UPLOAD_AGAIN = re.compile(r"\b(?:run|upload) (?:it again|that file)\b")


def subject(notification: Notification) -> str:
    """Return the subject line."""
    job, connection = notification.job, notification.connection
    if notification.source is not None:
        return f"Roster: {one_line(source_texts.subject(notification.event, notification.source))}"
    if job is None:
        return "Roster: a test message"
    outcome = counts(job.summary)
    if _was_stopped(job.summary.state):
        outcome = f"{STATE_INFO[job.summary.state].label.lower()}, {outcome}"
    if job.summary.state is JobState.INVALID:
        return f"Roster: {job.roster} was rejected: nothing was sent"
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
    if not summary.state.has_ended or _was_stopped(summary.state):
        return f"{text}, {left:,} not done{'' if summary.state.has_ended else ' yet'}"
    return f"{text}, {left:,} {'needs' if left == 1 else 'need'} attention"


def _was_stopped(state: JobState) -> bool:
    """Return whether a subject names the state, since the counts alone do not say it: cancelled, failed, undone."""
    return state.has_ended and not state.went_through


def text(notification: Notification) -> str:
    """Return the body of the e-mail."""
    return "\n\n".join(_blocks(notification)) + "\n"


def chat_text(notification: Notification) -> str:
    """Return a short text for a chat such as Slack or Teams: what happened, why, and the link.

    Nothing in it is a command to Slack, where `<!channel>` calls everybody.
    """
    job, source = notification.job, notification.source
    lines = [subject(notification)]
    if source is not None:
        lines += source_texts.paragraphs(notification.event, source, notification.connection)[1:-1]
        lines.append(source.link)
    elif job is not None:
        is_said = notification.event is Event.TROUBLE and not job.reason.partition(". ")[2]
        lines += ["" if is_said else job.reason, *_problem_lines(job), job.link]
    else:
        lines.append(_TEST)
    shown = "\n".join(line.strip() for line in lines if line)
    return shown.replace("<", "\u2039").replace(">", "\u203a")


def _blocks(notification: Notification) -> list[str]:
    job, source = notification.job, notification.source
    if source is not None:
        blocks = [*source_texts.paragraphs(notification.event, source, notification.connection), source.link]
    elif job is None:
        blocks = [_TEST]
    else:
        problems = "\n".join(_problem_lines(job))
        listed = f"The errors:\n{problems}" if problems else ""
        steps = "\n".join(f"* {step}" for step in _steps(notification, job))
        blocks = [_opening(notification, job), _table(job.summary), listed, steps, job.link]
    return [block for block in blocks if block]


def _opening(notification: Notification, job: JobContent) -> str:
    summary = job.summary
    lines = [f"{job.roster} for {summary.connection}, job {summary.job}: {STATE_INFO[summary.state].label}."]
    if notification.event is Event.TROUBLE:
        lines = [f"Jobs of {notification.connection} cannot continue: {job.reason}", *lines]
    elif notification.event is Event.RECOVERED:
        lines = [f"{notification.connection} works again: a job has completed.", *lines]
    else:
        lines.append(job.reason or state_meaning(summary))
    if summary.not_before is not None and summary.state is JobState.WAITING:
        lines.append(f"The job resumes at {utc_text(summary.not_before)}.")
    return "\n".join(lines)


def _table(summary: Summary) -> str:
    if not summary.total:
        return ""
    lines = [f"{count:>9,}  {info.label}" for _, info, count in shown_counts(summary)]
    return "\n".join([*lines, f"{summary.total:>9,}  {'row' if summary.total == 1 else 'rows'} in total"])


def _problem_lines(job: JobContent) -> list[str]:
    lines = [_problem_line(problem) for problem in job.problems[:MAX_PROBLEMS]]
    more = sum(problem.rows for problem in job.problems[MAX_PROBLEMS:])
    return [*lines, f"{more:>9,}  {'row' if more == 1 else 'rows'} with other errors"] if more else lines


def _problem_line(problem: Problem) -> str:
    columns = ", ".join(f"“{one_line(column)}”" for column in problem.columns)
    where = f"row {problem.first_row}" if problem.rows == 1 else f"first in row {problem.first_row}"
    about = f"{columns}: " if columns else ""
    return f"{counted(problem.rows, 'row'):>9}  {about}{problem.meaning} ({', '.join(problem.codes)}; {where})"


def _steps(notification: Notification, job: JobContent) -> list[str]:
    """Return what to do: in the words of the page for who has its address, else in those of the command line."""
    if notification.event is Event.RECOVERED:
        return [_held_step(job, number) for number in notification.held]
    steps = next_steps(job.summary, file_name(job.roster, ReportKind.FAILED))
    return [_for_origin(for_page(step) if job.link else step, job.origin) for step in steps]


def _for_origin(step: str, origin: str) -> str:
    """Return a step that says to submit the file again as it was submitted before."""
    kind, _, name = origin.partition(":")
    if kind == "folder":
        return _UPLOAD_AGAIN.sub(f"put the file into the drop folder {name}", step)
    if kind == "schedule" and step.startswith("Nothing was sent. Fix the file"):
        return f"Nothing was sent. Fix the file at its source; the next run of the schedule {name} imports it."
    return step


def _held_step(job: JobContent, number: int) -> str:
    if job.link:
        return f"Job {number} is still held: select “Resume” at {job.link.rpartition('/')[0]}/{number}"
    return f"Job {number} is still held: resume it with `roster resume {number}`"
