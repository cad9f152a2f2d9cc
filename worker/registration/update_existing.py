"""Bring people who are on the LMS already up to date before they are registered (`--update-existing`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.errors import RetryLater
from worker.model import Action
from worker.registration.action_rules import a_deed
from worker.registration.actions import BUSY, Doing
from worker.registration.candidates import PATIENCE_SECONDS, POLL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.intents import Work
    from worker.registration.context import Desk


async def refresh(
    desk: Desk, claim: Claim, ready: Sequence[tuple[Work, str]]
) -> tuple[list[tuple[Work, str]], BaseException | None]:
    """Bring people who were there before up to date, once each; return who may go on, and what stood in the way.

    Who cannot be brought up to date is not registered either: a row that reads done is done as a whole.
    """
    left = []
    trouble: BaseException | None = None
    for work, who in ready:
        ours = work.candidate.id in desk.created or work.candidate.job_id == claim.job_id
        if ours or await _is_up_to_date(desk, work):
            left.append((work, who))
        elif not work.candidate.mine:
            trouble = RetryLater(1.0, BUSY)
        else:
            refreshing = Doing(desk, claim, settles=False)
            (ended,) = await refreshing.all_of([(work, a_deed(desk, work, who, Action.UPDATE))])
            trouble = trouble or ended
            if refreshing.is_updated(work):
                desk.refreshed.add(work.candidate.id)
                left.append((work, who))
    return left, trouble


async def _is_up_to_date(desk: Desk, work: Work) -> bool:
    """Tell whether they were brought up to date by this process; wait a while for another batch that is at it."""
    waited = 0.0
    while not work.candidate.mine and work.candidate.id not in desk.refreshed and waited < PATIENCE_SECONDS:
        await desk.sleep(POLL_SECONDS)
        waited += POLL_SECONDS
    return work.candidate.id in desk.refreshed
