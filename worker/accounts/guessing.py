"""What stops the guessing of passwords: waits that grow, by the name that is tried and by the host that tries."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from worker.ledger import accounts
from worker.ledger.accounts import SignInFailures
from worker.ledger.database import now

if TYPE_CHECKING:
    from worker.ledger.database import Transaction

#: So many wrong tries are free; a host may be a whole office.
FREE_FAILURES_PER_NAME, FREE_FAILURES_PER_HOST = 5, 20
#: The first wait, which doubles with each further try, and the longest for a name (seconds).
FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS = 15.0, 900.0
#: Behind a proxy a host may be everybody: its longest wait slows a guesser down and locks nobody out (seconds).
MAX_HOST_WAIT_SECONDS = 30.0
#: After this without a try all is forgotten (seconds).
RESET_AFTER_SECONDS = 24 * 3600.0


def wait_after(failures: int, free: int) -> float:
    """Return how long nobody may try again after so many failures (seconds)."""
    return 0.0 if failures < free else min(MAX_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(failures - free, 30))


def count_attempt(tx: Transaction, name: str, host: str) -> float:
    """Return how long nobody may try this name, or from this host (seconds); 0 when a try may be made.

    The try then counts as wrong already, until `forgive` says otherwise: so many at once are no way around.
    """
    at = now()
    tries = {about: accounts.find_failures(tx, about) for about in sorted(_free_failures(name, host))}
    left = max((each.locked_until or 0.0) - at if each else 0.0 for each in tries.values())
    if left > 0:
        return left
    for about, before in tries.items():
        failures = 1 + (before.failures if before and before.last_at > at - RESET_AFTER_SECONDS else 0)
        wait = wait_after(failures, _free_failures(name, host)[about])
        if about.startswith("host:"):
            wait = min(wait, MAX_HOST_WAIT_SECONDS)
        accounts.save_failures(
            tx, about, SignInFailures(failures=failures, last_at=at, locked_until=at + wait if wait else None)
        )
    return 0.0


def reset(tx: Transaction, name: str, host: str) -> None:
    """Forget the tries of a name and a host, since the right password came; and those of long ago."""
    accounts.delete_failures(tx, list(_free_failures(name, host)), older_than=now() - RESET_AFTER_SECONDS)


def _free_failures(name: str, host: str) -> dict[str, int]:
    """Return how many tries are free, by what they are about; a name is hashed, for it may be a password."""
    mark = hashlib.sha256(name.strip().lower().encode("utf-8", "replace")).hexdigest()
    return {f"name:{mark}": FREE_FAILURES_PER_NAME, f"host:{host[:100]}": FREE_FAILURES_PER_HOST}
