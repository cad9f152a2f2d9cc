"""Limits of an LMS that it shows only when it is asked, or by what it leaves out, as it showed them last."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from worker.ledger import key_value
from worker.ledger.database import now

if TYPE_CHECKING:
    from worker.ledger.database import Transaction

#: A limit that was learned from calls that were cut off is tried again after this time (seconds).
CUT_OFF_KEPT_SECONDS = 7 * 24 * 3600.0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """What arrived of calls that the LMS's server cut off without an error; None where it cut off none."""

    #: How many people of a creating call, and rows of a registering one.
    people_per_create: int | None = None
    rows_per_call: int | None = None

    def cap_people(self, most: int) -> int:
        """Return how many people of a creating call arrive, of at most this number."""
        return most if self.people_per_create is None else min(most, self.people_per_create)

    def cap_rows(self, most: int) -> int:
        """Return how many rows of a registering call arrive, of at most this number."""
        return most if self.rows_per_call is None else min(most, self.rows_per_call)


def last_cut_off(tx: Transaction, connection: str) -> CutOff:
    """Return what arrived of the calls of a connection that were cut off in the last days."""
    key = f"cut_off:{connection}"
    stored, at = key_value.get(tx, key), key_value.updated_at(tx, key)
    if not stored or at is None or now() - at > CUT_OFF_KEPT_SECONDS:
        return CutOff()
    return CutOff(**stored)


def save_cut_off(tx: Transaction, connection: str, seen: CutOff) -> None:
    """Save what arrived of a call that was cut off; the smaller number counts."""
    known = asdict(last_cut_off(tx, connection))
    smaller = {
        name: min((each for each in (known[name], value) if each is not None), default=None)
        for name, value in asdict(seen).items()
    }
    key_value.put(tx, f"cut_off:{connection}", smaller)
