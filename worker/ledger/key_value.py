"""A key-value store in the ledger, for small values that are kept between runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete as delete_rows
from sqlalchemy import select

from worker.ledger import schema
from worker.ledger.database import now, upsert

if TYPE_CHECKING:
    from worker.ledger.database import Transaction


def put(tx: Transaction, key: str, value: dict[str, Any]) -> None:
    """Store a value, replacing an older one."""
    values = {"value": value, "updated_at": now()}
    upsert(tx, schema.key_value, {"key": key}, values, values)


def get(tx: Transaction, key: str) -> dict[str, Any] | None:
    """Return the value of a key; None when there is none."""
    value: dict[str, Any] | None = tx.execute(
        select(schema.key_value.c.value).where(schema.key_value.c.key == key)
    ).scalar()
    return value


def keys(tx: Transaction, prefix: str) -> list[str]:
    """Return the keys that begin with a text."""
    key = schema.key_value.c.key
    return list(tx.execute(select(key).where(key.startswith(prefix, autoescape=True)).order_by(key)).scalars())


def delete(tx: Transaction, key: str) -> None:
    """Delete a value, if there is one."""
    tx.execute(delete_rows(schema.key_value).where(schema.key_value.c.key == key))


def updated_at(tx: Transaction, key: str) -> float | None:
    """Return when the value of a key was stored (seconds since 1970)."""
    return tx.execute(select(schema.key_value.c.updated_at).where(schema.key_value.c.key == key)).scalar()
