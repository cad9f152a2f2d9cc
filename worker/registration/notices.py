"""What an LMS told by webhooks settles doubt and confirms. It never sends, and never un-registers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from worker.ledger import notices
from worker.registration import settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from worker.ledger.access import Ledger
    from worker.lms.contract import Notice

log = structlog.get_logger("roster")


def keep(ledger: Ledger, connection: str, mark: str, told: Sequence[Notice]) -> bool:
    """Keep what one webhook says, to be held against the ledger later; False when the same one came before."""
    lines = [
        notices.Told(
            candidate_id=each.candidate_id,
            course_id=each.course_id,
            legal_entity_id=each.legal_entity_id,
            registration_id=each.registration_id,
        )
        for each in told
    ]
    with ledger.write() as tx:
        return notices.keep(tx, connection, mark, lines)


def settle_all(ledger: Ledger) -> int:
    """Hold everything that waits against the ledger; return how many doubts that settled."""
    with ledger.write() as tx:
        return sum(_settle(tx, kept) for kept in notices.waiting(tx))


def _settle(tx: Connection, kept: notices.Kept) -> int:
    changed = notices.settle(tx, kept)
    for job_id in changed:
        # Its doubt may have been the last thing that was not done.
        if notices.ended_with_errors(tx, job_id):
            settle.end_anew(tx, job_id)
        log.info("a webhook settled a doubt", job=job_id, connection=kept.connection)
    return len(changed)
