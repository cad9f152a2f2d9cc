"""Apply webhook events of an LMS: they resolve registrations in doubt and confirm others. Sends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from worker.jobs import completion
from worker.ledger import webhooks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.database import Transaction
    from worker.ledger.transactions import Ledger
    from worker.lms.contract import WebhookEvent

log = structlog.get_logger("roster")


def store(ledger: Ledger, connection: str, mark: str, events: Sequence[WebhookEvent]) -> bool:
    """Store the events of one webhook, to be applied later; False when the same one came before."""
    lines = [
        webhooks.RegistrationEvent(
            candidate_id=each.candidate_id,
            course_id=each.course_id,
            legal_entity_id=each.legal_entity_id,
            registration_id=each.registration_id,
        )
        for each in events
    ]
    with ledger.write() as tx:
        return webhooks.save_events(tx, connection, mark, lines)


def apply_all(ledger: Ledger) -> int:
    """Apply all events that wait; return how many registrations in doubt that resolved."""
    with ledger.write() as tx:
        return sum(_apply(tx, kept) for kept in webhooks.pending_events(tx))


def _apply(tx: Transaction, kept: webhooks.PendingEvent) -> int:
    changed = webhooks.apply_event(tx, kept)
    for job_id in changed:
        # The row in doubt may have been the last one that was not done.
        if webhooks.ended_with_errors(tx, job_id):
            completion.mark_succeeded_if_done(tx, job_id)
        log.info("webhook resolved a row in doubt", job=job_id, connection=kept.connection)
    return len(changed)
