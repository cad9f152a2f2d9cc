"""Let the tests compile each SQL statement once in a process, not once for each ledger that they open.

SQLAlchemy keeps what it compiled for an engine and its dialect. What a statement says is the same for all ledgers
on SQLite, and compiling it takes longer than running it on a few rows.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

#: More than all statements of the product.
MOST_STATEMENTS = 5000


def share_compiled_statements() -> None:
    """Let all SQLite engines that this process opens from now on share what was compiled."""
    first = create_engine("sqlite://", query_cache_size=MOST_STATEMENTS)
    first.connect().close()
    first.dispose()

    def share(_dialect: type[SQLiteDialect_pysqlite], engine: Any) -> None:
        engine.dialect, engine._compiled_cache = first.dialect, first._compiled_cache

    SQLiteDialect_pysqlite.engine_created = classmethod(share)  # type: ignore[method-assign, assignment]
