"""Resolve a row's candidate at the LMS: known, found, or created, once however many rows name them.

A candidate is created only to be registered; the other actions are about people who exist.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.errors import AnswerLost, HeldElsewhere, Refused, StopJob
from worker.ledger import action_intents, batches, intents
from worker.ledger.intents import RowOutcome
from worker.lms.contract import OTHER_PERSON, LookupMiss, bulk
from worker.model import Action, CandidateState, RowStatus
from worker.registration.anonymous import without_people
from worker.registration.blocked import (
    BLOCKED_BY_OTHER_ROW,
    MAX_WAIT_SECONDS,
    POLL_SECONDS,
    Blocked,
    blocked_in_doubt,
)
from worker.registration.creation import BREAKER_SUBJECT, Pending, PeopleCreator
from worker.registration.reconcile import (
    MAX_TRIES,
    gave_up_outcome,
    in_doubt_outcome,
    mark_candidate_in_doubt,
    reconcile_candidate,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.database import Transaction
    from worker.ledger.intents import WorkItem
    from worker.lms.contract import CandidateLookup
    from worker.registration.context import JobContext
    from worker.registration.creation import Created


@dataclass(slots=True)
class CandidateResolver:
    """Resolves the candidates of one claimed batch."""

    context: JobContext
    claim: Claim
    _tasks: dict[int, asyncio.Task[str | Blocked | Pending]] = field(default_factory=dict)
    #: Creates people together, at an LMS where a call takes many.
    creator: PeopleCreator | None = field(init=False)

    def __post_init__(self) -> None:
        connector = bulk(self.context.connector)
        self.creator = PeopleCreator(self.context, self.claim, connector) if connector else None

    async def resolve(self, work: WorkItem) -> str | Blocked | Pending:
        """Return the LMS's id of the row's candidate, creating them if needed; the first row that asks does it."""
        task = self._tasks.get(work.candidate.id)
        if task is None:
            task = asyncio.create_task(self._resolve(work))
            self._tasks[work.candidate.id] = task
            return await task
        answer = await asyncio.shield(task)
        in_doubt = isinstance(answer, Blocked) and answer.outcome and answer.outcome.status is RowStatus.IN_DOUBT
        return BLOCKED_BY_OTHER_ROW if in_doubt else answer

    async def _resolve(self, work: WorkItem) -> str | Blocked | Pending:
        work = await self._wait_for_others(work)
        if not work.candidate.is_claimed and work.candidate.state is not CandidateState.KNOWN:
            return Blocked(None)
        if work.candidate.is_being_created and self.creator:
            return Pending(work)
        if work.candidate.is_being_created:
            found = await reconcile_candidate(self.context, self.claim, work)
            if found is not None:
                return found
            work = await self._reload(work)
        if work.candidate.is_being_created:
            return blocked_in_doubt(self.claim, work)
        if work.candidate.pending_action is Action.DEACTIVATE:
            work = await self._after_deactivation(work)
        if work.candidate.lms_id is not None:
            return _lms_id_unless_deactivating(work)
        return await self._find_or_create(work)

    async def _after_deactivation(self, work: WorkItem) -> WorkItem:
        """Mark a person who was deactivated, and is not on the LMS's list again, as to be created again."""
        comes_back = work.row.action is Action.REGISTER and work.row.candidate.candidate_id is None
        # Where people are looked up many at a time, they are activated (`activation`).
        comes_back &= self.creator is None
        if work.candidate.state is not CandidateState.DEACTIVATED or not comes_back:
            return work
        await self.context.ledger.commit(*action_intents.person_missing(self.claim, work))
        return await self._reload(work)

    async def _find_or_create(self, work: WorkItem) -> str | Blocked | Pending:
        registers = work.row.action is Action.REGISTER
        if self.creator:
            # Everybody was looked up before the batches were planned.
            return Pending(work) if registers else Blocked(UNKNOWN_CANDIDATE)
        if (self.context.check_candidates_first or not registers) and work.row.candidate.external_id:
            found = await self.context.connector.find_candidate(work.row.candidate, None)
            if isinstance(found, str):
                await self.context.ledger.commit(*intents.candidate_found(self.claim, work, found))
                return found
            if found in _MISSES:
                return Blocked(_MISSES[found])
        return await self._create(work) if registers else Blocked(UNKNOWN_CANDIDATE)

    async def _create(self, work: WorkItem, tries: int = 1) -> str | Blocked:
        context, claim = self.context, self.claim
        try:
            created = await context.send(
                lambda intent: context.connector.create_candidate(work.row.candidate, intent),
                lambda: intents.intent_to_create(claim, work, work.candidate),
                lambda: intents.state_changed(claim, work, work.candidate, CandidateState.NEW, unsent=True),
            )
        except Refused as refused:
            return await self._handle_refusal(work, refused)
        except AnswerLost as lost:
            return await self._handle_lost_answer(work, lost, tries)
        context.created.add(work.candidate.id)
        await context.ledger.commit(*intents.candidate_created(claim, work, created))
        context.breaker.record_success(BREAKER_SUBJECT)
        return created

    async def _handle_refusal(self, work: WorkItem, refused: Refused) -> str | Blocked:
        context, claim = self.context, self.claim
        if refused.status is not None:
            await context.ledger.commit(*intents.state_changed(claim, work, work.candidate, CandidateState.NEW))
        if refused.code == "candidate_exists":
            found = await self._look_up(work)
            if isinstance(found, str):
                await context.ledger.commit(*intents.candidate_found(claim, work, found))
                return found
            if found is LookupMiss.OTHER_PERSON:
                return Blocked(_MISSES[found])
        outcome = RowOutcome(
            status=RowStatus.REJECTED,
            error=_refusal_message(refused),
            code=refused.code,
            http_status=refused.status,
        )
        # What was never sent cost no call, and says nothing of the LMS.
        if refused.status is not None and context.is_refused_too_often(BREAKER_SUBJECT, refused):
            await context.ledger.commit(intents.row_outcome(claim, work, outcome))
            raise context.halt(
                "breaker_open",
                f"The LMS refused {context.breaker.limit} candidates in a row in the same way "
                f"({without_people(refused.message, [work.row.candidate])}); fix the cause, then resume the job",
                refused.status,
            )
        return Blocked(outcome)

    async def _look_up(self, work: WorkItem) -> CandidateLookup:
        """Look up a person who exists according to the LMS; a look-up that fails leaves the refusal as it is."""
        try:
            return await self.context.connector.find_candidate(work.row.candidate, 0.0)
        except (Refused, AnswerLost):
            return LookupMiss.NO_LOOKUP

    async def _handle_lost_answer(self, work: WorkItem, lost: AnswerLost, tries: int) -> str | Blocked:
        await mark_candidate_in_doubt(self.context, self.claim, work, lost)
        work = await self._reload(work)
        found = await reconcile_candidate(self.context, self.claim, work)
        if found is not None:
            return found
        work = await self._reload(work)
        if work.candidate.state is not CandidateState.NEW:
            return Blocked(in_doubt_outcome(lost))
        return await self._create(work, tries + 1) if tries < MAX_TRIES else Blocked(gave_up_outcome(lost, tries))

    async def _wait_for_others(self, work: WorkItem) -> WorkItem:
        """Wait while another batch is processing the same candidate."""
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        while not work.candidate.is_claimed and work.candidate.state is not CandidateState.KNOWN:
            if time.monotonic() > deadline:
                break
            await self.context.sleep(POLL_SECONDS)
            work = await self._reload(work)
        return work

    async def _reload(self, work: WorkItem) -> WorkItem:
        def hold_and_load(tx: Transaction) -> WorkItem:
            batches.claim_records(tx, self.claim)
            return intents.load_item(tx, self.claim, work.row_id)

        return await self.context.ledger.run(hold_and_load)


