"""Make sure that a row's candidate is on the LMS: known, found, or created, once however many rows name them.

Only to be registered is anybody created; the other actions are about people who are there.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.errors import AnswerLost, Refused, RetryLater, StopJob
from worker.ledger import action_intents, batches, intents
from worker.ledger.intents import Outcome
from worker.lms.contract import Unfound
from worker.model import Action, CandidateState, RowStatus
from worker.registration.reconcile import LONGEST_TRY, doubt_candidate, doubtful, given_up, settle_candidate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.database import Transaction
    from worker.ledger.intents import Work
    from worker.lms.contract import FoundCandidate
    from worker.registration.context import Desk

#: How long a row waits for another batch that is creating its candidate, before it is left for later.
PATIENCE_SECONDS = 20.0
POLL_SECONDS = 0.1
#: What the breaker counts candidates under.
CREATIONS = "candidates"


@dataclass(frozen=True, slots=True)
class Blocked:
    """This candidate cannot be registered now: with an outcome for the row, or None when it is only too early."""

    outcome: Outcome | None


@dataclass(slots=True)
class Candidates:
    """The candidates of one claimed batch."""

    desk: Desk
    claim: Claim
    _asked: dict[int, asyncio.Task[str | Blocked]] = field(default_factory=dict)

    async def ensure(self, work: Work) -> str | Blocked:
        """Return the LMS's id of the row's candidate, creating them if need be; the first row that asks does it."""
        asked = self._asked.get(work.candidate.id)
        if asked is None:
            asked = asyncio.create_task(self._ensure(work))
            self._asked[work.candidate.id] = asked
            return await asked
        answer = await asyncio.shield(asked)
        in_doubt = isinstance(answer, Blocked) and answer.outcome and answer.outcome.status is RowStatus.IN_DOUBT
        return WAITS_WITH_ANOTHER if in_doubt else answer

    async def _ensure(self, work: Work) -> str | Blocked:
        work = await self._wait_for_others(work)
        if not work.candidate.mine and work.candidate.state is not CandidateState.KNOWN:
            return Blocked(None)
        if work.candidate.is_being_created:
            found = await settle_candidate(self.desk, self.claim, work)
            if found is not None:
                return found
            work = await self._reload(work)
        if work.candidate.is_being_created:
            return _doubtful(self.claim, work)
        if work.candidate.doing is Action.DEACTIVATE:
            work = await self._after_deactivation(work)
        if work.candidate.lms_id is not None:
            return _unless_leaving(work)
        return await self._find_or_create(work)

    async def _after_deactivation(self, work: Work) -> Work:
        """Let somebody who was deactivated, and is not on the LMS's list again, be created anew."""
        comes_back = work.row.action is Action.REGISTER and work.row.candidate.candidate_id is None
        if work.candidate.state is not CandidateState.DEACTIVATED or not comes_back:
            return work
        await self.desk.ledger.commit(*action_intents.person_is_new(self.claim, work))
        return await self._reload(work)

    async def _find_or_create(self, work: Work) -> str | Blocked:
        registers = work.row.action is Action.REGISTER
        if (self.desk.look_up_first or not registers) and work.row.candidate.external_id:
            found = await self.desk.connector.find_candidate(work.row.candidate, None)
            if isinstance(found, str):
                await self.desk.ledger.commit(*intents.candidate_found(self.claim, work, found))
                return found
            if found is Unfound.SEVERAL:
                return Blocked(AMBIGUOUS)
        return await self._create(work) if registers else Blocked(UNKNOWN)

    async def _create(self, work: Work, tries: int = 1) -> str | Blocked:
        desk, claim = self.desk, self.claim
        try:
            created = await desk.send(
                lambda intent: desk.connector.create(work.row.candidate, intent),
                lambda: intents.sending_candidate(claim, work),
                lambda: intents.candidate_turned(claim, work, CandidateState.NEW, unsent=True),
            )
        except Refused as refused:
            return await self._refused(work, refused)
        except AnswerLost as lost:
            return await self._lost(work, lost, tries)
        desk.created.add(work.candidate.id)
        await desk.ledger.commit(*intents.candidate_created(claim, work, created))
        desk.breaker.succeeded(CREATIONS)
        return created

    async def _refused(self, work: Work, refused: Refused) -> str | Blocked:
        desk, claim = self.desk, self.claim
        if refused.status is not None:
            await desk.ledger.commit(*intents.candidate_turned(claim, work, CandidateState.NEW))
        if refused.code == "candidate_exists" and desk.connector.rules.lists_people:
            found = await self._look_up(work)
            if isinstance(found, str):
                await desk.ledger.commit(*intents.candidate_found(claim, work, found))
                return found
        outcome = Outcome(
            status=RowStatus.REJECTED, error=_refusal(refused), code=refused.code, http_status=refused.status
        )
        if desk.breaker.refused(CREATIONS, refused) and desk.rows_left > desk.breaker.limit:
            await desk.ledger.commit(intents.settled(claim, work, outcome))
            raise desk.stop(
                "breaker_open",
                f"The LMS refused {desk.breaker.limit} candidates in a row in the same way ({refused.message}); "
                "mend the cause, then resume the job",
                refused.status,
            )
        return Blocked(outcome)

    async def _look_up(self, work: Work) -> FoundCandidate:
        """Look for somebody whom the LMS says it has; a look-up that fails leaves the refusal as it is."""
        try:
            return await self.desk.connector.find_candidate(work.row.candidate, 0.0)
        except (Refused, AnswerLost):
            return Unfound.NO_LOOKUP

    async def _lost(self, work: Work, lost: AnswerLost, tries: int) -> str | Blocked:
        await doubt_candidate(self.desk, self.claim, work, lost)
        work = await self._reload(work)
        found = await settle_candidate(self.desk, self.claim, work)
        if found is not None:
            return found
        work = await self._reload(work)
        if work.candidate.state is not CandidateState.NEW:
            return Blocked(doubtful(lost))
        return await self._create(work, tries + 1) if tries < LONGEST_TRY else Blocked(given_up(lost, tries))

    async def _wait_for_others(self, work: Work) -> Work:
        """Wait while another batch is at work on the same candidate."""
        waited = 0.0
        while not work.candidate.mine and work.candidate.state is not CandidateState.KNOWN:
            if waited >= PATIENCE_SECONDS:
                break
            await self.desk.sleep(POLL_SECONDS)
            waited += POLL_SECONDS
            work = await self._reload(work)
        return work

    async def _reload(self, work: Work) -> Work:
        def hold_and_load(tx: Transaction) -> Work:
            batches.hold(tx, self.claim)
            return intents.load_row(tx, self.claim, work.row_id)

        return await self.desk.ledger.run(hold_and_load)


