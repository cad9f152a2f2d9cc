"""The migrations build what schema.py says, once, whoever opens the ledger and however often."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from tests.builders import a_job, lines_of, open_ledger
from worker.ledger import database as databases
from worker.ledger import schema

if TYPE_CHECKING:
    from pathlib import Path

OPEN = """
import sys, time
from worker.ledger.database import open_engine
time.sleep(max(0.0, float(sys.argv[2]) - time.time()))
engine = open_engine(sys.argv[1])
with engine.begin() as tx:
    print(tx.exec_driver_sql("SELECT count(*), max(version_num) FROM alembic_version").one())
engine.dispose()
"""


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(databases.MIGRATIONS))
    return ScriptDirectory.from_config(config)


def test_the_migrated_database_is_what_the_schema_says(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    with ledger.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        differences = compare_metadata(context, schema.metadata)
    ledger.close()

    assert differences == []


def test_references_and_their_deletions_are_what_the_schema_says(tmp_path: Path) -> None:
    """Autogenerate does not compare `ON DELETE` on SQLite."""
    ledger = open_ledger(tmp_path)
    inspector = inspect(ledger.engine)
    found = {
        (name, key["constrained_columns"][0], key["referred_table"], key["options"].get("ondelete"))
        for name in schema.metadata.tables
        for key in inspector.get_foreign_keys(name)
    }
    ledger.close()

    wanted = {
        (table.name, key.parent.name, key.column.table.name, key.ondelete)
        for table in schema.metadata.sorted_tables
        for key in table.foreign_keys
    }
    assert found == wanted


def test_head_is_the_newest_script_and_there_is_one_line_of_scripts() -> None:
    assert scripts().get_heads() == [databases.HEAD]


def test_opening_a_ledger_twice_is_harmless(tmp_path: Path) -> None:
    first = open_ledger(tmp_path)
    with first.write() as tx:
        a_job(tx)

    second = open_ledger(tmp_path)

    assert len(lines_of(second, schema.job)) == 1
    second.close()
    first.close()


def test_an_older_ledger_is_brought_up_to_date(tmp_path: Path) -> None:
    """An empty database is the oldest of all; a half-made one is mended by nobody but the transaction."""
    (tmp_path / "roster.db").touch()

    ledger = open_ledger(tmp_path)

    assert set(inspect(ledger.engine).get_table_names()) == {*schema.metadata.tables, "alembic_version"}
    ledger.close()


def test_processes_that_open_a_new_ledger_at_the_same_moment_all_work(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'roster.db'}"
    start = str(time.time() + 1.5)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, url, start],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    answers = [process.communicate(timeout=60) for process in processes]

    assert [(out.strip(), err[-500:]) for out, err in answers] == [(f"(1, '{databases.HEAD}')", "")] * len(
        processes
    )


def test_opening_a_new_ledger_waits_for_a_process_that_writes_to_it_before_write_ahead_logging(
    tmp_path: Path,
) -> None:
    """SQLite refuses the switch to write-ahead logging at once while another connection has the write lock."""
    path = tmp_path / "roster.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    lets_go = threading.Timer(0.3, other.execute, ["COMMIT"])
    lets_go.start()

    engine = databases.open_engine(f"sqlite:///{path}")

    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    engine.dispose()
    lets_go.join()
    other.close()
