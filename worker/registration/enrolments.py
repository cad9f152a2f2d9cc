"""Register rows whose candidates are known: in one call where the LMS takes many, cut in two where it refuses.

A batch refused whole is taken apart until the bad rows stand alone, within two calls a row. When the LMS refuses
the course itself nothing is taken apart: no further row of it is sent.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from worker.errors import AnswerLost, Refused
from worker.ledger import intents
from worker.ledger.intents import Outcome
from worker.lms.contract import Enrolment, FoundRegistration, Registered, Unfound
from worker.model import RegistrationState, RowStatus
from worker.registration.breaker import FEW, speaks_of_course
from worker.registration.context import CourseStopped, together
from worker.registration.reconcile import LONGEST_TRY, given_up, outcome_of, settle_registrations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.intents import Work
    from worker.registration.context import Desk

Pair: TypeAlias = "tuple[Work, Enrolment]"
#: Calls that taking a refused batch apart may cost, per row of it: enough to stand every row alone.
CALLS_PER_ROW = 2
_TOO_LARGE = 413
_INDEX = re.compile(r"candidateIds\[(\d+)\]", re.IGNORECASE)
_SIZE = re.compile(
    r"\b(too (large|many|big|long)|at most|maximum|max(imum)? (batch )?size|limit of)\b", re.IGNORECASE
)


@dataclass(slots=True)
class Enrolling:
    """The registering calls of one claimed batch."""

    desk: Desk
    claim: Claim
    budget: int = 0
    #: Refusals in a row that named their rows; where that goes on, halves are quicker than names.
    _named: int = 0

    async def enrol(self, pairs: Sequence[Pair]) -> None:
        """Register these rows, which are all on one course, and record what became of each."""
        self.budget += CALLS_PER_ROW * len(pairs)
        await self._send_in_pieces(pairs, 1)

    async def _send(self, pairs: Sequence[Pair], tries: int = 1) -> None:
        if len(pairs) > self.desk.rows_per_call:
            await self._send_in_pieces(pairs, tries)
            return
        if not pairs:
            return
        desk, claim = self.desk, self.claim
        self.budget -= 1
        works = [work for work, _ in pairs]
        try:
            answers = await desk.send(
                lambda intent: desk.connector.register([enrolment for _, enrolment in pairs], intent),
                lambda: together(intents.sending_registration(claim, work) for work in works),
                lambda: together(
                    intents.registration_turned(claim, work, RegistrationState.NEW, unsent=True) for work in works
                ),
            )
        except Refused as refused:
            await self._refused(pairs, refused)
        except AnswerLost as lost:
            await self._doubtful(pairs, lost, tries)
        else:
            await self._answered(pairs, answers, tries)

    async def _send_in_pieces(self, pairs: Sequence[Pair], tries: int) -> None:
        count = math.ceil(len(pairs) / self.desk.rows_per_call)
        size = math.ceil(len(pairs) / max(1, count))
        for start in range(0, len(pairs), max(1, size)):
            await self._send(pairs[start : start + size], tries)

    async def _answered(self, pairs: Sequence[Pair], answers: Mapping[int, Registered], tries: int) -> None:
        confirmed = [(work, answers[work.row_id]) for work, _ in pairs if work.row_id in answers]
        await self.desk.ledger.commit(
            *together(intents.registered(self.claim, work, outcome_of(answer)) for work, answer in confirmed)
        )
        self.desk.registered |= {work.registration.id for work, answer in confirmed if not answer.already}
        if confirmed:
            self._named = 0
            self.desk.breaker.succeeded(self.claim.course_key)
            self._learn_course(confirmed[0][1])
        missing = [pair for pair in pairs if pair[0].row_id not in answers]
        if missing:
            message = "The LMS accepted the call, but its answer does not name this candidate"
            lost = AnswerLost(message, code="no_answer_for_row")
            await self._doubtful(missing, lost, tries)

    def _learn_course(self, answer: Registered) -> None:
        if answer.course_id is not None:
            self.desk.course_ids.setdefault(self.claim.course_key, answer.course_id)

    async def _doubtful(self, pairs: Sequence[Pair], lost: AnswerLost, tries: int) -> None:
        absent = await settle_registrations(self.desk, self.claim, pairs, lost)
        if not absent:
            return
        if tries < LONGEST_TRY:
            await self._send(absent, tries + 1)
            return
        await self.desk.ledger.commit(
            *(intents.settled(self.claim, work, given_up(lost, tries)) for work, _ in absent)
        )

    async def _refused(self, pairs: Sequence[Pair], refused: Refused) -> None:
        turned = (intents.registration_turned(self.claim, work, RegistrationState.NEW) for work, _ in pairs)
        await self.desk.ledger.commit(*together(turned))
        await self._stop_a_refused_course(pairs, refused)
        if len(pairs) == 1:
            await self._reject(pairs[0], refused)
        elif self.budget <= 0:
            await self._give_up(pairs, refused)
        else:
            await self._take_apart(pairs, refused)

    async def _take_apart(self, pairs: Sequence[Pair], refused: Refused) -> None:
        if self.budget >= CALLS_PER_ROW * len(pairs) - 1:
            self.desk.bisected += 1
        if refused.status == _TOO_LARGE or _SIZE.search(refused.message):
            self.desk.rows_per_call = math.ceil(len(pairs) / 2)
        named = _named(pairs, refused) if self._named < FEW else []
        self._named += bool(named)
        middle = len(pairs) // 2
        good = [pair for pair in pairs if pair not in named]
        parts = (good, *([pair] for pair in named)) if named and good else (pairs[:middle], pairs[middle:])
        for part in parts:
            await self._send(part)

    async def _reject(self, pair: Pair, refused: Refused) -> None:
        desk, claim = self.desk, self.claim
        work, enrolment = pair
        if refused.code == "already_registered":
            await self._already(work, enrolment, refused)
            return
        outcome = _rejected(refused, refused.code)
        too_many = desk.breaker.refused(claim.course_key, refused) and desk.rows_left > desk.breaker.limit
        if too_many and claim.course_key not in desk.breaker.proven:
            raise self._course_stopped(refused)
        await desk.ledger.commit(intents.settled(self.claim, work, outcome))
        if too_many:
            raise desk.stop(
                "breaker_open",
                f"The LMS refused {desk.breaker.limit} registrations in a row in the same way ({refused.message}); "
                "mend the cause, then resume the job",
                refused.status,
            )

    async def _already(self, work: Work, enrolment: Enrolment, refused: Refused) -> None:
        """Record that the candidate was registered before, as the refusal says and a look-up confirms.

        A look-up that finds no such registration makes it a refusal: the word "already" was about something else.
        """
        found: FoundRegistration = Unfound.NO_LOOKUP
        if self.desk.connector.rules.lists_people:
            found = (await self.desk.connector.find_registrations([enrolment]))[work.row_id]
        if found is Unfound.ABSENT:
            await self.desk.ledger.commit(
                intents.settled(self.claim, work, _rejected(refused, "registration_refused"))
            )
            return
        self.desk.breaker.succeeded(self.claim.course_key)
        registration_id = found.registration_id if isinstance(found, Registered) else None
        outcome = Outcome(
            status=RowStatus.ALREADY_REGISTERED, registration_id=registration_id, http_status=refused.status
        )
        await self.desk.ledger.commit(*intents.registered(self.claim, work, outcome))

    async def _stop_a_refused_course(self, pairs: Sequence[Pair], refused: Refused) -> None:
        """Stop when the refusal means the course, which costs every further row of it a call for nothing."""
        proven = self.claim.course_key in self.desk.breaker.proven
        ids = [enrolment.candidate_id for _, enrolment in pairs]
        surely_there = all(work.candidate.job_id is not None or work.candidate.lms_id is None for work, _ in pairs)
        if proven or refused.code == "already_registered":
            return
        if not speaks_of_course(refused, ids, surely_there=surely_there):
            return
        if self.desk.only_course:
            raise self._course_stopped(refused)
        await self.desk.ledger.commit(
            *(intents.settled(self.claim, work, _rejected(refused, _code_of_course(refused))) for work, _ in pairs)
        )
        raise self._course_stopped(refused)

    def _course_stopped(self, refused: Refused) -> CourseStopped:
        return CourseStopped(
            self.claim.course_key,
            "course_refused",
            f"The LMS refused the course {self.claim.course_key} ({refused.status}: {refused.message}); "
            "check its id, that it is published and that this account may register on it",
        )

    async def _give_up(self, pairs: Sequence[Pair], refused: Refused) -> None:
        outcome = Outcome(
            status=RowStatus.NOT_ATTEMPTED,
            error=f"The LMS refused this row together with others ({refused.message}), and taking the batch apart "
            "used up its calls; resume the job to go on",
            code="bisecting_ended",
            http_status=refused.status,
        )
        await self.desk.ledger.commit(*(intents.settled(self.claim, work, outcome) for work, _ in pairs))


def _code_of_course(refused: Refused) -> str:
    return refused.code if refused.code == "ambiguous_course" else "unknown_course"


def _rejected(refused: Refused, code: str) -> Outcome:
    return Outcome(status=RowStatus.REJECTED, error=refused.message, code=code, http_status=refused.status)


def _named(pairs: Sequence[Pair], refused: Refused) -> list[Pair]:
    """Return the rows that the refusal names, by the candidate's id or by the place in the call."""
    text = refused.text or refused.message
    places = {int(index) for index in _INDEX.findall(text)}
    words = set(re.findall(r"\w+", text))
    return [pair for place, pair in enumerate(pairs) if place in places or pair[1].candidate_id in words]
