"""What stops the guessing of passwords: waits that grow, by the name that is tried and by the host that tries."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from worker.ledger import accounts
from worker.ledger.accounts import Guesses
from worker.ledger.database import now

if TYPE_CHECKING:
    from worker.ledger.database import Transaction

#: So many wrong tries are free; a host may be a whole office.
FREE_OF_A_NAME, FREE_OF_A_HOST = 5, 20
#: The first wait, which doubles with each further try, and the longest for a name (seconds).
FIRST_WAIT, LONGEST_WAIT = 15.0, 900.0
#: Behind a proxy a host may be everybody: its longest wait slows a guesser down and locks nobody out (seconds).
LONGEST_WAIT_OF_A_HOST = 30.0
#: After this without a try all is forgotten (seconds).
FORGOTTEN_AFTER = 24 * 3600.0


def wait_after(failures: int, free: int) -> float:
    """Return how long nobody may try again after so many failures (seconds)."""
    return 0.0 if failures < free else min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - free, 30))


def locked_for(tx: Transaction, name: str, host: str) -> float:
    """Return how long nobody may try this name, or from this host (seconds); 0 when a try may be made.

    The try then counts as wrong already, until `forgive` says otherwise: so many at once are no way around.
    """
    at = now()
    tries = {about: accounts.find(tx, about) for about in sorted(_free(name, host))}
    left = max((each.locked_until or 0.0) - at if each else 0.0 for each in tries.values())
    if left > 0:
        return left
    for about, before in tries.items():
        failures = 1 + (before.failures if before and before.last_at > at - FORGOTTEN_AFTER else 0)
        wait = wait_after(failures, _free(name, host)[about])
        if about.startswith("host:"):
            wait = min(wait, LONGEST_WAIT_OF_A_HOST)
        accounts.keep(tx, about, Guesses(failures=failures, last_at=at, locked_until=at + wait if wait else None))
    return 0.0


def forgive(tx: Transaction, name: str, host: str) -> None:
    """Forget the tries of a name and a host, since the right password came; and those of long ago."""
    accounts.forget(tx, list(_free(name, host)), older_than=now() - FORGOTTEN_AFTER)


def _free(name: str, host: str) -> dict[str, int]:
    """Return how many tries are free, by what they are about; a name is hashed, for it may be a password."""
    mark = hashlib.sha256(name.strip().lower().encode("utf-8", "replace")).hexdigest()
    return {f"name:{mark}": FREE_OF_A_NAME, f"host:{host[:100]}": FREE_OF_A_HOST}
