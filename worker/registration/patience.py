"""How long an LMS that is away, or that refuses without a break, is waited for before a person is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from worker.errors import LmsUnavailable, RetryLater, StopJob
from worker.ledger.database import now

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
