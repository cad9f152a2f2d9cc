"""What an LMS told by webhooks settles doubt and confirms. It never sends, and never un-registers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from worker.jobs import completion
from worker.ledger import webhooks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.database import Transaction
    from worker.ledger.transactions import Ledger
    from worker.lms.contract import Notice

log = structlog.get_logger("roster")


def keep(ledger: Ledger, connection: str, mark: str, told: Sequence[Notice]) -> bool:
    """Keep what one webhook says, to be held against the ledger later; False when the same one came before."""
    lines = [
        webhooks.Told(
            candidate_id=each.candidate_id,
            course_id=each.course_id,
            legal_entity_id=each.legal_entity_id,
            registration_id=each.registration_id,
        )
        for each in told
    ]
    with ledger.write() as tx:
        return webhooks.keep(tx, connection, mark, lines)


def settle_all(ledger: Ledger) -> int:
    """Hold everything that waits against the ledger; return how many doubts that settled."""
    with ledger.write() as tx:
        return sum(_settle(tx, kept) for kept in webhooks.waiting(tx))


def _settle(tx: Transaction, kept: webhooks.Kept) -> int:
    changed = webhooks.settle(tx, kept)
    for job_id in changed:
        # Its doubt may have been the last thing that was not done.
        if webhooks.ended_with_errors(tx, job_id):
            completion.end_anew(tx, job_id)
        log.info("a webhook settled a doubt", job=job_id, connection=kept.connection)
    return len(changed)
