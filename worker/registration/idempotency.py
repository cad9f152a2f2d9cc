"""The idempotency key of a registration: our own id at an LMS that accepts one, the same on every run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.ledger.intents import WorkItem
    from worker.registration.context import JobContext


def idempotency_key(context: JobContext, work: WorkItem, candidate_id: str) -> str:
    """Return our id of a registration: derived from connection, course and candidate, the same on every run.

    A number of the series is added when a registration that we withdrew is made again.
    """
    own = work.row.registration_external_id
    course = work.row.course.key if work.row.course else ""
    made = hashlib.sha256(f"{context.connection}|{course}|{candidate_id}".encode()).hexdigest()[:24]
    key = own or f"roster-{made}"
    return f"{key}-{work.registration.number + 1}" if work.registration.number else key
