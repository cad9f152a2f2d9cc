"""The circuit breaker: similar refusals in a row stop a course, or the job. And the outage budget. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.errors import HeldElsewhere, LmsUnavailable, LookupFailed, RetryLater, StopJob
from worker.ledger.database import now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.errors import Refused

#: This many single rows refused in a row with 403 or 404 mean that the course is refused.
MAX_UNPROVEN_REFUSALS = 3
_FORBIDDEN, _NOT_FOUND = 403, 404
#: Refusals whose messages are the same up to here are similar (characters).
_COMPARED = 300
_VARYING = re.compile(r"""\S+@\S+|"[^"]*"|“[^”]*”|'[^']*'|\d+""")
_COURSE = re.compile(r"\b(course|experience|learning ?experience|legal ?entity|pathway|programme)\b", re.IGNORECASE)
_PERSON = re.compile(
    r"\b(candidates?|learners?|users?|persons?|people|members?|e-?mail|behaviou?r)\b", re.IGNORECASE
)


def refusal_signature(refused: Refused) -> str:
    """Return what similar refusals share: status and message, without numbers, names and addresses."""
    return f"{refused.status} {' '.join(_VARYING.sub('…', refused.message[:_COMPARED]).casefold().split())}"


def is_about_course(refused: Refused, ids: Sequence[str], *, all_created: bool) -> bool:
    """Return whether a refusal is about the course: it says so, or it is a bare 404 that cannot mean a candidate.

    `ids` are the candidates of the call; `surely_there`: all of them were created through this ledger.
    """
    named = any(
        re.search(rf"\b{re.escape(candidate_id)}\b", refused.text or refused.message) for candidate_id in ids
    )
    if named or _PERSON.search(refused.message):
        return False
    return bool(_COURSE.search(refused.message)) or (all_created and refused.status == _NOT_FOUND)


@dataclass(slots=True)
class CircuitBreaker:
    """Counts similar refusals in a row, by subject (a course key, candidates); a success resets the count."""

    limit: int
    proven: set[str] = field(default_factory=set)
    _signature: dict[str, str] = field(default_factory=dict)
    _count: dict[str, int] = field(default_factory=dict)

    def record_success(self, subject: str) -> None:
        """Record that a call for this subject succeeded."""
        self.proven.add(subject)
        self._count.pop(subject, None)

    def record_refusal(self, subject: str, refused: Refused) -> bool:
        """Record a refusal of a single row; return True when there were too many similar ones in a row."""
        kind = refusal_signature(refused)
        same = self._signature.get(subject) == kind
        self._signature[subject] = kind
        self._count[subject] = self._count.get(subject, 0) + 1 if same else 1
        few = refused.status in {_FORBIDDEN, _NOT_FOUND} and subject not in self.proven
        return self._count[subject] >= (min(MAX_UNPROVEN_REFUSALS, self.limit) if few else self.limit)


#: How long an LMS that never answered is tried, and one that answered before (seconds).
FIRST_CONTACT_SECONDS = 12.0
UNREACHABLE_SECONDS = 300.0
#: Pauses in a row without a successful batch.
MAX_PAUSES = 30


@dataclass(slots=True)
class OutageBudget:
    """Counts failures in a row, and raises when there were too many."""

    clock: Callable[[], float] = now
    #: How long an LMS that answered before is tried (seconds).
    unreachable_seconds: float = UNREACHABLE_SECONDS
    _unreachable_since: float | None = None
    _pauses: int = 0

    def reset(self) -> None:
        """Record that a step succeeded."""
        self._unreachable_since, self._pauses = None, 0

    def record_failure(self, failure: RetryLater, *, answered: bool) -> None:
        """Record a step that must be retried; `answered`: the LMS has answered this process before.

        Raises StopJob when the budget is used up. Look-ups that fail have a time limit of their own, and what
        another batch holds is free when that batch or its process ends, however slow the LMS is for it.
        """
        if isinstance(failure, LookupFailed | HeldElsewhere):
            return
        if isinstance(failure, LmsUnavailable):
            self._unreachable_since = self._unreachable_since or self.clock()
            allowed = self.unreachable_seconds if answered else FIRST_CONTACT_SECONDS
            if self.clock() - self._unreachable_since > allowed:
                message = f"{failure.message}; check base_url and whether the LMS is up, then resume"
                raise StopJob("unreachable", message)
            return
        self._pauses += 1
        if self._pauses > MAX_PAUSES:
            message = f"{failure.message} {MAX_PAUSES} times in a row; resume the job later"
            raise StopJob("refused_for_long", message)
