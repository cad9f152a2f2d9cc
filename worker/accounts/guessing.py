"""Protection against password guessing: failed sign-ins of a name or a host lock it, for longer each time."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from worker.ledger import accounts
from worker.ledger.accounts import SignInFailures
from worker.ledger.database import now

if TYPE_CHECKING:
    from worker.ledger.database import Transaction

#: Failures before the first lock; a host may be a whole office.
FREE_FAILURES_PER_NAME, FREE_FAILURES_PER_HOST = 5, 20
#: The first lock, which doubles with each further failure, and the longest for a name (seconds).
FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS = 15.0, 900.0
#: The longest lock of a host (seconds); short, since behind a proxy all people have the same host.
MAX_HOST_WAIT_SECONDS = 30.0
#: After this without a failure the count starts at zero (seconds).
RESET_AFTER_SECONDS = 24 * 3600.0


def wait_after(failures: int, free: int) -> float:
    """Return for how long a number of failures locks a name or host (seconds)."""
    return 0.0 if failures < free else min(MAX_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(failures - free, 30))


def count_attempt(tx: Transaction, name: str, host: str) -> float:
    """Return for how long this name or host is locked (seconds); 0 when the sign-in may be attempted.

    The attempt then counts as failed until `reset`, so that many at once get no further than one after another.
    """
    at = now()
    failures_by_subject = {
        subject: accounts.find_failures(tx, subject) for subject in sorted(_free_failures(name, host))
    }
    left = max((each.locked_until or 0.0) - at if each else 0.0 for each in failures_by_subject.values())
    if left > 0:
        return left
    for subject, before in failures_by_subject.items():
        failures = 1 + (before.failures if before and before.last_at > at - RESET_AFTER_SECONDS else 0)
        wait = wait_after(failures, _free_failures(name, host)[subject])
        if subject.startswith("host:"):
            wait = min(wait, MAX_HOST_WAIT_SECONDS)
        accounts.save_failures(
            tx, subject, SignInFailures(failures=failures, last_at=at, locked_until=at + wait if wait else None)
        )
    return 0.0


def reset(tx: Transaction, name: str, host: str) -> None:
    """Delete the failures of a name and a host after a correct password, and all old ones."""
    accounts.delete_failures(tx, list(_free_failures(name, host)), older_than=now() - RESET_AFTER_SECONDS)


def _free_failures(name: str, host: str) -> dict[str, int]:
    """Return how many failures are free, by subject; the name is hashed, since it may be a password."""
    name_hash = hashlib.sha256(name.strip().lower().encode("utf-8", "replace")).hexdigest()
    return {f"name:{name_hash}": FREE_FAILURES_PER_NAME, f"host:{host[:100]}": FREE_FAILURES_PER_HOST}
