"""Let the tests hash passwords cheaply: at the library's own cost, each takes a fifth of a second and 64 MB."""

from __future__ import annotations

from argon2 import PasswordHasher


def hash_passwords_cheaply() -> None:
    """Lower the costs that hashers have which are made from now on: rounds, memory (KB) and threads."""
    PasswordHasher.__init__.__defaults__ = (1, 8, 1, *(PasswordHasher.__init__.__defaults__ or ())[3:])
