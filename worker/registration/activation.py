"""Activate the accounts of people whom Roster deactivated and whom a row registers, before they are registered.

Where a deactivated person is only suspended. Activating twice does no harm, so a call whose answer was lost is
settled by a later run of the batch: it reads the state first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from worker.errors import HeldElsewhere, LmsError, Refused, RetryLater
from worker.ledger import action_intents, intents
from worker.ledger.intents import RowOutcome
from worker.lms.contract import LookupMiss, RemoteState, bulk
from worker.model import Action, Candidate, CandidateState, RowStatus
from worker.registration.action_rules import action_request_for
from worker.registration.carried import Write, carried
from worker.registration.context import combined

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.database import Transaction
    from worker.ledger.intents import WorkItem
    from worker.lms.contract import BulkConnector
    from worker.registration.action_rules import Lookup
    from worker.registration.context import JobContext

Row = tuple["WorkItem", str]


async def activate_people(
    context: JobContext, claim: Claim, ready: Sequence[Row]
) -> tuple[list[Row], BaseException | None]:
    """Activate whom Roster deactivated; return the rows whose people are active, and what blocks the others."""
    connector = bulk(context.connector)
    suspects = {work.row_id for work, _ in ready if _may_be_deactivated(work)}
    if connector is None or not suspects:
        return list(ready), None
    works = await context.ledger.run(lambda tx: _load(tx, claim, suspects))
    ids = {work.row_id: lms_id for work, lms_id in ready}
    active = {work.row_id for work in works if not _may_be_deactivated(work)}
    mine = [(work, ids[work.row_id]) for work in works if _may_be_deactivated(work) and work.candidate.is_claimed]
    error: BaseException | None = None
    if len(active) + len(mine) < len(works):
        error = HeldElsewhere(1.0, "Another batch is processing the same candidate")
    try:
        active |= await _activate(context, claim, connector, mine) if mine else set()
    except LmsError as failed:
        error = failed
    return [pair for pair in ready if pair[0].row_id in active or pair[0].row_id not in suspects], error


def _may_be_deactivated(work: WorkItem) -> bool:
    """Return whether Roster deactivated a person, or an activation of theirs is in doubt."""
    candidate = work.candidate
    in_doubt = candidate.state is CandidateState.IN_DOUBT and candidate.pending_action is Action.REGISTER
    return candidate.state is CandidateState.DEACTIVATED or in_doubt


def _load(tx: Transaction, claim: Claim, row_ids: set[int]) -> list[WorkItem]:
    return [intents.load_item(tx, claim, row_id) for row_id in sorted(row_ids)]


async def _activate(context: JobContext, claim: Claim, connector: BulkConnector, people: Sequence[Row]) -> set[int]:
    """Return the rows whose people are active now. Raises an LmsError that blocks the others."""
    requests = []
    for work, lms_id in people:
        request = action_request_for(context, work, lms_id, Action.DEACTIVATE)
        # Only the account is read, and no value of the row compared with it.
        requests.append(replace(request, row=replace(request.row, candidate=Candidate(candidate_id=lms_id))))
    states = await connector.read_states(requests)
    active = await _record_active(context, claim, people, states)
    left = [pair for pair in people if pair[0].row_id not in active]
    await _raise_if_gone(context, claim, left, states)
    size = context.connector.rules.rows_per_action
    for start in range(0, len(left), size):
        active |= await _send(context, claim, connector, left[start : start + size])
    return active


async def _record_active(
    context: JobContext, claim: Claim, people: Sequence[Row], states: Mapping[int, Lookup]
) -> set[int]:
    active = [
        work
        for work, _ in people
        if isinstance(state := states.get(work.row_id), RemoteState) and not state.is_done
    ]
    await context.ledger.commit(*combined(action_intents.person_exists(claim, work) for work in active))
    return {work.row_id for work in active}


async def _raise_if_gone(
    context: JobContext, claim: Claim, left: Sequence[Row], states: Mapping[int, Lookup]
) -> None:
    """Let people whom somebody has deleted be created by the next run of the batch."""
    gone = [work for work, _ in left if states.get(work.row_id) is LookupMiss.ABSENT]
    if gone:
        await context.ledger.commit(*combined(action_intents.person_missing(claim, work) for work in gone))
        raise RetryLater(1.0, "People whom Roster had deactivated do not exist any more; they are created again")


async def _send(context: JobContext, claim: Claim, connector: BulkConnector, people: Sequence[Row]) -> set[int]:
    async with carried(context, claim, Write.ACCOUNT, {work.candidate.id: lms_id for work, lms_id in people}):
        return await _call(context, claim, connector, people)


async def _call(context: JobContext, claim: Claim, connector: BulkConnector, people: Sequence[Row]) -> set[int]:
    works = [work for work, _ in people]
    ids = [lms_id for _, lms_id in people]
    try:
        refused = await context.send(
            lambda intent: connector.activate(ids, intent),
            lambda: combined(action_intents.activation_intent(claim, work) for work in works),
            lambda: combined(action_intents.activation_not_done(claim, work, unsent=True) for work in works),
        )
    except Refused as whole:
        refused = dict.fromkeys(ids, whole)
    done = [work for work, lms_id in people if lms_id not in refused]
    await context.ledger.commit(
        *combined(action_intents.person_exists(claim, work) for work in done),
        *combined(
            (
                *action_intents.activation_not_done(claim, work),
                intents.row_outcome(claim, work, _outcome_of(refused[lms_id])),
            )
            for work, lms_id in people
            if lms_id in refused
        ),
    )
    return {work.row_id for work in done}


def _outcome_of(refused: Refused) -> RowOutcome:
    return RowOutcome(
        status=RowStatus.REJECTED,
        error=f"Roster deactivated this person, and the LMS refused to activate their account: {refused.message}",
        code="account_suspended",
        http_status=refused.status,
    )