async def resolve_candidates(
    context: JobContext, claim: Claim, resolver: CandidateResolver, works: Sequence[WorkItem]
) -> tuple[list[tuple[WorkItem, str]], BaseException | None]:
    """Resolve the candidates of rows; return the rows with their LMS ids, and the error that blocks the others."""
    resolved_rows: Sequence[Created | Pending] = await asyncio.gather(
        *(resolver.resolve(work) for work in works), return_exceptions=True
    )
    found = await resolver.creator.finish(works, resolved_rows) if resolver.creator else resolved_rows
    error: BaseException | None = None
    ready = []
    for work, resolved in zip(works, found, strict=True):
        if isinstance(resolved, str):
            ready.append((work, resolved))
        elif isinstance(resolved, Pending):
            raise TypeError("a pending candidate was not created")
        elif isinstance(resolved, BaseException):
            error = resolved if error is None or isinstance(resolved, StopJob) else error
        elif resolved.outcome is not None:
            await context.ledger.commit(intents.row_outcome(claim, work, resolved.outcome))
            context.rows_left -= resolved.outcome.status is not RowStatus.NOT_ATTEMPTED
        else:
            error = error or HeldElsewhere(1.0, "Another batch is processing the same candidate")
    return ready, error


def _lms_id_unless_deactivating(work: WorkItem) -> str | Blocked:
    """Return the LMS's id unless a deactivation of this person is in doubt."""
    candidate = work.candidate
    deactivating = candidate.state is CandidateState.IN_DOUBT and candidate.pending_action is Action.DEACTIVATE
    if deactivating and work.row.action is not Action.DEACTIVATE:
        return BLOCKED_BY_OTHER_ROW
    return candidate.lms_id or Blocked(UNKNOWN_CANDIDATE)


UNKNOWN_CANDIDATE = RowOutcome(
    status=RowStatus.REJECTED,
    error="The LMS does not know this person, and people are created only to be registered; "
    "correct how the row names them",
    code="unknown_candidate",
)
AMBIGUOUS_CANDIDATE = RowOutcome(
    status=RowStatus.INVALID,
    error="The LMS has several people with this external id; give the candidate_id of the right one",
    code="ambiguous_candidate",
)


_MISSES = {
    LookupMiss.AMBIGUOUS: AMBIGUOUS_CANDIDATE,
    LookupMiss.OTHER_PERSON: RowOutcome(status=RowStatus.INVALID, error=OTHER_PERSON, code="other_person"),
}


def _refusal_message(refused: Refused) -> str:
    if refused.code == "candidate_exists" and "candidate_id" not in refused.message:
        return f"{refused.message.rstrip('.')}. If this is the same person, give their candidate_id"
    return refused.message
