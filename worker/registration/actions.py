"""Approve, complete, withdraw, update, deactivate: read the state, send what is needed, read again when in doubt.

The effect of these actions is visible at the LMS. So a lost answer is reconciled by reading the state, several
times and with pauses, and what was certainly not done is sent again. Never blindly: between any two calls for a row
the state is read.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.errors import AnswerLost, HeldElsewhere, LmsError, Refused, RetryLater, StopJob
from worker.ledger import action_intents, intents
from worker.ledger.database import now
from worker.ledger.intents import RowOutcome
from worker.lms.contract import CALL_TOO_LARGE, ActionRequest, ActionResult, LookupMiss, RemoteState
from worker.model import STATUS_WHEN_DONE, Action, RegistrationState, RowStatus
from worker.quantities import counted
from worker.registration.action_rules import (
    INTERRUPTED,
    action_request_for,
    existed_before,
    is_claimed,
    is_in_doubt,
    is_removal,
    last_sent_action,
    lms_id_of,
    not_found_outcome,
    rejected_outcome,
    sent_time_of,
    was_removed_by_us,
    with_observed_id,
)
from worker.registration.anonymous import without_people
from worker.registration.candidates import resolve_candidates
from worker.registration.carried import Write, carried
from worker.registration.context import combined
from worker.registration.reconcile import MAX_TRIES, gave_up_outcome, in_doubt_outcome, raise_lookup_failed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.intents import WorkItem
    from worker.ledger.transactions import Write as LedgerWrite
    from worker.registration.action_rules import Lookup, ObservedAction, RequestedAction
    from worker.registration.candidates import CandidateResolver
    from worker.registration.context import JobContext

BUSY = "Another job is processing the same person or registration"


async def run_actions(
    context: JobContext, claim: Claim, resolver: CandidateResolver, works: Sequence[WorkItem]
) -> list[BaseException | None]:
    """Run the actions of a claimed batch's rows, all the same action; return the errors that interrupted it."""
    ready, error = await resolve_candidates(context, claim, resolver, works)
    claimed = [
        (work, action_request_for(context, work, candidate_id, claim.action))
        for work, candidate_id in ready
        if is_claimed(work, claim.action)
    ]
    if len(claimed) < len(ready):
        error = error or HeldElsewhere(1.0, BUSY)
    results = await ActionRunner(context, claim).run(claimed) if claimed else []
    return [*results, error]


