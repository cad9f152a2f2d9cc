"""What becomes of an attempt to deliver a message, and when it is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from worker.errors import RosterError

#: What is claimed is nobody else's for so long: an attempt is over by then, or its process dead (seconds).
LEASE_SECONDS = 60.0
#: The pause after the first failed attempt; each further one is twice as long, up to the longest (seconds).
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 30.0, 4 * 3600.0
#: What could not be delivered for so long is given up (seconds).
GIVE_UP_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a receiver is waited for: in one step of an attempt, and in all of it (seconds)."""

    step: float = 10.0
    longest: float = 20.0


PATIENCE = Patience()


class Undelivered(RosterError):
    """The message did not reach its receiver; `final`: trying again would change nothing.

    Its text is ours: no word of the receiver's answer, no address with a secret in it.
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


def pause_after(attempts: int) -> float:
    """Return how long to wait after so many failed attempts, a little uneven so that receivers see no herd."""
    pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(attempts - 1, 20), LONGEST_PAUSE_SECONDS)
    return pause * random.uniform(0.8, 1.2)  # noqa: S311 - spreads herds, guards nothing
