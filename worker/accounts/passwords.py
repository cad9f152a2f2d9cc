"""Passwords: hashed by Argon2id, and checked in the same time whether or not there is such an account."""

from __future__ import annotations

import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from worker.errors import UsageError

SHORTEST, LONGEST = 12, 1_000
#: A check takes 64 MB; so many at once, or a crowd of strangers could use the memory up.
_turns = threading.BoundedSemaphore(2)
_hasher = PasswordHasher()


def hashed(password: str) -> str:
    """Return what is kept of a password; raises UsageError when it is too short."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageError(f"A password has at least {SHORTEST} characters (and at most {LONGEST:,})")
    if len(set(password)) < SHORTEST // 3:
        raise UsageError("This password repeats the same few characters; take a longer sentence, or a random one")
    with _turns:
        return _hasher.hash(password)


def fits(password: str, kept: str | None) -> bool:
    """Tell whether a password is the one that is kept; without one it takes as long, and is not."""
    with _turns:
        try:
            return _hasher.verify(kept or _nobodys(), password[: LONGEST + 1]) and kept is not None
        except (VerificationError, InvalidHashError):
            return False


@cache
def _nobodys() -> str:
    return _hasher.hash("the password of nobody at all")