@dataclass(slots=True)
class ActionRunner:
    """Runs the actions of one claimed batch, all of one action."""

    context: JobContext
    claim: Claim
    #: Whether the outcome is the row's; not when a person is updated before they are registered.
    records_outcome: bool = True
    #: The outcome of each row, by row id.
    outcomes: dict[int, RowOutcome] = field(default_factory=dict)

    async def run(self, requested: Sequence[RequestedAction]) -> list[BaseException | None]:
        """Read the state of all of them together, then run each group; return the errors that interrupted it."""
        in_doubt = [pair for pair in requested if is_in_doubt(*pair)]
        fresh = [pair for pair in requested if not is_in_doubt(*pair)]
        try:
            lookups = await self._read_states(fresh)
        except LmsError as error:
            return [error]
        resent = [pair for pair in in_doubt if last_sent_action(*pair) is pair[1].action]
        others = [pair for pair in in_doubt if pair not in resent]
        return await asyncio.gather(
            *(self._run_group(group, lookups) for group in self._groups_of(fresh)),
            *(self._resume_in_doubt(group, same_action=True) for group in self._groups_of(resent)),
            *(self._resume_in_doubt(group, same_action=False) for group in self._groups_of(others)),
            return_exceptions=True,
        )

    def _groups_of(self, requested: Sequence[RequestedAction]) -> list[Sequence[RequestedAction]]:
        """Return the rows of each call."""
        size = self.context.connector.rules.rows_per_action
        return [requested[start : start + size] for start in range(0, len(requested), size)]

    async def _run_group(self, requested: Sequence[RequestedAction], lookups: Mapping[int, Lookup]) -> None:
        to_send = []
        for work, request in requested:
            lookup = lookups.get(work.row_id, LookupMiss.NO_LOOKUP)
            if isinstance(lookup, RemoteState) and lookup.course_id is not None:
                self.context.course_ids.setdefault(self.claim.course_key, lookup.course_id)
            may_lag = self.context.connector.rules.lags
            if may_lag and lookup is LookupMiss.ABSENT and existed_before(work, request):
                lookup = await self._read_until_present((work, request))
            if await self._needs_call(work, request, lookup) and isinstance(lookup, RemoteState):
                to_send.append((work, request, lookup))
        await self._send(to_send)

    async def _resume_in_doubt(self, requested: Sequence[RequestedAction], *, same_action: bool) -> None:
        """Continue actions that were in doubt before this batch began; `same_action`: this action was sent last."""
        await self._send(await self._reconcile(requested, INTERRUPTED, same_action=same_action))

    async def _needs_call(self, work: WorkItem, request: ActionRequest, lookup: Lookup) -> bool:
        """Record the outcome of a row that needs no call; return True when a call is needed."""
        if isinstance(lookup, RemoteState) and lookup.is_done:
            await self._record_done(work, request, lookup.lms_id, None)
        elif isinstance(lookup, RemoteState) and lookup.refusal:
            known = self._state_writes(work, request, lookup.lms_id, removed=lookup.withdrawn)
            await self._record(work, rejected_outcome(lookup.refusal), *known)
        elif isinstance(lookup, RemoteState):
            return True
        elif lookup is LookupMiss.ABSENT and was_removed_by_us(work, request):
            await self._record_done(work, request, lms_id_of(request), None)
        else:
            await self._record(work, not_found_outcome(request, lookup))
        return False

    async def _send(self, observed: Sequence[ObservedAction], tries: int = 1) -> None:
        if not observed:
            return
        people = {work.candidate.id: request.candidate_id for work, request, _ in observed}
        write = Write.ACCOUNT if observed[0][1].action.is_about_person else Write.REGISTRATION
        async with carried(self.context, self.claim, write, people) as was_carried:
            left = await self._still_needed(observed) if was_carried else observed
            if left:
                await self._call(left, tries)

    async def _still_needed(self, observed: Sequence[ObservedAction]) -> list[ObservedAction]:
        """Read the state again after another call has changed one of these; record who needs no call any more."""
        lookups = await self._read_states([(work, request) for work, request, _ in observed])
        left = []
        for work, request, _ in observed:
            lookup = lookups.get(work.row_id, LookupMiss.NO_LOOKUP)
            if await self._needs_call(work, request, lookup) and isinstance(lookup, RemoteState):
                left.append((work, request, lookup))
        return left

    async def _call(self, observed: Sequence[ObservedAction], tries: int) -> None:
        context, claim = self.context, self.claim
        requests = [request for _, request, _ in observed]
        states = {work.row_id: state for work, _, state in observed}
        try:
            results = await context.send(
                lambda intent: context.connector.apply(requests, states, intent),
                lambda: combined(
                    action_intents.action_intent(claim, work, request.action, state.lms_id)
                    for work, request, state in observed
                ),
                lambda: combined(
                    action_intents.action_not_done(claim, work, request.action, unsent=True)
                    for work, request, _ in observed
                ),
            )
        except Refused as refused:
            await self._handle_refusal(observed, refused)
        except AnswerLost as lost:
            await self._handle_lost_answer(observed, lost, tries)
        else:
            await self._record_results(observed, results, tries)

    async def _record_results(
        self, observed: Sequence[ObservedAction], results: Mapping[int, ActionResult | Refused], tries: int
    ) -> None:
        missing = []
        for each in observed:
            work, request, state = each
            result = results.get(work.row_id)
            if isinstance(result, ActionResult):
                self.context.breaker.record_success(self._breaker_subject)
                await self._record_done(work, request, state.lms_id, result.http_status)
            elif result is not None:
                await self._handle_refusal([each], result)
            else:
                missing.append(each)
        if missing:
            message = "The LMS accepted the call, but its answer does not confirm the action"
            await self._handle_lost_answer(missing, AnswerLost(message, code="no_answer_for_row"), tries)

    async def _handle_refusal(self, observed: Sequence[ObservedAction], refused: Refused) -> None:
        """Record a refusal; several rows are then sent one by one, since it does not say which one it means.

        Where it means the size of the call, they are sent in two halves.
        """
        writes = (action_intents.action_not_done(self.claim, work, request.action) for work, request, _ in observed)
        await self.context.ledger.commit(*combined(writes))
        if len(observed) > 1 and refused.code == CALL_TOO_LARGE:
            middle = len(observed) // 2
            for part in (observed[:middle], observed[middle:]):
                await self._send(part)
            return
        if len(observed) > 1:
            for each in observed:
                await self._send([each])
            return
        work, request = with_observed_id(observed[0])
        if await self._is_done_after_all(work, request, refused):
            return
        await self._record(work, rejected_outcome(refused))
        self._count_refusal(work, refused)

    async def _is_done_after_all(self, work: WorkItem, request: ActionRequest, refused: Refused) -> bool:
        """Read the state again when a refusal may mean that it is done: "already", or a removal that is done."""
        may_be_done = refused.code == "already_so" or (is_removal(request.action) and refused.code != "not_allowed")
        lookup = (await self.context.connector.read_states([request]))[work.row_id] if may_be_done else None
        is_removed = lookup is LookupMiss.ABSENT and is_removal(request.action)
        if is_removed or (isinstance(lookup, RemoteState) and lookup.is_done):
            await self._record_done(work, request, lms_id_of(request), refused.status)
            return True
        return False

    async def _handle_lost_answer(self, observed: Sequence[ObservedAction], lost: AnswerLost, tries: int) -> None:
        writes = (
            action_intents.action_in_doubt(self.claim, work, request.action, in_doubt_outcome(lost))
            for work, request, _ in observed
        )
        await self.context.ledger.commit(*combined(writes))
        requested = [with_observed_id(each) for each in observed]
        left = await self._reconcile(requested, lost, same_action=True, sent_at=now())
        if left and tries < MAX_TRIES:
            await self._send(left, tries + 1)
            return
        for work, request, _ in left:
            await self._record(
                work,
                gave_up_outcome(lost, tries),
                *action_intents.action_not_done(self.claim, work, request.action),
            )

    async def _reconcile(
        self,
        requested: Sequence[RequestedAction],
        lost: AnswerLost,
        *,
        same_action: bool,
        sent_at: float | None = None,
    ) -> list[ObservedAction]:
        """Read the state, delayed and repeated; return the rows for which certainly nothing was done.

        `same_action`: this same action is in doubt, so that absent means done for a removal. `sent_at`: when it was
        sent (seconds since 1970), if the ledger was read before that. A failed read decides nothing: it raises
        LookupFailed, and after `doubt_minutes` the row waits for a person.
        """
        waiting = list(requested)
        lookups: dict[int, Lookup] = {}
        for pause in self.context.lookup_pauses:
            await self.context.sleep(pause)
            try:
                lookups = dict(await self.context.connector.read_states([request for _, request in waiting]))
            except (RetryLater, StopJob):
                raise
            except AnswerLost:
                lookups = {}
                continue
            except LmsError:
                lookups = dict.fromkeys((work.row_id for work, _ in waiting), LookupMiss.NO_LOOKUP)
                break
            waiting = [
                pair for pair in waiting if not await self._record_if_done(*pair, lookups, same_action=same_action)
            ]
            if not waiting:
                break
        if waiting and not lookups:
            raise_lookup_failed(self.context, sent_at, *(sent_time_of(*pair) for pair in waiting))
        return [each for pair in waiting if (each := await self._record_or_resend(*pair, lookups, lost))]

    async def _record_if_done(
        self, work: WorkItem, request: ActionRequest, lookups: Mapping[int, Lookup], *, same_action: bool
    ) -> bool:
        lookup = lookups.get(work.row_id)
        if isinstance(lookup, RemoteState) and lookup.is_done:
            await self._record_done(work, request, lookup.lms_id, None)
            return True
        if lookup is LookupMiss.ABSENT and same_action and is_removal(request.action):
            await self._record_done(work, request, lms_id_of(request), None)
            return True
        return False

    async def _record_or_resend(
        self, work: WorkItem, request: ActionRequest, lookups: Mapping[int, Lookup], lost: AnswerLost
    ) -> ObservedAction | None:
        lookup = lookups.get(work.row_id, LookupMiss.NO_LOOKUP)
        if isinstance(lookup, RemoteState) and not lookup.refusal:
            return work, request, lookup
        if isinstance(lookup, RemoteState) or lookup is LookupMiss.ABSENT:
            await self._needs_call(work, request, lookup)
        else:
            await self._record(work, in_doubt_outcome(lost))
        return None

    async def _record_done(
        self, work: WorkItem, request: ActionRequest, lms_id: str | None, http_status: int | None
    ) -> None:
        registration_id = None if request.action.is_about_person else lms_id
        outcome = RowOutcome(
            status=STATUS_WHEN_DONE[request.action], registration_id=registration_id, http_status=http_status
        )
        await self._record(
            work, outcome, *self._state_writes(work, request, lms_id, removed=is_removal(request.action))
        )

    def _state_writes(
        self, work: WorkItem, request: ActionRequest, lms_id: str | None, *, removed: bool
    ) -> tuple[LedgerWrite, ...]:
        """Return the writes that bring the ledger to the state at the LMS."""
        if request.action is Action.UPDATE:
            return action_intents.person_updated(self.claim, work, self.context.connection, request.candidate_id)
        if request.action is Action.DEACTIVATE:
            return action_intents.person_deactivated(
                self.claim, work, self.context.connection, request.candidate_id
            )
        if removed:
            self.context.registered.discard(work.registration.id)
        state = RegistrationState.WITHDRAWN if removed else RegistrationState.REGISTERED
        return action_intents.registration_observed(self.claim, work, state, lms_id)

    async def _record(self, work: WorkItem, outcome: RowOutcome, *writes: LedgerWrite) -> None:
        self.outcomes[work.row_id] = outcome
        is_the_rows = self.records_outcome or outcome.status is not RowStatus.UPDATED
        row_writes = (intents.row_outcome(self.claim, work, outcome),) if is_the_rows else ()
        await self.context.ledger.commit(*writes, *row_writes)
        self.context.rows_left -= is_the_rows

    def is_updated(self, work: WorkItem) -> bool:
        """Return whether the person of a row is up to date now."""
        outcome = self.outcomes.get(work.row_id)
        return outcome is not None and outcome.status is RowStatus.UPDATED

    async def _read_states(self, requested: Sequence[RequestedAction]) -> Mapping[int, Lookup]:
        """Read the state of these, except of registrations that this process made itself."""
        made = {
            work.row_id: RemoteState(lms_id=work.registration.lms_id)
            for work, request in requested
            if work.registration.lms_id is not None
            and work.registration.id in self.context.registered
            and not request.action.is_about_person
        }
        others = [request for work, request in requested if work.row_id not in made]
        return made | dict(await self.context.connector.read_states(others)) if others else made

    async def _read_until_present(self, requested: RequestedAction) -> Lookup:
        """Read several times what exists according to the ledger: an LMS may lag behind its own writes."""
        lookup: Lookup = LookupMiss.ABSENT
        for pause in self.context.lookup_pauses:
            await self.context.sleep(pause)
            lookup = (await self.context.connector.read_states([requested[1]]))[requested[0].row_id]
            if lookup is not LookupMiss.ABSENT:
                break
        return lookup

    @property
    def _breaker_subject(self) -> str:
        return f"{self.claim.action} {self.claim.course_key}"

    def _count_refusal(self, work: WorkItem, refused: Refused) -> None:
        context = self.context
        if context.is_refused_too_often(self._breaker_subject, refused):
            raise context.halt(
                "breaker_open",
                f"The LMS refused to {self.claim.action} {counted(context.breaker.limit, 'time')} in a row in the "
                f"same way ({without_people(refused.message, [work.row.candidate])}); fix the cause, then resume",
                refused.status,
            )
