"""The migrations build what schema.py says, once, from every older version, and keep what is in the ledger."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Engine,
    Float,
    Integer,
    MetaData,
    Table,
    create_engine,
    inspect,
    select,
)

from tests.builders import a_job, open_ledger, records_of
from worker.intake.headers import match_headings
from worker.intake.roster_file import open_roster
from worker.intake.rows import parse_rows
from worker.ledger import accounts, importing, schema
from worker.ledger import database as databases
from worker.ledger.transactions import Ledger
from worker.model import JobState, RowRules

if TYPE_CHECKING:
    from pathlib import Path

    from worker.intake.rows import ParsedRow

#: Tables and columns that migration 0005 renames, by their names at 0004.
NEW_TABLES = {
    "call": "call_count",
    "dropped": "dropped_file",
    "guess": "sign_in_failure",
    "memory": "key_value",
    "notice": "webhook_event",
}
NEW_COLUMNS = {
    "audit": {"who": "actor", "act": "action"},
    "batch": {"rung_at": "enqueued_at"},
    "candidate": {"doing": "pending_action"},
    "dropped": {"goal": "target_path", "changed": "modified_at", "at": "updated_at"},
    "guess": {"about": "subject"},
    "job": {
        "kept_at": "stored_path",
        "rung_at": "enqueued_at",
        "dropped_by": "submitted_by",
        "told_at": "notified_at",
    },
    "memory": {"name": "key", "at": "updated_at"},
    "message": {"mark": "dedup_key", "at": "created_at"},
    "notice": {"mark": "body_hash", "place": "position", "at": "received_at", "fate": "status"},
    "registration": {"doing": "pending_action"},
    "schedule": {"look": "last_seen_file"},
    "session": {"mark": "secret_hash"},
    "token": {"mark": "secret_hash"},
}

#: Tables that migrations after 0005 add.
LATER_TABLES = {"job_relation", "known_browser", "person_claim", "report_file", "roster_source"}

OPEN = """
import sys, time
from worker.ledger.database import open_engine
time.sleep(max(0.0, float(sys.argv[2]) - time.time()))
engine = open_engine(sys.argv[1])
with engine.begin() as tx:
    print(tx.exec_driver_sql("SELECT count(*), max(version_num) FROM alembic_version").one())
