"""Small values that the ledger keeps between runs, by key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from worker.ledger.database import now, upsert
from worker.ledger.schema import memory

if TYPE_CHECKING:
    from worker.ledger.database import Transaction


def remember(tx: Transaction, name: str, value: dict[str, Any]) -> None:
    """Keep a value between runs, in place of the older one."""
    values = {"value": value, "at": now()}
    upsert(tx, memory, {"name": name}, values, values)


def recall(tx: Transaction, name: str) -> dict[str, Any] | None:
    """Return what is kept under a name."""
    value: dict[str, Any] | None = tx.execute(select(memory.c.value).where(memory.c.name == name)).scalar()
    return value


def remembered_at(tx: Transaction, name: str) -> float | None:
    """Return when the value that is kept under a name was kept (seconds since 1970)."""
    return tx.execute(select(memory.c.at).where(memory.c.name == name)).scalar()
