"""A message in plain words: a line for the subject, and a text for the mail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.model import RowStatus
from worker.reports.kinds import ReportKind, file_name
from worker.reports.labels import STATE_INFO, next_steps
from worker.reports.lines import stamp
from worker.settings import Event

if TYPE_CHECKING:
    from worker.notifications.content import JobNews, News
    from worker.reports.lines import Summary

_TEST = "This is a test. Messages of Roster arrive here."


def subject(news: News) -> str:
    """Return what the message says, in a line."""
    if news.job is None:
        return "Roster: a test message"
    told = f"{news.job.roster}: {counts(news.job.summary)}"
    return {
        Event.ENDED: f"Roster: {told}",
        Event.NEEDS_PERSON: f"Roster: {news.job.roster} waits for you: {counts(news.job.summary)}",
        Event.TROUBLE: f"Roster: {news.connection} is in trouble: {news.job.reason.partition('. ')[0].rstrip('.')}",
        Event.RECOVERED: f"Roster: {news.connection} is well again: {told}",
    }[news.event]


def counts(summary: Summary) -> str:
    """Return how many rows are done and how many need a person: `412 of 430 registered, 18 need you`."""
    if not summary.total:
        return f"{summary.state}, no row was read"
    by_status = summary.by_status
    registered = by_status.get(RowStatus.REGISTERED, 0) + by_status.get(RowStatus.ALREADY_REGISTERED, 0)
    text = f"{summary.done:,} of {summary.total:,} {'registered' if registered == summary.done else 'done'}"
    left = summary.not_done
    if not left:
        return text
    return f"{text}, {left:,} {'needs' if left == 1 else 'need'} you"


def text(news: News) -> str:
    """Return the message as the text of a mail."""
    if news.job is None:
        return f"{_TEST}\n"
    blocks = [_opening(news, news.job), _table(news.job.summary), *_what_to_do(news, news.job), news.job.link]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _opening(news: News, job: JobNews) -> str:
    summary = job.summary
    lines = [f"{job.roster} for {summary.connection}, job {summary.job}: {summary.state}."]
    if news.event is Event.TROUBLE:
        lines = [f"Jobs of {news.connection} cannot go on: {job.reason}", *lines]
    elif news.event is Event.RECOVERED:
        lines = [f"{news.connection} is well again: a job has gone through.", *lines]
    else:
        lines.append(job.reason or STATE_INFO[summary.state].meaning)
    if summary.not_before is not None:
        lines.append(f"It goes on at {stamp(summary.not_before)}.")
    return "\n".join(lines)


def _table(summary: Summary) -> str:
    lines = [f"{count:>9,}  {status}" for status, count in summary.by_status.items() if count]
    return "\n".join([*lines, f"{summary.total:>9,}  rows in all"])


def _what_to_do(news: News, job: JobNews) -> list[str]:
    if news.event is Event.RECOVERED:
        waiting = "\n".join(
            f"* job {number} is still held: `roster resume {number}` lets it go on" for number in news.held
        )
        return [waiting]
    steps = next_steps(job.summary, file_name(job.roster, ReportKind.FAILED))
    return ["\n".join(f"* {step}" for step in steps)]