async def sort_out(
    desk: Desk, claim: Claim, candidates: Candidates, works: Sequence[Work]
) -> tuple[list[tuple[Work, str]], BaseException | None]:
    """Make sure of the candidates of rows; return the rows with their LMS ids, and what stands in others' way."""
    found = await asyncio.gather(*(candidates.ensure(work) for work in works), return_exceptions=True)
    trouble: BaseException | None = None
    ready = []
    for work, who in zip(works, found, strict=True):
        if isinstance(who, str):
            ready.append((work, who))
        elif isinstance(who, BaseException):
            trouble = who if trouble is None or isinstance(who, StopJob) else trouble
        elif who.outcome is not None:
            await desk.ledger.commit(intents.settled(claim, work, who.outcome))
            desk.rows_left -= who.outcome.status is not RowStatus.NOT_ATTEMPTED
        else:
            trouble = trouble or RetryLater(1.0, "Another batch is at work on the same candidate")
    return ready, trouble


def _unless_leaving(work: Work) -> str | Blocked:
    """Return the LMS's id, but not of somebody of whom nobody knows whether they were deactivated."""
    line = work.candidate
    leaving = line.state is CandidateState.IN_DOUBT and line.doing is Action.DEACTIVATE
    if leaving and work.row.action is not Action.DEACTIVATE:
        return WAITS_WITH_ANOTHER
    return line.lms_id or Blocked(UNKNOWN)


UNKNOWN = Outcome(
    status=RowStatus.REJECTED,
    error="The LMS does not know this person, and people are created only to be registered; "
    "mend how the row names them",
    code="unknown_candidate",
)
AMBIGUOUS = Outcome(
    status=RowStatus.INVALID,
    error="The LMS has several people with this external id; give the candidate_id of the right one",
    code="ambiguous_candidate",
)


def _refusal(refused: Refused) -> str:
    if refused.code == "candidate_exists":
        return f"{refused.message}. If this is the same person, give their candidate_id"
    return refused.message


def _doubtful(claim: Claim, work: Work) -> Blocked:
    """Return what a row reads whose candidate was in doubt before this batch began."""
    if work.candidate.job_id == claim.job_id and work.candidate.row_id != work.row_id:
        return WAITS_WITH_ANOTHER
    return Blocked(
        Outcome(
            status=RowStatus.IN_DOUBT,
            error="The creation of this candidate was sent before and its answer was lost; "
            "look for them at the LMS, then use `roster resolve`",
            code="answer_lost",
        )
    )


WAITS_WITH_ANOTHER = Blocked(
    Outcome(
        status=RowStatus.NOT_ATTEMPTED,
        error="The candidate is in doubt in another row; once `roster resolve` has settled it, resume the job",
        code="candidate_in_doubt",
    )
)
