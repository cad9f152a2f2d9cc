"""Passwords: hashed by Argon2id, and checked in the same time whether or not there is such an account."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from worker.accounts import guessable
from worker.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_LENGTH, MAX_LENGTH = 12, 1_000
#: A hash takes 64 MB: this limits how many are computed at once.
_concurrent_hashes = threading.BoundedSemaphore(2)
_hasher = PasswordHasher()


def hash_password(password: str, *, personal: Sequence[str] = ()) -> str:
    """Return the hash of a password; `personal` are words that others try first, such as the account's name.

    Raises UsageError when it is too short, common or easy to guess.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise UsageError(f"A password needs at least {MIN_LENGTH} characters (and at most {MAX_LENGTH:,})")
    if len(set(password)) < MIN_LENGTH // 3:
        raise UsageError("This password repeats the same few characters; use a longer sentence or a random one")
    if guessable.is_guessable(password, personal):
        raise UsageError(
            "This password is easy to guess: it is a common one, or made of common words, the account's name, "
            "years or patterns such as 1234; use a longer sentence or a random one"
        )
    with _concurrent_hashes:
        return _hasher.hash(password)


def matches(password: str, password_hash: str | None) -> bool:
    """Return whether a password matches a hash; without a hash it takes as long, and is False."""
    with _concurrent_hashes:
        try:
            return (
                _hasher.verify(password_hash or _dummy_hash(), password[: MAX_LENGTH + 1])
                and password_hash is not None
            )
        except (VerificationError, InvalidHashError):
            return False


@cache
def _dummy_hash() -> str:
    return _hasher.hash("the password of no account")
