"""The circuit breaker: refusals of one kind in a row stop a course, or the job, before they cost more. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.errors import LmsUnavailable, RetryLater, StopJob
from worker.ledger.database import now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.errors import Refused

#: So many single rows refused for the path or the right to it, and it is the course.
FEW = 3
_FORBIDDEN, _NOT_FOUND = 403, 404
_VARYING = re.compile(r"""\S+@\S+|"[^"]*"|“[^”]*”|'[^']*'|\d+""")
_COURSE = re.compile(r"\b(course|experience|learning ?experience|legal ?entity|pathway|programme)\b", re.IGNORECASE)
_PERSON = re.compile(
    r"\b(candidates?|learners?|users?|persons?|people|members?|e-?mail|behaviou?r)\b", re.IGNORECASE
)


def kind_of(refused: Refused) -> str:
    """Return what refusals of one kind share: status and words, without numbers, names and addresses."""
    return f"{refused.status} {' '.join(_VARYING.sub('…', refused.message).casefold().split())}"


def speaks_of_course(refused: Refused, ids: Sequence[str], *, surely_there: bool) -> bool:
    """Tell whether a refusal means the course: it says so, or it is a bare 404 that can mean no candidate.

    `ids` are the candidates of the call; `surely_there` whether all of them were created through this ledger.
    """
    named = any(
        re.search(rf"\b{re.escape(candidate_id)}\b", refused.text or refused.message) for candidate_id in ids
    )
    if named or _PERSON.search(refused.message):
        return False
    return bool(_COURSE.search(refused.message)) or (surely_there and refused.status == _NOT_FOUND)


@dataclass(slots=True)
class Breaker:
    """Counts refusals in a row, by course; a success starts the count anew."""

    limit: int
    proven: set[str] = field(default_factory=set)
    _kind: dict[str, str] = field(default_factory=dict)
    _count: dict[str, int] = field(default_factory=dict)

    def succeeded(self, subject: str) -> None:
        """Note that a call for this course (or for candidates) went well."""
        self.proven.add(subject)
        self._count.pop(subject, None)

    def refused(self, subject: str, refused: Refused) -> bool:
        """Note a refusal of a single row; True when there have been too many of its kind in a row."""
        kind = kind_of(refused)
        same = self._kind.get(subject) == kind
        self._kind[subject] = kind
        self._count[subject] = self._count.get(subject, 0) + 1 if same else 1
        few = refused.status in {_FORBIDDEN, _NOT_FOUND} and subject not in self.proven
        return self._count[subject] >= (min(FEW, self.limit) if few else self.limit)


#: How long an LMS that never answered is tried, and one that did before (seconds).
FIRST_CONTACT_SECONDS = 12.0
UNREACHABLE_SECONDS = 300.0
#: Pauses in a row without one batch that went well.
MOST_PAUSES = 30


@dataclass(slots=True)
class Patience:
    """What has gone wrong in a row."""

    clock: Callable[[], float] = now
    _away_since: float | None = None
    _pauses: int = 0

    def restore(self) -> None:
        """Note that a step went well."""
        self._away_since, self._pauses = None, 0

    def lose(self, later: RetryLater, *, answered: bool) -> None:
        """Note a step that must be tried again; `answered`: the LMS has answered this process before.

        Raises StopJob when it has been enough.
        """
        if isinstance(later, LmsUnavailable):
            self._away_since = self._away_since or self.clock()
            if self.clock() - self._away_since > (UNREACHABLE_SECONDS if answered else FIRST_CONTACT_SECONDS):
                message = f"{later.message}; check base_url and whether the LMS is up, then resume"
                raise StopJob("unreachable", message)
            return
        self._pauses += 1
        if self._pauses > MOST_PAUSES:
            message = f"{later.message} {MOST_PAUSES} times in a row; resume the job later"
            raise StopJob("refused_for_long", message)
