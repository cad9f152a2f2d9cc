"""The content of a message, read from the ledger when it is sent: counts and file names, no names of people."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from worker.ledger import jobs, outbox, rows
from worker.notifications import events, sources
from worker.notifications.reasons import problems_of, reason_of
from worker.reports import gather
from worker.reports.wording import for_page
from worker.settings import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.ledger.outbox import Message
    from worker.notifications.reasons import Problem
    from worker.notifications.sources import SourceContent
    from worker.reports.lines import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContent:
    """The content about a job."""

    summary: Summary
    #: The file name, fit for one line.
    roster: str
    reason_code: str | None
    #: Why it is in its state, as sentences; empty when the counts say it all.
    reason: str
    needs_person: bool
    not_done_percent: float
    #: Why rows were not accepted, the most frequent reason first.
    problems: Sequence[Problem] = ()
    #: How it was submitted: `page`, `command`, `folder:NAME`, `schedule:NAME`, …
    origin: str = ""
    #: The job's page; empty without a public address.
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """The content of one message."""

    event: Event
    #: The same when the message is sent again, so that a receiver can detect a duplicate.
    delivery: str
    at: datetime
    connection: str = ""
    job: JobContent | None = None
    source: SourceContent | None = None
    #: The jobs of the connection that wait for a person.
    held: Sequence[int] = ()


def read_notification(tx: Transaction, message: Message, public_url: str) -> Notification | None:
    """Return the content of a message now; None when it is outdated."""
    event = Event(message.event)
    base = Notification(
        event=event,
        delivery=hashlib.sha256(f"{message.receiver}/{message.dedup_key}".encode()).hexdigest()[:32],
        at=datetime.fromtimestamp(message.created_at, UTC),
        connection=message.connection,
    )
    if message.detail is not None:
        is_outdated = sources.is_outdated(tx, message, event)
        return None if is_outdated else replace(base, source=sources.read_content(message, public_url))
    job = None if message.job_id is None else jobs.find_job(tx, message.job_id)
    if job is None or _is_outdated(tx, message, event, job):
        return None
    return replace(base, job=_read_job(tx, job, public_url), held=outbox.held_jobs(tx, message.connection))


def one_line(name: str) -> str:
    """Return a file name without line ends and unprintable characters, cut to a maximum length."""
    shown = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
    return shown if len(shown) <= _MAX_NAME else f"{shown[:_MAX_NAME]}…"


_MAX_NAME = 120


def _is_outdated(tx: Transaction, message: Message, event: Event, job: Job) -> bool:
    incidents = [each for each in outbox.open_incidents(tx) if each.connection == message.connection]
    if event is Event.TROUBLE:
        return message.dedup_key not in {events.incident_key(incident) for incident in incidents}
    if event is Event.RECOVERED:
        return bool(incidents)
    return message.dedup_key != events.dedup_key_of(job)


def _read_job(tx: Transaction, job: Job, public_url: str) -> JobContent:
    counts = rows.count_rows(tx, job.id)
    reason = reason_of(job)
    return JobContent(
        summary=gather.summarise(tx, job),
        roster=one_line(job.roster),
        reason_code=job.reason_code,
        reason=for_page(reason) if public_url else reason,
        needs_person=events.needs_person(job, counts),
        not_done_percent=round(events.percent_not_done(counts), 2),
        problems=problems_of(tx, job),
        origin=job.origin,
        link=f"{public_url}/jobs/{job.id}" if public_url else "",
    )
