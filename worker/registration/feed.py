"""Which batches of a job may start now. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.batches import OpenBatch


def ready(
    open_batches: Sequence[OpenBatch], running: Sequence[OpenBatch], *, at_once: int, at: float
) -> list[OpenBatch]:
    """Return the batches to start at the time `at`: a course's canary before the rest of it, so many at once."""
    busy = {batch.course_key for batch in running if batch.canary}
    canaries = {batch.course_key: batch.id for batch in reversed(open_batches) if batch.canary}
    at_work = {batch.id for batch in running}
    may_start = [
        batch
        for batch in open_batches
        if batch.id not in at_work
        and not batch.running
        and batch.course_key not in busy
        and canaries.get(batch.course_key, batch.id) == batch.id
        and (batch.not_before or 0) <= at
    ]
    return may_start[: max(0, at_once - len(running))]
