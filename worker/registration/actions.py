"""Approve, complete, withdraw, update, deactivate: look first, send what is not so yet, look again when in doubt.

What these ask for shows at the LMS. So a lost answer is settled by reading the state back, several times and with
pauses, and what was surely not done is sent again. Never blindly: there is a look between any two calls for a row.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.errors import AnswerLost, LmsError, Refused, RetryLater, StopJob
from worker.ledger import action_intents as lines
from worker.ledger import intents
from worker.ledger.intents import Outcome
from worker.lms.contract import Deed, Done, Seen, Unfound
from worker.model import DONE_AS, Action, RegistrationState, RowStatus
from worker.registration.action_rules import (
    CUT_OFF,
    a_deed,
    doing,
    ends,
    is_gone_by_us,
    is_in_doubt,
    is_mine,
    knowing,
    lms_id_of,
    not_found,
    rejected,
    was_there,
)
from worker.registration.candidates import sort_out
from worker.registration.context import together
from worker.registration.reconcile import LONGEST_TRY, doubtful, given_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.intents import Work
    from worker.ledger.transactions import Write
    from worker.registration.action_rules import Looked, Pair, Sight
    from worker.registration.candidates import Candidates
    from worker.registration.context import Desk

BUSY = "Another job is at work on the same person or registration"


async def work_off(
    desk: Desk, claim: Claim, candidates: Candidates, works: Sequence[Work]
) -> list[BaseException | None]:
    """Do what the rows of a claimed batch ask for, all the same action; return what stood in the way."""
    ready, trouble = await sort_out(desk, claim, candidates, works)
    mine = [(work, a_deed(desk, work, who, claim.action)) for work, who in ready if is_mine(work, claim.action)]
    if len(mine) < len(ready):
        trouble = trouble or RetryLater(1.0, BUSY)
    results = await Doing(desk, claim).all_of(mine) if mine else []
    return [*results, trouble]


@dataclass(slots=True)
class Doing:
    """The deeds of one claimed batch, all of one action."""

    desk: Desk
    claim: Claim
    #: Whether the outcome is the row's; not when a person is brought up to date on the way to a registration.
    settles: bool = True
    #: What became of each, by row id.
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    async def all_of(self, pairs: Sequence[Pair]) -> list[BaseException | None]:
        """Look at all of them together, then do each group; return what stood in the way."""
        in_doubt = [pair for pair in pairs if is_in_doubt(*pair)]
        fresh = [pair for pair in pairs if not is_in_doubt(*pair)]
        try:
            looked = await self._look(fresh)
        except LmsError as error:
            return [error]
        size = self.desk.connector.rules.rows_per_deed
        groups = [fresh[start : start + size] for start in range(0, len(fresh), size)]
        return await asyncio.gather(
            *(self._do(group, looked) for group in groups),
            *(self._go_on(pair) for pair in in_doubt),
            return_exceptions=True,
        )

    async def _do(self, pairs: Sequence[Pair], looked: Mapping[int, Looked]) -> None:
        to_send = []
        for work, deed in pairs:
            sight = looked.get(work.row_id, Unfound.NO_LOOKUP)
            if isinstance(sight, Seen) and sight.course_id is not None:
                self.desk.course_ids.setdefault(self.claim.course_key, sight.course_id)
            if sight is Unfound.ABSENT and was_there(work, deed):
                sight = await self._look_until_there((work, deed))
            if await self._weigh(work, deed, sight) and isinstance(sight, Seen):
                to_send.append((work, deed, sight))
        await self._send(to_send)

    async def _go_on(self, pair: Pair) -> None:
        """Go on with what was in doubt before this batch began."""
        await self._send(await self._settle_doubt([pair], CUT_OFF, ended=doing(*pair) is pair[1].action))

    async def _weigh(self, work: Work, deed: Deed, sight: Looked) -> bool:
        """Settle what needs no call; True when it is to be sent."""
        if isinstance(sight, Seen) and sight.reached:
            await self._done(work, deed, sight.lms_id, None)
        elif isinstance(sight, Seen) and sight.hindrance:
            known = self._stands(work, deed, sight.lms_id, gone=sight.withdrawn)
            await self._settle(work, rejected(sight.hindrance), *known)
        elif isinstance(sight, Seen):
            return True
        elif sight is Unfound.ABSENT and is_gone_by_us(work, deed):
            await self._done(work, deed, lms_id_of(deed), None)
        else:
            await self._settle(work, not_found(deed, sight))
        return False

    async def _send(self, sights: Sequence[Sight], tries: int = 1) -> None:
        if not sights:
            return
        desk, claim = self.desk, self.claim
        deeds = [deed for _, deed, _ in sights]
        seen = {work.row_id: sight for work, _, sight in sights}
        try:
            answers = await desk.send(
                lambda intent: desk.connector.act(deeds, seen, intent),
                lambda: together(
                    lines.sending(claim, work, deed.action, sight.lms_id) for work, deed, sight in sights
                ),
                lambda: together(lines.undone(claim, work, deed.action, unsent=True) for work, deed, _ in sights),
            )
        except Refused as refused:
            await self._refused(sights, refused)
        except AnswerLost as lost:
            await self._lost(sights, lost, tries)
        else:
            await self._answered(sights, answers, tries)

    async def _answered(self, sights: Sequence[Sight], answers: Mapping[int, Done | Refused], tries: int) -> None:
        missing = []
        for sight in sights:
            work, deed, seen = sight
            answer = answers.get(work.row_id)
            if isinstance(answer, Done):
                self.desk.breaker.succeeded(self._subject)
                await self._done(work, deed, seen.lms_id, answer.http_status)
            elif answer is not None:
                await self._refused([sight], answer)
            else:
                missing.append(sight)
        if missing:
            message = "The LMS accepted the call, but its answer does not say that it was done"
            await self._lost(missing, AnswerLost(message, code="no_answer_for_row"), tries)

    async def _refused(self, sights: Sequence[Sight], refused: Refused) -> None:
        """Record a refusal; of several rows each is sent by itself, since nothing says which of them is meant."""
        turned = (lines.undone(self.claim, work, deed.action) for work, deed, _ in sights)
        await self.desk.ledger.commit(*together(turned))
        if len(sights) > 1:
            for sight in sights:
                await self._send([sight])
            return
        work, deed = knowing(sights[0])
        if await self._is_so_after_all(work, deed, refused):
            return
        await self._settle(work, rejected(refused))
        self._stop_if_too_many(refused)

    async def _is_so_after_all(self, work: Work, deed: Deed, refused: Refused) -> bool:
        """Look again when a refusal may mean that it is done: "already", or gone where gone is the aim."""
        looks = refused.code == "already_so" or (ends(deed.action) and refused.code != "not_allowed")
        sight = (await self.desk.connector.look([deed]))[work.row_id] if looks else None
        gone = sight is Unfound.ABSENT and ends(deed.action)
        if gone or (isinstance(sight, Seen) and sight.reached):
            await self._done(work, deed, lms_id_of(deed), refused.status)
            return True
        return False

    async def _lost(self, sights: Sequence[Sight], lost: AnswerLost, tries: int) -> None:
        writes = (lines.in_doubt(self.claim, work, deed.action, doubtful(lost)) for work, deed, _ in sights)
        await self.desk.ledger.commit(*together(writes))
        left = await self._settle_doubt([knowing(sight) for sight in sights], lost, ended=True)
        if left and tries < LONGEST_TRY:
            await self._send(left, tries + 1)
            return
        for work, deed, _ in left:
            await self._settle(work, given_up(lost, tries), *lines.undone(self.claim, work, deed.action))

    async def _settle_doubt(self, pairs: Sequence[Pair], lost: AnswerLost, *, ended: bool) -> list[Sight]:
        """Read the state back, delayed and repeated; return those for which surely nothing was done.

        `ended`: it is this very deed that is in doubt, so that gone means done where gone is the aim. A look that
        fails settles nothing, and the row waits for a person.
        """
        waiting = list(pairs)
        sights: dict[int, Looked] = {}
        for pause in self.desk.lookup_pauses:
            await self.desk.sleep(pause)
            try:
                sights = dict(await self.desk.connector.look([deed for _, deed in waiting]))
            except (RetryLater, StopJob):
                raise
            except LmsError:
                sights = {}
                break
            waiting = [pair for pair in waiting if not await self._was_done(*pair, sights, ended=ended)]
            if not waiting:
                break
        return [sight for pair in waiting if (sight := await self._left_over(*pair, sights, lost))]

    async def _was_done(self, work: Work, deed: Deed, sights: Mapping[int, Looked], *, ended: bool) -> bool:
        sight = sights.get(work.row_id)
        if isinstance(sight, Seen) and sight.reached:
            await self._done(work, deed, sight.lms_id, None)
            return True
        if sight is Unfound.ABSENT and ended and ends(deed.action):
            await self._done(work, deed, lms_id_of(deed), None)
            return True
        return False

    async def _left_over(
        self, work: Work, deed: Deed, sights: Mapping[int, Looked], lost: AnswerLost
    ) -> Sight | None:
        sight = sights.get(work.row_id, Unfound.NO_LOOKUP)
        if isinstance(sight, Seen) and not sight.hindrance:
            return work, deed, sight
        if isinstance(sight, Seen) or sight is Unfound.ABSENT:
            await self._weigh(work, deed, sight)
        else:
            await self._settle(work, doubtful(lost))
        return None

    async def _done(self, work: Work, deed: Deed, lms_id: str | None, http_status: int | None) -> None:
        registration_id = None if deed.action.is_about_a_person else lms_id
        outcome = Outcome(status=DONE_AS[deed.action], registration_id=registration_id, http_status=http_status)
        await self._settle(work, outcome, *self._stands(work, deed, lms_id, gone=ends(deed.action)))

    def _stands(self, work: Work, deed: Deed, lms_id: str | None, *, gone: bool) -> tuple[Write, ...]:
        """Return how the LMS has it now, for the ledger."""
        if deed.action is Action.UPDATE:
            return lines.person_is_there(self.claim, work)
        if deed.action is Action.DEACTIVATE:
            return lines.person_left(self.claim, work, self.desk.connection, deed.candidate_id)
        if gone:
            self.desk.registered.discard(work.registration.id)
        state = RegistrationState.WITHDRAWN if gone else RegistrationState.REGISTERED
        return lines.registration_is(self.claim, work, state, lms_id)

    async def _settle(self, work: Work, outcome: Outcome, *writes: Write) -> None:
        self.outcomes[work.row_id] = outcome
        is_the_rows = self.settles or outcome.status is not RowStatus.UPDATED
        settled = (intents.settled(self.claim, work, outcome),) if is_the_rows else ()
        await self.desk.ledger.commit(*writes, *settled)
        self.desk.rows_left -= is_the_rows

    def is_updated(self, work: Work) -> bool:
        """Tell whether the person of a row is up to date now."""
        outcome = self.outcomes.get(work.row_id)
        return outcome is not None and outcome.status is RowStatus.UPDATED

    async def _look(self, pairs: Sequence[Pair]) -> Mapping[int, Looked]:
        """Look at what these are about, but at what this process made itself."""
        made = {
            work.row_id: Seen(lms_id=work.registration.lms_id)
            for work, deed in pairs
            if work.registration.lms_id is not None
            and work.registration.id in self.desk.registered
            and not deed.action.is_about_a_person
        }
        others = [deed for work, deed in pairs if work.row_id not in made]
        return made | dict(await self.desk.connector.look(others)) if others else made

    async def _look_until_there(self, pair: Pair) -> Looked:
        """Look several times for what the ledger says is there: an LMS may lag behind its own writes."""
        sight: Looked = Unfound.ABSENT
        for pause in self.desk.lookup_pauses:
            await self.desk.sleep(pause)
            sight = (await self.desk.connector.look([pair[1]]))[pair[0].row_id]
            if sight is not Unfound.ABSENT:
                break
        return sight

    @property
    def _subject(self) -> str:
        return f"{self.claim.action} {self.claim.course_key}"

    def _stop_if_too_many(self, refused: Refused) -> None:
        desk = self.desk
        if desk.breaker.refused(self._subject, refused) and desk.rows_left > desk.breaker.limit:
            raise desk.stop(
                "breaker_open",
                f"The LMS refused to {self.claim.action} {desk.breaker.limit} times in a row in the same way "
                f"({refused.message}); mend the cause, then resume the job",
                refused.status,
            )
