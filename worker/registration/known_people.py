"""Compare rows with what is known of their people: bring some up to date, and say what was left as it is.

Without `--update-existing` nobody's data changes, save that of a person whom an earlier job of this ledger created
and nobody has registered yet: a correction of their row must arrive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.ledger import known_data
from worker.ledger.known_data import difference_note
from worker.model import Action
from worker.registration.update_existing import update_people

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.intents import WorkItem
    from worker.ledger.known_data import KnownData
    from worker.registration.context import JobContext


async def compare_known_people(
    context: JobContext, claim: Claim, ready: Sequence[tuple[WorkItem, str]]
) -> tuple[list[tuple[WorkItem, str]], BaseException | None]:
    """Update or note what differs; return the rows to register, and the error that blocks others."""
    before = [pair for pair in ready if pair[0].candidate.id not in context.created]
    if not before:
        return list(ready), None
    ids = [work.candidate.id for work, _ in before]
    known = await context.ledger.query(lambda tx: known_data.known_data(tx, ids))
    stale, notes = [], {}
    for pair in before:
        work, data = pair[0], known.get(pair[0].candidate.id)
        if data is None:
            continue
        if _is_to_be_updated(context, claim, data):
            stale.append(pair)
        elif note := difference_note(work.row.candidate, data):
            notes[work.row_id] = note
    if notes:
        await context.ledger.run(lambda tx: known_data.add_notes(tx, notes))
    if not stale:
        return list(ready), None
    updated, error = await update_people(context, claim, stale)
    done = {work.row_id for work, _ in updated}
    waiting = {work.row_id for work, _ in stale} - done
    return [pair for pair in ready if pair[0].row_id not in waiting], error


def _is_to_be_updated(context: JobContext, claim: Claim, data: KnownData) -> bool:
    """Return whether an earlier job created the person, nobody registered them, and the LMS can be corrected."""
    ours = data.created_by is not None and data.created_by != claim.job_id
    return ours and not data.is_registered and Action.UPDATE in context.connector.rules.actions
