"""Tries to guess a password, counted by what they are about: a name, a host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from worker.ledger.database import take_turns, upsert
from worker.ledger.schema import guess

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Guesses:
    """How often somebody tried, and until when nobody may."""

    failures: int
    last_at: float
    locked_until: float | None


def find(tx: Connection, about: str) -> Guesses | None:
    """Return the tries about a name or host; only one transaction at a time looks and counts."""
    take_turns(tx, f"guess:{about}")
    query = select(guess.c.failures, guess.c.last_at, guess.c.locked_until).where(guess.c.about == about)
    line = tx.execute(query).first()
    return Guesses(failures=line.failures, last_at=line.last_at, locked_until=line.locked_until) if line else None


def keep(tx: Connection, about: str, tries: Guesses) -> None:
    """Keep the tries about a name or host."""
    values = {"failures": tries.failures, "last_at": tries.last_at, "locked_until": tries.locked_until}
    upsert(tx, guess, {"about": about}, values, values)


def forget(tx: Connection, about: Sequence[str], *, older_than: float) -> None:
    """Forget the tries about these, and all that are older than a moment."""
    tx.execute(delete(guess).where(guess.c.about.in_(about) | (guess.c.last_at < older_than)))
