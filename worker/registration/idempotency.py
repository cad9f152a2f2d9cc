"""Our own id for a registration at an LMS that takes one: the same on every run, for every action."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.ledger.intents import Work
    from worker.registration.context import Desk


def key_of(desk: Desk, work: Work, candidate_id: str) -> str:
    """Return our id for a registration: from connection, course and candidate, the same on every run.

    The next of the series is used when a registration that we withdrew is made again.
    """
    own = work.row.registration_external_id
    course = work.row.course.key if work.row.course else ""
    made = hashlib.sha256(f"{desk.connection}|{course}|{candidate_id}".encode()).hexdigest()[:24]
    key = own or f"roster-{made}"
    return f"{key}-{work.registration.series + 1}" if work.registration.series else key