engine.dispose()
"""


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(databases.MIGRATIONS))
    return config


def differences(engine: Engine) -> list[Any]:
    """Return what autogenerate would change to bring the database to what schema.py says."""
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return list(compare_metadata(context, schema.metadata))


def names_in(engine: Engine) -> set[tuple[str, str | None]]:
    """Return (table, name) of all constraints and indexes of a database."""
    inspector = inspect(engine)
    found: set[tuple[str, str | None]] = set()
    for table in schema.metadata.tables:
        found.add((table, inspector.get_pk_constraint(table)["name"]))
        for each in (
            *inspector.get_foreign_keys(table),
            *inspector.get_unique_constraints(table),
            *(index for index in inspector.get_indexes(table) if not index["unique"]),
        ):
            found.add((table, each["name"]))
    return found


def names_in_schema() -> set[tuple[str, str | None]]:
    """Return (table, name) of all constraints and indexes that schema.py says, by its naming convention."""
    built = create_engine("sqlite://")
    schema.metadata.create_all(built)
    names = names_in(built)
    built.dispose()
    return names


def test_the_migrated_database_is_what_the_schema_says(ledger: Ledger) -> None:
    assert differences(ledger.engine) == []


def test_constraints_and_indexes_have_the_names_of_the_convention(ledger: Ledger) -> None:
    assert names_in(ledger.engine) == names_in_schema()


def test_references_and_their_deletions_are_what_the_schema_says(ledger: Ledger) -> None:
    """Autogenerate does not compare `ON DELETE` on SQLite."""
    inspector = inspect(ledger.engine)
    found = {
        (name, key["constrained_columns"][0], key["referred_table"], key["options"].get("ondelete"))
        for name in schema.metadata.tables
        for key in inspector.get_foreign_keys(name)
    }

    wanted = {
        (table.name, key.parent.name, key.column.table.name, key.ondelete)
        for table in schema.metadata.sorted_tables
        for key in table.foreign_keys
    }
    assert found == wanted


def test_head_is_the_newest_script_and_the_scripts_do_not_branch() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [databases.HEAD]


def build(url: str, revision: str) -> MetaData:
    """Build a ledger of an older version at `url` and fill every table; return its tables."""
    engine = create_engine(url)
    config = alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    tables = MetaData()
    tables.reflect(engine)
    with engine.begin() as tx:
        for table in tables.sorted_tables:
            if table.name != "alembic_version":
                for number in (1, 2, 3):
                    tx.execute(table.insert().values(**values_for(table, number)))
    engine.dispose()
    return tables


def values_for(table: Table, number: int) -> dict[str, Any]:
    """Return a record in which every value is different; the last one has only what is not nullable."""
    return {
        column.name: value_for(column, number, position)
        for position, column in enumerate(table.columns)
        if not (column.name == "id" or (number == 3 and column.nullable))
    }


def value_for(column: Column[Any], number: int, position: int) -> Any:
    if column.foreign_keys:
        return number
    if isinstance(column.type, Boolean):
        return number % 2 == 1
    if isinstance(column.type, JSON):
        return {column.name: [number, None, "ü"]}
    if isinstance(column.type, Integer):
        return 100 * number + position
    if isinstance(column.type, Float):
        return 1.7e9 + 100 * number + position + 0.123456
    return f"{number}-{column.name}"[: getattr(column.type, "length", None)]


def records(engine: Engine, table: Table) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        query = select(table).order_by(*table.primary_key.columns)
        return [dict(record) for record in connection.execute(query).mappings()]


def renamed(table: str, record: dict[str, Any]) -> dict[str, Any]:
    names = NEW_COLUMNS.get(table, {})
    return {names.get(name, name): value for name, value in record.items()}


def test_standard_names_keep_every_value_of_an_older_ledger(empty_url: str) -> None:
    old = build(empty_url, "0004")
    engine = create_engine(empty_url)
    before = {
        NEW_TABLES.get(table.name, table.name): [renamed(table.name, each) for each in records(engine, table)]
        for table in old.sorted_tables
        if table.name != "alembic_version"
    }
    engine.dispose()

    upgraded = databases.open_engine(empty_url)

    assert NEW_TABLES.keys() < old.tables.keys()
    assert before.keys() == schema.metadata.tables.keys() - LATER_TABLES
    assert {name: len(found) for name, found in before.items()} == dict.fromkeys(before, 3)
    for name, found in before.items():
        after = records(upgraded, schema.metadata.tables[name])
        assert (name, [{column: each[column] for column in found[0]} for each in after]) == (name, found)
    assert differences(upgraded) == []
    assert names_in(upgraded) == names_in_schema()
    upgraded.dispose()


def test_older_accounts_and_tokens_can_be_told_apart_after_the_upgrade(empty_url: str) -> None:
    old = build(empty_url, "0005")
    engine = create_engine(empty_url)
    names = {1: "Ärger", 2: "ärger", 3: "ben\u212a"}
    with engine.begin() as tx:
        for id_, name in names.items():
            tx.execute(old.tables["account"].update().filter_by(id=id_).values(name=name, role="viewer"))
            tx.execute(old.tables["token"].update().filter_by(id=id_).values(account_id=max(id_, 2), name=""))
        tx.execute(old.tables["token"].update().filter_by(id=3).values(account_id=2, name="token-1"))
    engine.dispose()

    upgraded = databases.open_engine(empty_url)

    with upgraded.begin() as tx:
        typed = ("Ärger", "ärger", "ÄRGER", "ärger#2", "benk")
        found = [accounts.find_account(tx, name) for name in typed]
        assert [each and each.id for each in found] == [1, 2, 1, 2, 3]
        tokens = tx.execute(
            select(schema.token.c.account_id, schema.token.c.name).order_by(schema.token.c.id)
        ).all()
        assert [tuple(each) for each in tokens] == [(2, "token-1"), (2, "token-2"), (2, "token-1-3")]
        assert len(tx.execute(select(schema.session)).all()) == 3
    upgraded.dispose()


def test_records_are_added_to_an_upgraded_ledger_after_those_that_it_has(empty_url: str) -> None:
    build(empty_url, "0004")

    upgraded = databases.open_engine(empty_url)

    with upgraded.begin() as tx:
        for table in schema.metadata.sorted_tables:
            key = tx.execute(table.insert().values(**values_for(table, 4) | references(table))).inserted_primary_key
            assert "id" not in table.columns or key == (4,)
    upgraded.dispose()


def references(table: Table) -> dict[str, int]:
    return {column.name: 3 for column in table.columns if column.foreign_keys}


def test_opening_a_ledger_twice_is_harmless(tmp_path: Path) -> None:
    first = open_ledger(tmp_path)
    with first.write() as tx:
        a_job(tx)

    second = open_ledger(tmp_path)

    assert len(records_of(second, schema.job)) == 1
    second.close()
    first.close()


def test_an_older_ledger_is_brought_up_to_date(tmp_path: Path) -> None:
    """An empty database is the oldest of all; a transaction keeps a migration from being half done."""
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


#: A person whom a roster of version 0005 named, and how its reader read the cells.
OLD_ROSTER = (
    {"email": "weiß@x.example", "first_name": "Bob", "last_name": "Weiß"},
    {"email": "jörg@müller.example", "first_name": "Jörg", "last_name": "Delta"},
    {"external_id": "A\u200d-1", "email": "ana@x.example", "first_name": "Ana", "last_name": "Alpha"},
    {"external_id": '="00123"', "email": "'cam@x.example", "first_name": "Cam", "last_name": "Gamma"},
    {"email": "ann@x.example", "first_name": "Ann", "last_name": "Epsilon"},
)
#: The same cells as a roster has them, and how they are read now.
SAME_CELLS = (
    ("", "weiß@x.example", "Bob", "Weiß"),
    ("", "jörg@müller.example", "Jörg", "Delta"),
    ("A\u200d-1", "ana@x.example", "Ana", "Alpha"),
    ('"=""00123"""', "'cam@x.example", "Cam", "Gamma"),
    ("", "ann@x.example", "Ann", "Epsilon"),
)


