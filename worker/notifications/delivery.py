"""Time limits of an attempt to deliver a message, its failure, and the delay before the next attempt."""

from __future__ import annotations

import random
from dataclasses import dataclass

from worker.errors import RosterError

#: No other process sends a claimed message for this long; the attempt is over by then (seconds).
LEASE_SECONDS = 60.0
#: The delay after the first failed attempt; it doubles with each further one, up to the maximum (seconds).
FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS = 30.0, 4 * 3600.0
#: Delivery is given up after this (seconds).
GIVE_UP_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits of an attempt: of one step, and in total (seconds)."""

    step: float = 10.0
    total: float = 20.0


TIMEOUTS = Timeouts()


class DeliveryError(RosterError):
    """The message did not reach its receiver; `final`: another attempt would fail too.

    Its text has nothing from the receiver's response, and no address, which may contain a secret.
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


def retry_delay(attempts: int) -> float:
    """Return the delay after `attempts` failed attempts, with jitter."""
    delay = min(FIRST_DELAY_SECONDS * 2.0 ** min(attempts - 1, 20), MAX_DELAY_SECONDS)
    return delay * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not security
