"""Update people who exist at the LMS already before they are registered (`--update-existing`)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from worker.errors import HeldElsewhere
from worker.lms.contract import bulk
from worker.model import Action
from worker.registration.action_rules import action_request_for
from worker.registration.actions import BUSY, ActionRunner
from worker.registration.blocked import MAX_WAIT_SECONDS, POLL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.intents import WorkItem
    from worker.registration.context import JobContext


async def update_existing_people(
    context: JobContext, claim: Claim, ready: Sequence[tuple[WorkItem, str]]
) -> tuple[list[tuple[WorkItem, str]], BaseException | None]:
    """Update people who existed before the job; return the rows to register, and the error that blocks others."""
    new = [
        pair
        for pair in ready
        if pair[0].candidate.id in context.created or pair[0].candidate.job_id == claim.job_id
    ]
    known = [pair for pair in ready if pair not in new]
    updated, error = await update_people(context, claim, known)
    return [pair for pair in ready if pair in new or pair in updated], error


async def update_people(
    context: JobContext, claim: Claim, people: Sequence[tuple[WorkItem, str]]
) -> tuple[list[tuple[WorkItem, str]], BaseException | None]:
    """Update people, once each; return those rows whose people are up to date, and the error that blocks others.

    A person who cannot be updated is not registered either: a row counts as done only as a whole.
    """
    if bulk(context.connector):
        return await _update_together(context, claim, people)
    left = []
    error: BaseException | None = None
    for work, candidate_id in people:
        if await _is_up_to_date(context, work):
            left.append((work, candidate_id))
        elif not work.candidate.is_claimed:
            error = HeldElsewhere(1.0, BUSY)
        else:
            runner = ActionRunner(context, claim, records_outcome=False)
            (ended,) = await runner.run([(work, action_request_for(context, work, candidate_id, Action.UPDATE))])
            error = error or ended
            if runner.is_updated(work):
                context.updated.add(work.candidate.id)
                left.append((work, candidate_id))
    return left, error


async def _update_together(
    context: JobContext, claim: Claim, people: Sequence[tuple[WorkItem, str]]
) -> tuple[list[tuple[WorkItem, str]], BaseException | None]:
    """Update people as `update_people` does, read together and sent many in a call."""
    todo: dict[int, tuple[WorkItem, str]] = {}
    error: BaseException | None = None
    for work, candidate_id in people:
        if await _is_up_to_date(context, work):
            continue
        if work.candidate.is_claimed:
            todo.setdefault(work.candidate.id, (work, candidate_id))
        else:
            error = HeldElsewhere(1.0, BUSY)
    runner = ActionRunner(context, claim, records_outcome=False)
    requests = [(work, action_request_for(context, work, who, Action.UPDATE)) for work, who in todo.values()]
    ended = await runner.run(requests) if requests else []
    context.updated |= {work.candidate.id for work, _ in todo.values() if runner.is_updated(work)}
    left = [pair for pair in people if pair[0].candidate.id in context.updated]
    return left, next((each for each in ended if each is not None), error)


async def _is_up_to_date(context: JobContext, work: WorkItem) -> bool:
    """Return whether this process has updated the person; wait a while for another batch that is doing it."""
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    is_held = not work.candidate.is_claimed
    while is_held and work.candidate.id not in context.updated and time.monotonic() < deadline:
        await context.sleep(POLL_SECONDS)
    return work.candidate.id in context.updated