def old_hash(kind: str, value: str | None) -> str | None:
    return hashlib.sha256(f"{kind}:{value}".encode()).hexdigest() if value else None


def fill_as_version_0005_did(url: str, *, purged: bool) -> None:
    """Register the people of OLD_ROSTER on course 58 in a ledger of version 0005."""
    engine = create_engine(url)
    config = alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
    tables = MetaData()
    tables.reflect(engine)
    candidate, registration, row, job = (
        tables.tables[name] for name in ("candidate", "registration", "row", "job")
    )
    with engine.begin() as tx:
        tx.execute(job.insert().values(**values_for(job, 1)))
        for number, who in enumerate(OLD_ROSTER, start=1):
            external = old_hash("ext", who.get("external_id"))
            email = old_hash("mail", who["email"].strip().casefold())
            keys = {"key": external or email, "external_key": external, "email_key": email}
            known = {"connection": "north", "state": "known", "lms_id": str(number), "row_id": number, "job_id": 1}
            tx.execute(candidate.insert().values(**keys, **known))
            made = {
                "connection": "north",
                "course_key": "58",
                "state": "registered",
                "lms_id": f"r{number}",
                "series": 0,
            }
            tx.execute(registration.insert().values(**made, candidate_id=number))
            parsed = json.dumps(
                {"row": number, "candidate": who, "course": {"course_id": "58"}}, ensure_ascii=False
            )
            tx.execute(
                row.insert().values(
                    job_id=1,
                    row=number,
                    cells=[],
                    parsed=None if purged else parsed,
                    status="registered",
                    error="",
                    error_code="",
                    column="",
                    created=False,
                    attempts=0,
                    candidate_id=number,
                    registration_id=number,
                )
            )
    engine.dispose()


def import_now(url: str, tmp_path: Path, *lines: tuple[str, ...]) -> list[tuple[str, int | None]]:
    """Read a roster into the ledger as this version does; return the status and the candidate of each row."""
    path = tmp_path / "roster.csv"
    head = "external_id,email,first_name,last_name,course_id\n"
    path.write_text(head + "".join(f"{','.join(line)},58\n" for line in lines), "utf-8")
    ledger = Ledger(databases.open_engine(url))
    with ledger.write() as tx:
        job_id = a_job(tx, JobState.QUEUED)
        file = open_roster(path, name="roster.csv")
        parsed = parse_rows(file, match_headings(file.headings), rules=RowRules(required_to_create=()))
        importing.add_rows(importing.inside(tx), job_id, "north", map(as_new_row, parsed), again=False)
        rows = tx.execute(select(schema.row).where(schema.row.c.job_id == job_id).order_by(schema.row.c.row)).all()
    ledger.close()
    return [(record.error_code or record.status, record.candidate_id) for record in rows]


def as_new_row(parsed: ParsedRow) -> importing.NewRow:
    assert parsed.row is not None, parsed.problems
    return importing.NewRow(row=parsed.raw.row, cells=parsed.raw.cells, parsed=parsed.row)


def test_people_whom_an_older_version_registered_are_known_by_the_same_cells(
    empty_url: str, tmp_path: Path
) -> None:
    fill_as_version_0005_did(empty_url, purged=False)

    assert import_now(empty_url, tmp_path, *SAME_CELLS) == [("already_registered", who) for who in (1, 2, 3, 4, 5)]
    assert import_now(empty_url, tmp_path, *SAME_CELLS) == [("already_registered", who) for who in (1, 2, 3, 4, 5)]


def test_people_are_known_by_the_corrected_cells_once_they_were_known_by_the_old_ones(
    empty_url: str, tmp_path: Path
) -> None:
    fill_as_version_0005_did(empty_url, purged=True)
    import_now(empty_url, tmp_path, *SAME_CELLS[2:4])

    corrected = (("A-1", "", "Ana", "Alpha"), ("00123", "", "Cam", "Gamma"))

    assert import_now(empty_url, tmp_path, *corrected) == [("already_registered", 3), ("already_registered", 4)]


def test_somebody_with_an_address_that_was_folded_to_the_same_is_another_person_after_the_migration(
    empty_url: str, tmp_path: Path
) -> None:
    fill_as_version_0005_did(empty_url, purged=False)

    (found,) = import_now(empty_url, tmp_path, ("", "weiss@x.example", "Ann", "Weiss"))

    assert found == ("not_attempted", 6)


def test_a_purged_person_whose_address_may_have_been_folded_is_neither_made_again_nor_mistaken(
    empty_url: str, tmp_path: Path
) -> None:
    fill_as_version_0005_did(empty_url, purged=True)

    found = import_now(empty_url, tmp_path, *SAME_CELLS[:2], ("S-1", "weiß@x.example", "Bob", "Weiß"))

    assert found == [("ambiguous_candidate", None), ("already_registered", 2), ("not_attempted", 6)]
