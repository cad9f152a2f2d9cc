"""Let the tests write without waiting for the disk.

What has been written then outlives every process that is killed. It does not outlive a crash of the machine, which
no test brings about.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool


def _do_not_sync(connection: Any, record: Any, _proxy: Any) -> None:
    if isinstance(connection, sqlite3.Connection) and not record.info.get("unsynced"):
        connection.execute("PRAGMA synchronous=OFF")
        record.info["unsynced"] = True


def write_sqlite_without_sync() -> None:
    """Let all SQLite ledgers of this process write without syncing."""
    # Not at "connect": the product's own listener comes after this one then.
    event.listen(Pool, "checkout", _do_not_sync)


def write_files_without_sync() -> None:
    """Let this process write files without syncing."""
    os.fsync = lambda _descriptor: None


@contextmanager
def synced() -> Iterator[None]:
    """Let SQLite ledgers that are opened in the block sync as they do in production."""
    event.remove(Pool, "checkout", _do_not_sync)
    try:
        yield
    finally:
        write_sqlite_without_sync()
