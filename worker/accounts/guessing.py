"""Protection against password guessing: failed sign-ins are counted, and too many make further ones wait.

A name together with a host has few free failures and then waits that double. A name alone and a host alone have
more, and short waits: strangers can slow down guessing for an account or an office, but not keep its owner out.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from worker.ledger import accounts
from worker.ledger.accounts import SignInFailures
from worker.ledger.database import now

if TYPE_CHECKING:
    from worker.ledger.database import Transaction

#: Failures before the first wait: of a name from one host, of one known browser, of one session that changes its
#: password; of a name from all hosts together; of a host (which may be a whole office) with all names together.
FREE_FAILURES, FREE_FAILURES_PER_NAME, FREE_FAILURES_PER_HOST = 5, 20, 20
#: The first wait, which doubles with each further failure, and the longest (seconds).
FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS = 15.0, 900.0
#: A name alone and a host alone get one failure back each time this has passed, so no wait is longer (seconds).
RECOVERY_SECONDS = 30.0
#: After this without a failure all is forgotten (seconds).
RESET_AFTER_SECONDS = 24 * 3600.0
#: A browser is known for this long after its last sign-in (seconds).
BROWSER_KNOWN_SECONDS = 180 * 24 * 3600
#: Of an IPv6 address only the network counts: a household or server has all addresses of its network.
_IPV6_NETWORK_BITS = 64


def wait_after(failures: int) -> float:
    """Return how long a number of failures of one name from one host makes the next attempt wait (seconds)."""
    over = failures - FREE_FAILURES
    return 0.0 if over < 0 else min(MAX_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(over, 30))


def count_attempt(tx: Transaction, name: str, host: str, browser: str = "") -> float:
    """Return how long a sign-in must wait (seconds); 0 when it may be attempted.

    The attempt then counts as failed until `forgive`, so that many at once get no further than one after another.
    `browser` is the browser's cookie: one in which the account has signed in before has an allowance of its own,
    which no stranger can use up.
    """
    if is_known(tx, name, browser):
        return count_own(tx, _browser_subject(name, browser))
    at = now()
    pair, by_name, by_host = _subjects(name, host)
    found = {subject: accounts.find_failures(tx, subject) for subject in sorted((pair, by_name, by_host))}
    failures = {
        pair: _current(found[pair], at),
        by_name: _recovered(found[by_name], at),
        by_host: _recovered(found[by_host], at),
    }
    waits = [_wait_of(failures[pair], at), _short_wait(failures[by_host], FREE_FAILURES_PER_HOST, at)]
    # A host that never failed with this name is not kept waiting by the failures of others with it.
    if failures[pair].failures:
        waits.append(_short_wait(failures[by_name], FREE_FAILURES_PER_NAME, at))
    if (wait := max(waits)) > 0:
        return wait
    accounts.save_failures(tx, pair, _one_more(failures[pair], at))
    for subject in (by_name, by_host):
        before = failures[subject]
        accounts.save_failures(tx, subject, replace(before, failures=before.failures + 1))
    return 0.0


def count_own(tx: Transaction, subject: str) -> float:
    """Count an attempt that no stranger can make, as `count_attempt` does for a name from one host."""
    at = now()
    before = _current(accounts.find_failures(tx, subject), at)
    if (wait := _wait_of(before, at)) > 0:
        return wait
    accounts.save_failures(tx, subject, _one_more(before, at))
    return 0.0


def forgive(tx: Transaction, name: str, host: str, browser: str = "") -> None:
    """Forget the failures of a name from this host after a correct password, or those of a known browser.

    Of the name and the host only this attempt is taken back: an own sign-in must not give a guesser new attempts.
    """
    if is_known(tx, name, browser):
        forgive_own(tx, _browser_subject(name, browser))
        return
    pair, by_name, by_host = _subjects(name, host)
    for subject in sorted((by_name, by_host)):
        before = accounts.find_failures(tx, subject)
        if before is not None:
            accounts.save_failures(tx, subject, replace(before, failures=max(0, before.failures - 1)))
    forgive_own(tx, pair)


def forgive_own(tx: Transaction, subject: str) -> None:
    """Forget the failures of a subject of `count_own`, and all old ones."""
    accounts.delete_failures(tx, [subject], older_than=now() - RESET_AFTER_SECONDS)


def forget_old(tx: Transaction) -> None:
    """Forget old failures, and browsers in which nobody has signed in for long."""
    accounts.delete_failures(tx, [], older_than=now() - RESET_AFTER_SECONDS)
    accounts.forget_browsers(tx, seen_before=now() - BROWSER_KNOWN_SECONDS)


def is_known(tx: Transaction, name: str, browser: str) -> bool:
    """Return whether an account of this name has signed in with this browser before."""
    known = accounts.find_account(tx, name) if browser else None
    since = now() - BROWSER_KNOWN_SECONDS
    return known is not None and accounts.is_known_browser(tx, known.id, hash_browser(browser), since=since)


def hash_browser(browser: str) -> str:
    """Return the hash of a browser's cookie for the ledger."""
    return hashlib.sha256(f"browser:{browser[:200]}".encode("utf-8", "replace")).hexdigest()


def network_of(host: str) -> str:
    """Return what counts as one host: an IPv4 address, the network of an IPv6 address, or the text as it is."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host[:100]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _IPV6_NETWORK_BITS), strict=False))


def _subjects(name: str, host: str) -> tuple[str, str, str]:
    """Return what is counted: name with host, name, host. The name is hashed, since it may be a password."""
    name_hash, network = _hash_name(name), network_of(host)
    pair = hashlib.sha256(f"{name_hash}|{network}".encode("utf-8", "replace")).hexdigest()
    return f"pair:{pair}", f"name:{name_hash}", f"host:{network}"


def _browser_subject(name: str, browser: str) -> str:
    pair = hashlib.sha256(f"{_hash_name(name)}|{hash_browser(browser)}".encode()).hexdigest()
    return f"browser:{pair}"


def _hash_name(name: str) -> str:
    return hashlib.sha256(accounts.fold_name(name.strip()[:1000]).encode("utf-8", "replace")).hexdigest()


def _current(found: SignInFailures | None, at: float) -> SignInFailures:
    """Return failures that reset after a day."""
    if found is None or found.last_at <= at - RESET_AFTER_SECONDS:
        return SignInFailures(failures=0, last_at=at, locked_until=None)
    return found


def _one_more(before: SignInFailures, at: float) -> SignInFailures:
    failures = before.failures + 1
    wait = wait_after(failures)
    return SignInFailures(failures=failures, last_at=at, locked_until=at + wait if wait else None)


def _wait_of(found: SignInFailures, at: float) -> float:
    return (found.locked_until or 0.0) - at


def _recovered(found: SignInFailures | None, at: float) -> SignInFailures:
    """Return failures of which one is taken back for each RECOVERY_SECONDS since `last_at`."""
    if found is None or found.failures <= 0:
        return SignInFailures(failures=0, last_at=at, locked_until=None)
    steps = max(0, math.floor((at - found.last_at) / RECOVERY_SECONDS))
    if steps >= found.failures:
        return SignInFailures(failures=0, last_at=at, locked_until=None)
    return replace(found, failures=found.failures - steps, last_at=found.last_at + steps * RECOVERY_SECONDS)


def _short_wait(found: SignInFailures, free: int, at: float) -> float:
    return 0.0 if found.failures < free else found.last_at + RECOVERY_SECONDS - at
