"""Let the tests compile each SQL statement once in a process, not once for each ledger that they open.

SQLAlchemy keeps what it compiled for an engine and its dialect. What a statement says is the same for all ledgers
in one kind of database, and compiling it takes longer than running it on a few rows.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

#: More than all statements of the product.
MOST_STATEMENTS = 5000
#: For each kind of database a dialect that knows its server, and what was compiled with it.
_shared: dict[type, tuple[Any, Any]] = {}


def share_compiled_statements() -> None:
    """Let the engines that this process opens from now on share what was compiled."""
    for dialect in (SQLiteDialect_pysqlite, PGDialect_psycopg):
        dialect.engine_created = classmethod(_share)  # type: ignore[method-assign, assignment]


def _share(dialect: type, engine: Any) -> None:
    if dialect in _shared:
        engine.dialect, engine._compiled_cache = _shared[dialect]
        return

    @event.listens_for(engine, "connect")
    def _connected(_connection: Any, _record: Any) -> None:
        engine._compiled_cache.capacity = MOST_STATEMENTS
        _shared.setdefault(dialect, (engine.dialect, engine._compiled_cache))
