"""What a message says, read from the ledger at the moment it is sent: counts and names of files, nobody's name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from worker.ledger import jobs, outbox, rows
from worker.notifications import events
from worker.notifications.reasons import why
from worker.reports import gather
from worker.settings import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.ledger.outbox import Message
    from worker.reports.lines import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class JobNews:
    """What is told of a job."""

    summary: Summary
    #: The file's name as it can be shown on one line.
    roster: str
    reason_code: str | None
    reason: str
    needs_person: bool
    not_done_percent: float
    #: The job's page; empty when the page has no address that others reach.
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What one message says."""

    event: Event
    #: The same when the message is sent again, so that a receiver can tell a repeat.
    delivery: str
    at: datetime
    connection: str = ""
    job: JobNews | None = None
    #: The jobs of the connection that wait for a person.
    held: Sequence[int] = ()


def read_news(tx: Transaction, message: Message, public_url: str) -> News | None:
    """Return what a message has to say now; None when it is true no more, since things have moved on."""
    job = None if message.job_id is None else jobs.find_job(tx, message.job_id)
    event = Event(message.event)
    if job is None or _is_overtaken(tx, message, event, job):
        return None
    return News(
        event=event,
        delivery=hashlib.sha256(f"{message.receiver}/{message.dedup_key}".encode()).hexdigest()[:32],
        at=datetime.fromtimestamp(message.created_at, UTC),
        connection=message.connection,
        job=_read_job(tx, job, public_url),
        held=outbox.held_jobs(tx, message.connection),
    )


def one_line(name: str) -> str:
    """Return a file's name without line ends and characters that hide, and not too long."""
    shown = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
    return shown if len(shown) <= _LONGEST_NAME else f"{shown[:_LONGEST_NAME]}…"


_LONGEST_NAME = 120


def _is_overtaken(tx: Transaction, message: Message, event: Event, job: Job) -> bool:
    troubles = [each for each in outbox.open_incidents(tx) if each.connection == message.connection]
    if event is Event.TROUBLE:
        return message.dedup_key not in {events.mark_of_trouble(trouble) for trouble in troubles}
    if event is Event.RECOVERED:
        return bool(troubles)
    return message.dedup_key != events.mark_of(job)


def _read_job(tx: Transaction, job: Job, public_url: str) -> JobNews:
    tally = rows.count_rows(tx, job.id)
    return JobNews(
        summary=gather.summarise(tx, job),
        roster=one_line(job.roster),
        reason_code=job.reason_code,
        reason=why(job),
        needs_person=events.needs_person(job, tally),
        not_done_percent=round(events.percent_not_done(tally), 2),
        link=f"{public_url}/jobs/{job.id}" if public_url else "",
    )
