"""A ledger of an older version, left in the middle of a job, is upgraded, and its jobs go on.

tests/older_version.json is what version 0004 of the ledger had when its worker was killed: of 12 people 4 were
created, 2 of these registered, and 2 more registered at the LMS without an answer; the roster of a second job was
not read. Beside it what the LMS had, and the messages that were in the broker.
"""

from __future__ import annotations

import base64
import inspect
import json
import time
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from kombu.serialization import loads, prepare_accept_content
from sqlalchemy import JSON, Boolean, MetaData, Table, create_engine, text

from tests.conftest import people
from worker.celery import make_app
from worker.ledger.database import MIGRATIONS
from worker.settings import Settings

OLDER = (Path(__file__).parents[1] / "older_version.json").read_text("utf-8")
PEOPLE, UNREAD = 12, 3
#: Larger numbers are times (seconds since 1970).
YEAR_2001 = 1e9


def fill_older_ledger(url: str, folder: Path) -> None:
    """Make a ledger as the older version left it a quarter of an hour ago, its files being in `folder`."""
    older = json.loads(OLDER.replace("FOLDER", str(folder)))
    engine, config, tables = create_engine(url), Config(), MetaData()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, older["version"])
    tables.reflect(engine)
    shift = time.time() - 900 - older["tables"]["job"][0]["created_at"]
    with engine.begin() as tx:
        for name, records in older["tables"].items():
            for record in records:
                tx.execute(tables.tables[name].insert().values(as_values(tables.tables[name], record, shift)))
            if engine.dialect.name == "postgresql" and "id" in records[0]:
                tx.execute(text(f"select setval('{name}_id_seq', {len(records)})"))
    engine.dispose()


def as_values(table: Table, record: dict[str, Any], shift: float) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in record.items():
        kind = table.columns[name].type
        values[name] = value
        if isinstance(kind, JSON):
            values[name] = json.loads(value)
        elif isinstance(kind, Boolean):
            values[name] = bool(value)
        elif isinstance(value, float) and value > YEAR_2001:
            values[name] = value + shift
    return values


def fill_lms(lms: Any) -> None:
    """Give the LMS what the older version had sent to it; the ids are the same, since they are counted."""
    older = json.loads(OLDER)
    keys = {"X-Api-Key": "sandbox-key", "X-Api-Secret": "sandbox-secret"}
    for path in ("users", "registrations"):
        for body in older["people" if path == "users" else path]:
            lms.client.post(f"/api/v2/{path}/", json=body, headers=keys).raise_for_status()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_jobs_of_an_older_version_go_on_after_the_upgrade(sandbox, office, kind, request):
    lms = sandbox()
    terminal = office(lms, "kmi", lookup_pauses=[0.0, 0.1])
    (terminal.folder / "roster.db").unlink()
    if kind == "postgresql":
        terminal.environment["ROSTER_LEDGER"] = request.getfixturevalue("empty_database")
    fill_lms(lms)
    ledger = terminal.environment.get("ROSTER_LEDGER", f"sqlite:///{terminal.folder}/roster.db")
    fill_older_ledger(ledger, terminal.folder)
    unread = json.loads(OLDER)["tables"]["job"][1]["kept_at"].replace("FOLDER", str(terminal.folder))
    Path(unread).parent.mkdir()
    terminal.people("autumn.csv", UNREAD, first=50).rename(unread)

    resumed = terminal.resume(1)
    read = terminal.resume(2)

    assert (resumed.code, resumed.counts) == (0, {"registered": PEOPLE})
    assert (read.code, read.counts) == (0, {"registered": UNREAD})
    assert {row["_created"] for row in resumed.rows} == {"true"}
    assert lms.changes == {"create_user": PEOPLE + UNREAD, "create_registration": PEOPLE + UNREAD}
    again = terminal.roster("again.csv", people(PEOPLE))
    assert terminal.run(again).counts == {"already_registered": PEOPLE}


@pytest.mark.parametrize("message", json.loads(OLDER)["messages"], ids=lambda each: each["headers"]["argsrepr"])
def test_a_message_of_an_older_version_calls_a_task_of_this_one(message):
    """Messages that are in the broker while Roster is upgraded are taken by the new workers."""
    app = make_app(Settings(broker="redis://localhost/0"))
    app.loader.import_default_modules()
    body = base64.b64decode(message["body"])
    accepted = prepare_accept_content(app.conf.accept_content)

    (number,), keywords, _ = loads(body, message["content-type"], message["content-encoding"], accept=accepted)

    task = app.tasks[message["headers"]["task"]]
    assert inspect.signature(task.run).bind(number, **keywords)
    assert message["headers"]["argsrepr"].split(" of ")[0].endswith(f" {number}")
    assert message["properties"]["delivery_info"]["routing_key"] == app.conf.task_default_queue
