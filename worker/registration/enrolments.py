"""Register rows whose candidates are known: in one call where the LMS accepts many, bisected when it refuses.

A call that is refused as a whole is split until the rejected rows are isolated, within two calls per row. When the
LMS refuses the course itself nothing is split: no further row of it is sent.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from worker.errors import AnswerLost, HeldElsewhere, Refused
from worker.ledger import intents
from worker.ledger.intents import RowOutcome
from worker.lms.contract import Enrolment, LookupMiss, RegistrationLookup, RemoteRegistration, bulk
from worker.model import RowStatus
from worker.quantities import counted
from worker.registration.anonymous import without_people
from worker.registration.breaker import is_about_course
from worker.registration.carried import Write, carried
from worker.registration.context import CourseStopped, combined
from worker.registration.reconcile import MAX_TRIES, confirmed_outcome, gave_up_outcome, reconcile_registrations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.intents import WorkItem
    from worker.registration.context import JobContext

RowEnrolment: TypeAlias = "tuple[WorkItem, Enrolment]"
#: Calls per row that splitting a refused batch may cost: enough to isolate every row.
MAX_CALLS_PER_ROW = 2
#: Refusals in a row whose named rows are split off; after them, halving is quicker.
MAX_NAMED_REFUSALS = 3
_TOO_LARGE = 413
#: Codes with which a connector itself says that a refusal is about the course.
_ABOUT_COURSE = frozenset({"course_refused", "unknown_course"})
_INDEX_PATTERN = re.compile(r"candidateIds\[(\d{1,9})\]", re.IGNORECASE)
_SIZE_PATTERN = re.compile(
    r"\b(too (large|many|big|long)|at most|maximum|max(imum)? (batch )?size|limit of)\b", re.IGNORECASE
)


@dataclass(slots=True)
class EnrolmentRunner:
    """Makes the registering calls of one claimed batch."""

    context: JobContext
    claim: Claim
    budget: int = 0
    #: Refusals in a row that named their rows.
    _named_refusals: int = 0

    async def enrol(self, pairs: Sequence[RowEnrolment]) -> None:
        """Register these rows, which are all on one course, and record the outcome of each."""
        self.budget += MAX_CALLS_PER_ROW * len(pairs)
        await self._send_in_pieces(pairs, 1)

    async def _send(self, pairs: Sequence[RowEnrolment], tries: int = 1) -> None:
        if len(pairs) > self._most_rows:
            await self._send_in_pieces(pairs, tries)
            return
        if not pairs:
            return
        people = {work.candidate.id: enrolment.candidate_id for work, enrolment in pairs}
        async with carried(self.context, self.claim, Write.REGISTRATION, people) as was_carried:
            left = await self._still_absent(pairs) if was_carried else pairs
            if left:
                await self._call(left, tries)

    async def _still_absent(self, pairs: Sequence[RowEnrolment]) -> list[RowEnrolment]:
        """Record whom another call has just registered under another record; return the others."""
        found = await self.context.connector.find_registrations([enrolment for _, enrolment in pairs])
        there = {row_id: each for row_id, each in found.items() if isinstance(each, RemoteRegistration)}
        await self.context.ledger.commit(
            *combined(
                intents.registered(self.claim, work, confirmed_outcome(replace(there[work.row_id], existed=True)))
                for work, _ in pairs
                if work.row_id in there
            )
        )
        left = [pair for pair in pairs if pair[0].row_id not in there]
        if any(found.get(work.row_id) is not LookupMiss.ABSENT for work, _ in left):
            # Somebody's is inactive now: a later run of the batch reads the list again and says so.
            self.context.existing.pop(self.claim.course_key, None)
            raise HeldElsewhere(1.0, "Another call has just changed the same registration")
        return left

    async def _call(self, pairs: Sequence[RowEnrolment], tries: int) -> None:
        context, claim = self.context, self.claim
        self.budget -= 1
        works = [work for work, _ in pairs]
        try:
            confirmed_by_row = await context.send(
                lambda intent: context.connector.register_batch([enrolment for _, enrolment in pairs], intent),
                lambda: combined(intents.intent_to_create(claim, work, work.registration) for work in works),
                lambda: combined(intents.registration_not_made(claim, work, unsent=True) for work in works),
            )
        except Refused as refused:
            await self._handle_refusal(pairs, refused)
        except AnswerLost as lost:
            await self._handle_lost_answer(pairs, lost, tries)
        else:
            await self._record_response(pairs, confirmed_by_row, tries)

    @property
    def _most_rows(self) -> int:
        """How many rows a call takes, as far as the connector and earlier calls have shown."""
        return min(self.context.rows_per_call, self.context.connector.rules.rows_per_call)

    async def _send_in_pieces(self, pairs: Sequence[RowEnrolment], tries: int) -> None:
        count = math.ceil(len(pairs) / self._most_rows)
        size = math.ceil(len(pairs) / max(1, count))
        for start in range(0, len(pairs), max(1, size)):
            await self._send(pairs[start : start + size], tries)

    async def _record_response(
        self, pairs: Sequence[RowEnrolment], confirmed_by_row: Mapping[int, RemoteRegistration], tries: int
    ) -> None:
        confirmed = [(work, confirmed_by_row[work.row_id]) for work, _ in pairs if work.row_id in confirmed_by_row]
        await self.context.ledger.commit(
            *combined(intents.registered(self.claim, work, confirmed_outcome(answer)) for work, answer in confirmed)
        )
        self.context.registered |= {work.registration.id for work, answer in confirmed if not answer.existed}
        if confirmed:
            self._named_refusals = 0
            self.context.breaker.record_success(self.claim.course_key)
            self._learn_course(confirmed[0][1])
        missing = [pair for pair in pairs if pair[0].row_id not in confirmed_by_row]
        if missing:
            message = "The LMS accepted the call, but its answer does not name this candidate"
            lost = AnswerLost(message, code="no_answer_for_row")
            await self._handle_lost_answer(missing, lost, tries)

    def _learn_course(self, answer: RemoteRegistration) -> None:
        if answer.course_id is not None:
            self.context.course_ids.setdefault(self.claim.course_key, answer.course_id)

    async def _handle_lost_answer(self, pairs: Sequence[RowEnrolment], lost: AnswerLost, tries: int) -> None:
        absent = await reconcile_registrations(self.context, self.claim, pairs, lost)
        if not absent:
            return
        if tries < MAX_TRIES:
            await self._send(absent, tries + 1)
            return
        await self.context.ledger.commit(
            *(intents.row_outcome(self.claim, work, gave_up_outcome(lost, tries)) for work, _ in absent)
        )

    async def _handle_refusal(self, pairs: Sequence[RowEnrolment], refused: Refused) -> None:
        writes = (intents.registration_not_made(self.claim, work) for work, _ in pairs)
        await self.context.ledger.commit(*combined(writes))
        await self._raise_if_course_refused(pairs, refused)
        if len(pairs) == 1:
            await self._reject(pairs[0], refused)
        elif self.budget <= 0:
            await self._give_up(pairs, refused)
        else:
            await self._split(pairs, refused)

    async def _split(self, pairs: Sequence[RowEnrolment], refused: Refused) -> None:
        if self.budget >= MAX_CALLS_PER_ROW * len(pairs) - 1:
            self.context.bisected += 1
        if refused.status == _TOO_LARGE or _SIZE_PATTERN.search(refused.message):
            self.context.rows_per_call = math.ceil(len(pairs) / 2)
        named = _rows_named_by(pairs, refused) if self._named_refusals < MAX_NAMED_REFUSALS else []
        self._named_refusals += bool(named)
        middle = len(pairs) // 2
        good = [pair for pair in pairs if pair not in named]
        parts = (good, *([pair] for pair in named)) if named and good else (pairs[:middle], pairs[middle:])
        for part in parts:
            await self._send(part)
        made = self.context.registered
        if bulk(self.context.connector) and all(work.registration.id in made for work, _ in pairs):
            # None of them was refused in a smaller call: the larger one was cut off within a row.
            await self.context.learn_rows_per_call(len(pairs) - middle)

    async def _reject(self, pair: RowEnrolment, refused: Refused) -> None:
        context, claim = self.context, self.claim
        work, enrolment = pair
        if refused.code == "already_registered":
            await self._record_already_registered(work, enrolment, refused)
            return
        outcome = _rejected_outcome(refused, refused.code)
        too_many = context.is_refused_too_often(claim.course_key, refused)
        if too_many and claim.course_key not in context.breaker.proven:
            raise self._course_stopped([pair], refused)
        await context.ledger.commit(intents.row_outcome(self.claim, work, outcome))
        if too_many:
            raise context.halt(
                "breaker_open",
                f"The LMS refused {counted(context.breaker.limit, 'registration')} in a row in the same way "
                f"({without_people(refused.message, [work.row.candidate])}); fix the cause, then resume the job",
                refused.status,
            )

    async def _record_already_registered(self, work: WorkItem, enrolment: Enrolment, refused: Refused) -> None:
        """Record that the candidate was registered before, as the refusal says and a look-up confirms.

        When the look-up finds no registration the row is rejected: the refusal was about something else.
        """
        found: RegistrationLookup = LookupMiss.NO_LOOKUP
        if self.context.connector.rules.lists_people:
            found = (await self.context.connector.find_registrations([enrolment]))[work.row_id]
        if found is LookupMiss.ABSENT:
            await self.context.ledger.commit(
                intents.row_outcome(self.claim, work, _rejected_outcome(refused, "registration_refused"))
            )
            return
        self.context.breaker.record_success(self.claim.course_key)
        registration_id = found.registration_id if isinstance(found, RemoteRegistration) else None
        outcome = RowOutcome(
            status=RowStatus.ALREADY_REGISTERED, registration_id=registration_id, http_status=refused.status
        )
        await self.context.ledger.commit(*intents.registered(self.claim, work, outcome))

    async def _raise_if_course_refused(self, pairs: Sequence[RowEnrolment], refused: Refused) -> None:
        """Stop when the refusal is about the course: every further row of it would be a wasted call."""
        proven = self.claim.course_key in self.context.breaker.proven
        ids = [enrolment.candidate_id for _, enrolment in pairs]
        all_created = all(work.candidate.job_id is not None or work.candidate.lms_id is None for work, _ in pairs)
        if proven or refused.code == "already_registered":
            return
        says_so = refused.code in _ABOUT_COURSE
        if not (says_so or is_about_course(refused, ids, all_created=all_created)):
            return
        if self.context.only_course:
            raise self._course_stopped(pairs, refused)
        await self.context.ledger.commit(
            *(
                intents.row_outcome(self.claim, work, _rejected_outcome(refused, _course_code(refused)))
                for work, _ in pairs
            )
        )
        raise self._course_stopped(pairs, refused)

    def _course_stopped(self, pairs: Sequence[RowEnrolment], refused: Refused) -> CourseStopped:
        said = without_people(refused.message, [work.row.candidate for work, _ in pairs])
        return CourseStopped(
            self.claim.course_key,
            "course_refused",
            f"The LMS refused the course {self.claim.course_key} ({refused.status}: {said}); "
            "check its id, that it is published and that this account may register on it",
        )

    async def _give_up(self, pairs: Sequence[RowEnrolment], refused: Refused) -> None:
        outcome = RowOutcome(
            status=RowStatus.NOT_ATTEMPTED,
            error=f"The LMS refused this row together with others ({refused.message}), and splitting the batch "
            "used up its calls; resume the job to continue",
            code="bisecting_ended",
            http_status=refused.status,
        )
        await self.context.ledger.commit(*(intents.row_outcome(self.claim, work, outcome) for work, _ in pairs))


def _course_code(refused: Refused) -> str:
    return refused.code if refused.code in {*_ABOUT_COURSE, "ambiguous_course"} else "unknown_course"


def _rejected_outcome(refused: Refused, code: str) -> RowOutcome:
    return RowOutcome(status=RowStatus.REJECTED, error=refused.message, code=code, http_status=refused.status)


def _rows_named_by(pairs: Sequence[RowEnrolment], refused: Refused) -> list[RowEnrolment]:
    """Return the rows that the refusal names, by the candidate's id or by the index in the call."""
    text = refused.text or refused.message
    places = {int(index) for index in _INDEX_PATTERN.findall(text)}
    words = set(re.findall(r"\w+", text))
    return [pair for place, pair in enumerate(pairs) if place in places or pair[1].candidate_id in words]
