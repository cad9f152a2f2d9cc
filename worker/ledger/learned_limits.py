"""Limits of an LMS that it shows only when it is asked, as it showed them last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.ledger import key_value

if TYPE_CHECKING:
    from worker.ledger.database import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedLimits:
    """What an LMS showed of its limits."""

    #: How many people one creating call accepts.
    people_per_create: int


def last_limits(tx: Transaction, connection: str) -> LearnedLimits | None:
    """Return what the LMS of a connection showed last; None when it was never asked."""
    stored = key_value.get(tx, f"limits:{connection}")
    return LearnedLimits(people_per_create=int(stored["people_per_create"])) if stored else None


def save_limits(tx: Transaction, connection: str, limits: LearnedLimits) -> None:
    """Save what the LMS of a connection showed."""
    key_value.put(tx, f"limits:{connection}", {"people_per_create": limits.people_per_create})
