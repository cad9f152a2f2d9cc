"""Create people many in a call, at an LMS whose call is all or nothing: committed, counted, bisected, settled.

A call that is refused says neither for whom nor why. So its people are looked up first, since one who exists is the
usual reason; then the call is cut in two until the rejected ones are alone. A call without an answer is settled by
look-ups that are well apart: all of its people appear at its end.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from worker.errors import AnswerLost, LmsError, Refused, RetryLater, RosterError, StopJob
from worker.ledger import intents, known_data, person_claims
from worker.ledger.database import now
from worker.ledger.intents import RowOutcome
from worker.lms.contract import WRITE_CONFLICT, FoundPerson, LookupMiss
from worker.model import CandidateState, RowStatus
from worker.registration.anonymous import without_people
from worker.registration.blocked import (
    BLOCKED_BY_OTHER_ROW,
    MAX_WAIT_SECONDS,
    POLL_SECONDS,
    Blocked,
    blocked_in_doubt,
)
from worker.registration.context import combined
from worker.registration.reconcile import MAX_TRIES, gave_up_outcome, in_doubt_outcome, raise_lookup_failed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Mapping, Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.intents import WorkItem
    from worker.ledger.person_claims import ClaimedPeople
    from worker.ledger.transactions import Write
    from worker.lms.contract import BulkConnector, PersonLookup
    from worker.registration.context import JobContext

#: The subject under which the breaker counts refused candidates.
BREAKER_SUBJECT = "candidates"
#: Absence is believed when this number of look-ups in a row agree.
MIN_ABSENT = 2
#: After a lost answer the last look-up waits as long as the call was on its way, up to this (seconds).
MAX_SETTLE_SECONDS = 60.0

#: The LMS's id, why the candidate cannot be used now, or the error that interrupted.
Created: TypeAlias = "str | Blocked | BaseException"


@dataclass(frozen=True, slots=True)
class Pending:
    """A candidate who is to be created with others, or whose creation is in doubt."""

    work: WorkItem


@dataclass(slots=True)
class PeopleCreator:
    """Creates the candidates of one claimed batch, many in a call."""

    context: JobContext
    claim: Claim
    connector: BulkConnector
    #: Candidates that a group of the batch is creating, by record.
    _futures: dict[int, asyncio.Future[Created]] = field(default_factory=dict)
    #: Candidates for whom this job sent a call whose answer was lost: one who is found is theirs.
    _lost: set[int] = field(default_factory=set)

    async def finish(self, works: Sequence[WorkItem], found: Sequence[Created | Pending]) -> list[Created]:
        """Create who is pending among the resolved candidates of these rows; return one result for each row."""
        mine: dict[int, WorkItem] = {}
        for each in found:
            if isinstance(each, Pending) and each.work.candidate.id not in self._futures:
                mine[each.work.candidate.id] = each.work
                self._futures[each.work.candidate.id] = asyncio.get_running_loop().create_future()
        results: dict[int, Created] = {}
        try:
            results = await self._settle_and_create(list(mine.values()))
        finally:
            # Another group of the batch may wait for them.
            for candidate_id in mine:
                self._futures[candidate_id].set_result(results.get(candidate_id, Blocked(None)))
        return [await self._result_for(work, each) for work, each in zip(works, found, strict=True)]

    async def _result_for(self, work: WorkItem, each: Created | Pending) -> Created:
        """Return the result for one row; of the rows of a person in doubt, the one it was sent for is in doubt."""
        if not isinstance(each, Pending):
            return each
        result = await self._futures[each.work.candidate.id]
        in_doubt = isinstance(result, Blocked) and result.outcome and result.outcome.status is RowStatus.IN_DOUBT
        return BLOCKED_BY_OTHER_ROW if in_doubt and each.work.row_id != work.row_id else result

    async def _settle_and_create(self, works: Sequence[WorkItem]) -> dict[int, Created]:
        in_doubt = [work for work in works if work.candidate.is_being_created]
        fresh = [work for work in works if not work.candidate.is_being_created]
        results: dict[int, Created] = {}
        if in_doubt:
            try:
                settled, absent = await self._settle(in_doubt)
            except RosterError as error:
                results |= _for_all(in_doubt, error)
            else:
                results |= settled
                fresh = [*absent, *fresh]
        return results | await self._create_all(fresh)

    async def _create_all(self, works: Sequence[WorkItem]) -> dict[int, Created]:
        results: dict[int, Created] = {}
        ready: list[WorkItem] = []
        for work in works:
            problem = self.connector.creation_problem(work.row.candidate)
            if problem is None:
                ready.append(work)
            else:
                results[work.candidate.id] = Blocked(_outcome_of(problem))
        results |= await self._try_first(ready)
        ready = [work for work in ready if work.candidate.id not in results]
        try:
            size = await self.connector.people_per_create([work.row.candidate for work in ready])
        except LmsError as error:
            return results | _for_all(ready, error)
        size = min(size, self.context.people_per_create)
        for made in await asyncio.gather(*(self._create_alone(part) for part in _parts(ready, size))):
            results |= made
        return results

    async def _create_alone(self, works: Sequence[WorkItem]) -> dict[int, Created]:
        """Create people, each when no other call is creating them, also under another external id or address.

        Whom another call has is looked up after it: they may exist by then.
        """
        results: dict[int, Created] = {}
        waiting, waited = list(works), 0.0
        while waiting and waited < MAX_WAIT_SECONDS:
            claimed = await self._claim(waiting)
            mine = [work for work in waiting if work.candidate.id in claimed.candidate_ids]
            waiting = [work for work in waiting if work not in mine]
            results |= await self._guarded(mine, self._create_claimed(mine, claimed.in_doubt, is_late=waited > 0))
            if waiting:
                await self.context.sleep(POLL_SECONDS)
                waited += POLL_SECONDS
        return results | _for_all(waiting, Blocked(None))

    async def _claim(self, works: Sequence[WorkItem]) -> ClaimedPeople:
        wanted = {work.candidate.id: self.connector.identities(work.row.candidate) for work in works}
        connection = self.context.connection
        return await self.context.ledger.run_separately(
            lambda tx: person_claims.claim_people(tx, self.claim, connection, wanted)
        )

    async def _create_claimed(
        self, works: Sequence[WorkItem], in_doubt: Collection[int], *, is_late: bool
    ) -> dict[int, Created]:
        """Create claimed people, after a look-up of those who may be there since; release those who are settled."""
        unsure = [work for work in works if is_late or work.candidate.id in in_doubt]
        results = await self._find_meanwhile(unsure, self._pauses(0.0) if in_doubt else (0.0,))
        results |= await self._create([work for work in works if work.candidate.id not in results])
        settled = [each for each, result in results.items() if _is_settled(result)]
        await self.context.ledger.commit(*person_claims.people_released(self.claim, settled))
        return results

    async def _find_meanwhile(self, works: Sequence[WorkItem], pauses: Sequence[float]) -> dict[int, Created]:
        """Look people up whom another call may have created; return results for all but those who do not exist."""
        results: dict[int, Created] = {}
        left = list(works)
        for pause in pauses if left else ():
            await self.context.sleep(pause)
            found = await self.connector.find_people([work.row.candidate for work in left], ())
            results |= await self._record_found(left, found)
            left = [work for work in left if work.candidate.id not in results]
            if not left:
                break
        return results

    async def _try_first(self, works: Sequence[WorkItem]) -> dict[int, Created]:
        """Create people alone whom the LMS must show first, until it has; one batch at a time."""
        if not self.connector.needs_read_back([work.row.candidate for work in works]):
            return {}
        results: dict[int, Created] = {}
        async with self.context.trying:
            for work in works:
                if self.connector.needs_read_back([work.row.candidate]):
                    results |= await self._create_alone([work])
                if isinstance(results.get(work.candidate.id), StopJob):
                    return _for_all(works, results[work.candidate.id]) | results
        return results

    async def _create(self, works: Sequence[WorkItem], tries: int = 1) -> dict[int, Created]:
        """Create these in one call; an error that interrupts it is the result of those without another one."""
        if not works:
            return {}
        context, claim = self.context, self.claim
        candidates = [work.row.candidate for work in works]
        began = time.monotonic()

        def sending() -> tuple[Write, ...]:
            nonlocal began
            began = time.monotonic()
            return combined(intents.intent_to_create(claim, work, work.candidate) for work in works)

        try:
            created = await context.send(
                lambda intent: self.connector.create_candidates(candidates, intent),
                sending,
                lambda: self._states(works, CandidateState.NEW, unsent=True),
            )
        except Refused as refused:
            return await self._guarded(works, self._handle_refusal(works, refused, tries))
        except AnswerLost as lost:
            took = time.monotonic() - began
            return await self._guarded(works, self._handle_lost_answer(works, lost, tries, took))
        except RosterError as error:
            return _for_all(works, error)
        return await self._guarded(works, self._record(works, created, tries, time.monotonic() - began))

    async def _guarded(self, works: Sequence[WorkItem], step: Awaitable[dict[int, Created]]) -> dict[int, Created]:
        try:
            return await step
        except (LmsError, RosterError) as error:
            return _for_all(works, error)

    def _states(
        self, works: Sequence[WorkItem], state: CandidateState, *, unsent: bool = False
    ) -> tuple[Write, ...]:
        return combined(
            intents.state_changed(self.claim, work, work.candidate, state, unsent=unsent) for work in works
        )

    async def _record(
        self, works: Sequence[WorkItem], created: Mapping[int, str], tries: int, took: float
    ) -> dict[int, Created]:
        """Record those whom the answer confirms; the others are in doubt."""
        confirmed = [(work, created[place]) for place, work in enumerate(works) if place in created]
        await self.context.ledger.commit(
            *combined(intents.candidate_created(self.claim, work, lms_id) for work, lms_id in confirmed)
        )
        self.context.created |= {work.candidate.id for work, _ in confirmed}
        results: dict[int, Created] = {work.candidate.id: lms_id for work, lms_id in confirmed}
        if confirmed:
            self.context.breaker.record_success(BREAKER_SUBJECT)
        missing = [work for place, work in enumerate(works) if place not in created]
        if missing:
            message = "The LMS accepted the call, but its answer does not name this person"
            lost = AnswerLost(message, code="no_answer_for_row")
            if created and missing == list(works[len(created) :]):
                step = self._handle_cut_off(missing, lost, len(created))
            else:
                step = self._handle_lost_answer(missing, lost, tries, took)
            results |= await self._guarded(missing, step)
        return results | await self._read_back(confirmed)

    async def _handle_cut_off(
        self, works: Sequence[WorkItem], lost: AnswerLost, arrived: int
    ) -> dict[int, Created]:
        """Send the people again who were at the end of a call and did not arrive, no more in a call than did."""
        await self.context.learn_people_per_create(arrived)
        await self._mark_in_doubt(works, lost)
        # The call has ended: whom it made is there, and nobody comes later.
        results, absent = await self._settle(works, lost=lost, pauses=(0.0, self.context.lookup_pauses[0]))
        for part in _parts(absent, self.context.people_per_create):
            results |= await self._create(part)
        return results

    async def _read_back(self, confirmed: Sequence[tuple[WorkItem, str]]) -> dict[int, Created]:
        """Note on the rows what did not arrive; return the error that stops the job, for each of these."""
        notes: Mapping[str, str] = {}
        try:
            with suppress(AnswerLost, RetryLater, Refused):
                notes = await self.connector.read_back({lms_id: work.row.candidate for work, lms_id in confirmed})
        except StopJob as stop:
            self.context.halted = True
            return _for_all([work for work, _ in confirmed], stop)
        if by_row := {work.row_id: note for work, lms_id in confirmed if (note := notes.get(lms_id))}:
            await self.context.ledger.run(lambda tx: known_data.add_notes(tx, by_row))
        return {}

    async def _handle_refusal(self, works: Sequence[WorkItem], refused: Refused, tries: int) -> dict[int, Created]:
        await self.context.ledger.commit(*self._states(works, CandidateState.NEW))
        if len(works) == 1:
            return await self._handle_single_refusal(works[0], refused, tries)
        results: dict[int, Created] = {}
        left = list(works)
        if tries == 1:
            found = await self.connector.find_refused([work.row.candidate for work in works])
            results = await self._record_found(works, found)
            left = [work for work in works if work.candidate.id not in results]
        if results or (refused.code == WRITE_CONFLICT and tries == 1):
            return results | await self._create(left, tries + 1)
        self.context.bisected += tries == 1
        middle = len(left) // 2
        for part in (left[:middle], left[middle:]):
            # Never at the same time: the next one may be refused for the same reason.
            results |= await self._create(part, MAX_TRIES - 1)
        if refused.code != WRITE_CONFLICT and all(work.candidate.id in self.context.created for work in left):
            # Nobody of them was refused in a smaller call: the larger one was cut off within a person.
            await self.context.learn_people_per_create(len(left) - middle)
        return results

    async def _handle_single_refusal(self, work: WorkItem, refused: Refused, tries: int) -> dict[int, Created]:
        """Look a person up whose creation was refused: an answer that was lost before may be why."""
        results = {}
        if refused.status is not None:
            with suppress(AnswerLost, Refused):
                found = await self.connector.find_refused([work.row.candidate])
                results = await self._record_found([work], found)
        if results:
            return results
        if refused.code == WRITE_CONFLICT and tries < MAX_TRIES:
            return await self._create([work], tries + 1)
        return {work.candidate.id: await self._rejected(work, refused)}

    async def _rejected(self, work: WorkItem, refused: Refused) -> Blocked:
        """Return the outcome of a person whom the LMS refuses. Raises StopJob after too many in a row."""
        context = self.context
        outcome = _outcome_of(refused)
        if refused.status is not None and context.is_refused_too_often(BREAKER_SUBJECT, refused):
            await context.ledger.commit(intents.row_outcome(self.claim, work, outcome))
            raise context.halt(
                "breaker_open",
                f"The LMS refused {context.breaker.limit} candidates in a row in the same way "
                f"({without_people(refused.message, [work.row.candidate])}); fix the cause, then resume the job",
                refused.status,
            )
        return Blocked(outcome)

    async def _record_found(self, works: Sequence[WorkItem], found: Sequence[PersonLookup]) -> dict[int, Created]:
        """Record who exists, and return results for all but those who do not."""
        results: dict[int, Created] = {}
        writes: list[Write] = []
        for work, result in zip(works, found, strict=True):
            if isinstance(result, FoundPerson):
                lms_id = result.person.candidate_id
                is_ours = work.candidate.id in self._lost
                self.context.created |= {work.candidate.id} if is_ours else set()
                known = intents.candidate_created if is_ours else intents.candidate_found
                writes += known(self.claim, work, lms_id)
                results[work.candidate.id] = lms_id
            elif isinstance(result, Refused):
                results[work.candidate.id] = Blocked(_refused_by_us(result))
        await self.context.ledger.commit(*writes)
        return results

    async def _handle_lost_answer(
        self, works: Sequence[WorkItem], lost: AnswerLost, tries: int, took: float
    ) -> dict[int, Created]:
        await self._mark_in_doubt(works, lost)
        results, absent = await self._settle(works, lost=lost, pauses=self._pauses(took))
        if not absent:
            return results
        if tries < MAX_TRIES:
            return results | await self._create(absent, tries + 1)
        return results | {work.candidate.id: Blocked(gave_up_outcome(lost, tries)) for work in absent}

    async def _mark_in_doubt(self, works: Sequence[WorkItem], lost: AnswerLost) -> None:
        await self.context.ledger.commit(
            *self._states(works, CandidateState.IN_DOUBT),
            *(intents.row_outcome(self.claim, work, in_doubt_outcome(lost)) for work in works),
        )

    async def _settle(
        self, works: Sequence[WorkItem], *, lost: AnswerLost | None = None, pauses: Sequence[float] | None = None
    ) -> tuple[dict[int, Created], list[WorkItem]]:
        """Look people in doubt up until they are found, or absent for certain; return results, and the absent ones.

        Raises LookupFailed, RetryLater or StopJob; the people stay in doubt.
        """
        self._lost |= {work.candidate.id for work in works if lost or work.candidate.job_id == self.claim.job_id}
        results: dict[int, Created] = {}
        waiting, absent = list(works), 0
        for pause in self._pauses(0.0) if pauses is None else pauses:
            await self.context.sleep(pause)
            try:
                found = await self.connector.find_people([work.row.candidate for work in waiting], ())
            except (AnswerLost, Refused):
                absent = 0
                continue
            known = [each for each in zip(waiting, found, strict=True) if each[1] is not LookupMiss.ABSENT]
            results |= await self._record_settled(known, lost)
            waiting = [work for work in waiting if work.candidate.id not in results]
            absent += 1
            if not waiting:
                break
        if waiting and absent < MIN_ABSENT:
            raise_lookup_failed(self.context, now() if lost else None, *(w.candidate.sent_at for w in waiting))
            return results | {work.candidate.id: _in_doubt(self.claim, work, lost) for work in waiting}, []
        await self.context.ledger.commit(*self._states(waiting, CandidateState.NEW))
        return results, waiting

    def _pauses(self, took: float) -> list[float]:
        """Return the pauses before the look-ups: at least two, and as long as the call was on its way."""
        pauses = list(self.context.lookup_pauses)
        pauses += pauses[-1:] * (MIN_ABSENT - len(pauses))
        pauses[-1] += max(0.0, min(took, MAX_SETTLE_SECONDS) - sum(pauses))
        return pauses

    async def _record_settled(
        self, known: Sequence[tuple[WorkItem, PersonLookup]], lost: AnswerLost | None
    ) -> dict[int, Created]:
        """Record who was found; one whom the look-up does not name for certain stays in doubt."""
        people = [(work, each) for work, each in known if isinstance(each, FoundPerson)]
        results = await self._record_found([work for work, _ in people], [each for _, each in people])
        unclear = [work for work, each in known if not isinstance(each, FoundPerson)]
        return results | {work.candidate.id: _in_doubt(self.claim, work, lost) for work in unclear}


def _parts(works: Sequence[WorkItem], size: int) -> list[Sequence[WorkItem]]:
    return [works[start : start + size] for start in range(0, len(works), size)]


def _for_all(works: Sequence[WorkItem], error: Created) -> dict[int, Created]:
    return {work.candidate.id: error for work in works}


def _is_settled(result: Created) -> bool:
    """Return whether nothing of a creation is in doubt."""
    if isinstance(result, Blocked):
        return result.outcome is not None and result.outcome.status is not RowStatus.IN_DOUBT
    return isinstance(result, str)


def _in_doubt(claim: Claim, work: WorkItem, lost: AnswerLost | None) -> Blocked:
    return blocked_in_doubt(claim, work) if lost is None else Blocked(in_doubt_outcome(lost))


def _outcome_of(refused: Refused) -> RowOutcome:
    return RowOutcome(
        status=RowStatus.REJECTED, error=refused.message, code=refused.code, http_status=refused.status
    )


def _refused_by_us(refused: Refused) -> RowOutcome:
    return RowOutcome(status=RowStatus.INVALID, error=refused.message, code=refused.code)
