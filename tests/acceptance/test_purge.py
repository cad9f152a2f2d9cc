"""Purge: what says who somebody is goes; the counts stay, and so does who was registered."""

from __future__ import annotations

import os
import pty
import re
import sqlite3
from pathlib import Path

import psycopg
import pytest

from tests.conftest import FIRST_NAME, LAST_NAME, ROSTER, people
from tests.queues import everything_in

#: Cells, addresses and the name of the file.
NAMES = re.compile(f"{FIRST_NAME}|{LAST_NAME}".encode(), re.IGNORECASE)
FILE = f"sick list of {LAST_NAME}.csv"


def let_time_pass(terminal, days):
    with sqlite3.connect(terminal.folder / "roster.db") as ledger:
        ledger.execute(
            "update job set created_at = created_at - ?, finished_at = finished_at - ?", [days * 86400] * 2
        )


def everything_kept(terminal):
    files = [*terminal.folder.glob("roster.db*"), *(terminal.folder / "roster-files").iterdir()]
    return b"".join(path.read_bytes() for path in files)


def test_an_old_job_loses_its_people_and_keeps_its_counts(sandbox, office):
    lms = sandbox()
    terminal = office(lms)
    terminal.people("roster.csv", 4)
    job = terminal.run("roster.csv").job
    before = terminal.status(job)
    let_time_pass(terminal, 100)
    assert FIRST_NAME.casefold().encode() in everything_kept(terminal).lower()

    assert "1 job purged" in terminal.type("purge", "--older-than", "90d").out

    kept = everything_kept(terminal)
    assert FIRST_NAME.casefold().encode() not in kept.lower()
    after = terminal.status(job)
    assert {key: after[key] for key in ("total", "by_status", "calls")} == {
        key: before[key] for key in ("total", "by_status", "calls")
    }
    for words in (("report", job), ("retry", job)):
        refused = terminal.type(*words)
        assert refused.code == 2
        assert "were purged on" in refused.err
    calls = lms.calls()
    assert terminal.run("roster.csv").counts == {"already_registered": 4}
    assert lms.calls() == calls


def test_where_the_reports_of_a_roster_are_is_known_until_its_last_job_is_purged(sandbox, office):
    terminal = office(sandbox())
    terminal.people("roster.csv", 2)
    terminal.run("roster.csv")
    let_time_pass(terminal, 100)
    again = terminal.run("roster.csv").job
    reports = sorted(path.name for path in (terminal.folder / "reports").iterdir())

    assert "1 job purged" in terminal.type("purge", "--older-than", "90d").out
    assert terminal.type("report", again).code == 0
    assert sorted(path.name for path in (terminal.folder / "reports").iterdir()) == reports

    assert "1 job purged" in terminal.type("purge", "--older-than", "0d").out
    assert b"roster.results" not in (terminal.folder / "roster.db").read_bytes()


def test_a_recent_job_and_one_that_waits_for_a_person_keep_everything(sandbox, office):
    terminal = office(sandbox(bad_days=["*:401:after=0"]))
    terminal.people("roster.csv", 2)
    terminal.type("run", "roster.csv")
    let_time_pass(terminal, 100)

    assert "0 jobs purged" in terminal.type("purge", "--older-than", "90d").out


@pytest.mark.parametrize("span", ["90", "tomorrow", "-3d"])
def test_an_invalid_period_is_rejected(office, span):
    result = office().type("purge", f"--older-than={span}")

    assert result.code == 2
    assert "for example 90d" in result.err


def found_below(*places):
    """Return the files in which, or in whose names, a person is named."""
    files = [path for place in places for path in ([place] if place.is_file() else place.rglob("*"))]
    return [
        path for path in files if NAMES.search(path.name.encode() + (path.read_bytes() if path.is_file() else b""))
    ]


def a_roster(terminal, count=30):
    """A roster of which one row is invalid, and whose headings, map and default values name a person."""
    rows = [*people(count), {**people(1, first=count + 1)[0], "email": f"{FIRST_NAME} at home"}]
    named = [{**row, f"notes of {LAST_NAME}": LAST_NAME, f"id of {FIRST_NAME}": row["email"]} for row in rows]
    return terminal.roster(FILE, named)


OPTIONS = ["--map", f"id of {FIRST_NAME}=login_name", "--save-map", "usual", "--set", f"city={LAST_NAME}"]


def test_nothing_of_a_purged_job_is_left_in_sqlite_or_in_the_folder_while_serve_runs(sandbox, office, web_server):
    terminal = office(sandbox())
    inbox = terminal.folder / "inbox"
    inbox.mkdir()
    config = terminal.folder / "roster.toml"
    config.write_text(f'{config.read_text("utf-8")}\n[folders.hr]\npath = "inbox"\nsettle_seconds = 0\n', "utf-8")
    served = web_server(terminal)
    served.run_to_end(a_roster(terminal), course="58", map=OPTIONS[1], save_map="usual", set=OPTIONS[5])
    a_roster(terminal, count=3).rename(inbox / FILE)
    served.office.lms.until(lambda _: (inbox / "done" / FILE).exists() or (inbox / "failed" / FILE).exists())
    for each in ("results.csv", "failed.csv", "results.xlsx"):
        served.client.get(f"/api/jobs/1/{each}")
    kept = [*terminal.folder.glob("roster.db*"), terminal.folder / "roster-files"]
    assert found_below(*kept)

    told = terminal.type("purge", "--older-than", "0d")

    assert "2 jobs purged" in told.out, told.out
    assert "backups" in told.out
    assert found_below(*terminal.folder.glob("roster.db*"), terminal.folder / "roster-files") == []
    assert terminal.status(1)["roster"] == "purged-1"
    assert not NAMES.search(served.client.get("/api/jobs/1").content)
    assert served.client.get("/jobs/1").status_code == 200


def heap(address):
    """Return the folder with the files of a database, all of them written to disk."""
    with psycopg.connect(address.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("checkpoint")
        (folder,) = connection.execute("show data_directory").fetchone()
        (number,) = connection.execute("select oid from pg_database where datname = current_database()").fetchone()
    return Path(folder) / "base" / str(number)


def test_nothing_of_a_purged_job_is_left_in_postgresql_or_redis_after_compact(sandbox, office, queue):
    terminal = office(sandbox(), batch_size=10)
    line = queue(terminal)
    line.beat()
    line.worker()
    a_roster(terminal)
    job = line.submit(FILE, *OPTIONS)
    line.ended(job)
    with psycopg.connect(line.ledger.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("analyze")
    assert found_below(heap(line.ledger))

    told = terminal.type("purge", "--older-than", "0d")
    assert "1 job purged" in told.out, told.out
    for word in ("vacuum", "write-ahead log", "backups", "--compact"):
        assert word in told.out
    assert found_below(heap(line.ledger)), "PostgreSQL keeps what is deleted until it is vacuumed"

    told = terminal.type("purge", "--compact")
    assert told.code == 0, told.err
    assert found_below(heap(line.ledger), terminal.folder / "roster-files") == []
    assert not NAMES.search(everything_in(line.redis()).encode())
    assert not NAMES.search(line.logs().encode())
    a_roster(terminal)
    assert line.ended(line.submit(FILE))[0].counts == {"already_registered": 30, "invalid": 1}


def test_compact_is_refused_while_a_job_moves(sandbox, office, queue):
    lms = sandbox(latency=0.1, bad_days=["create_candidate:hold:after=6"])
    terminal = office(lms, batch_size=5)
    line = queue(terminal)
    line.worker()
    terminal.people("roster.csv", 200)
    job = line.submit("roster.csv")
    line.until(lambda: lms.calls() > 5, "a call")

    told = terminal.type("purge", "--older-than", "0d", "--compact")

    assert told.code == 2
    assert f"jobs are at work: {job}" in told.err
    terminal.type("cancel", job)
    lms.rules()
    line.ended(job)
    assert terminal.type("purge", "--older-than", "0d", "--compact").code == 0


@pytest.fixture
def held(sandbox, office):
    """An office with a job that is held, since its credentials were refused."""
    terminal = office(sandbox(bad_days=["*:401:after=0"]))
    terminal.people(FILE, 2)
    assert terminal.type("run", FILE).code == 3
    return terminal


def test_a_held_job_is_left_with_the_reason_and_purged_when_wanted(held):
    told = held.type("purge", "--older-than", "0d")
    assert "0 jobs purged" in told.out
    assert "Job 1 was left: it is held and waits for a person; `--held` purges it too" in told.out

    (left,) = held.type("purge", "--older-than", "0d", "--json").json["left"]
    assert (left["job"], left["waits"]) == (1, True)

    told = held.type("purge", "--older-than", "0d", "--held")
    assert "1 job purged" in told.out
    assert "left" not in told.out
    assert found_below(*held.folder.glob("roster.db*"), held.folder / "roster-files") == []
    assert held.status(1)["state"] == "cancelled"


def test_a_job_with_rows_in_doubt_is_left_until_it_is_wanted(sandbox, office):
    lms = sandbox(bad_days=["register:lost-after:every=1"], lookup="404")
    terminal = office(lms)
    terminal.people(FILE, 1)
    terminal.type("run", FILE)
    assert terminal.status(1)["by_status"]["in_doubt"] == 1
    lms.take_as_given()

    assert "in doubt" in terminal.type("purge", "--older-than", "0d").out
    assert "1 job purged" in terminal.type("purge", "--older-than", "0d", "--held").out


def test_a_dry_run_names_the_jobs_and_changes_nothing(held):
    before = (held.folder / "roster.db").read_bytes()

    told = held.type("purge", "--older-than", "0d", "--held", "--dry-run")

    assert "1 job (1) would be purged. Nothing was changed." in told.out
    as_json = held.type("purge", "--older-than", "0d", "--held", "--dry-run", "--json").json
    assert (as_json["jobs"], as_json["rows"], as_json["dry_run"]) == ([1], held.status(1)["total"], True)
    assert "held" in held.type("purge", "--older-than", "0d", "--dry-run").out
    assert held.status(1)["state"] == "held"
    assert (held.folder / "roster.db").read_bytes() == before


@pytest.mark.parametrize(
    ("typed", "options", "is_purged"), [("n", [], False), ("y", [], True), ("", ["--yes"], True)]
)
def test_on_a_terminal_it_asks_unless_yes(held, typed, options, is_purged):
    us, them = pty.openpty()
    os.write(us, f"{typed}\n".encode())
    with os.fdopen(them, "r+b", buffering=0) as terminal:
        process = held.launch(
            [str(ROSTER), "purge", "--older-than", "0d", "--held", *options],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        )
    assert process.wait(45) == (0 if is_purged else 130)
    os.close(us)
    assert (held.status(1)["state"] == "cancelled") is is_purged


def test_a_saved_map_that_a_schedule_uses_is_kept(sandbox, office):
    terminal = office(sandbox())
    a_roster(terminal)
    terminal.type("run", FILE, *OPTIONS)
    kept = ["--cron", "0 6 * * *", FILE, "--use-map", "usual", "--to", "north"]
    assert terminal.type("schedule", "add", "weekly", *kept).code == 0

    terminal.type("purge", "--older-than", "0d")
    assert terminal.type("check", FILE, "--use-map", "usual").code == 1

    terminal.type("schedule", "remove", "weekly")
    terminal.type("run", FILE, "--use-map", "usual", "--save-map", "usual", "--again")
    terminal.type("purge", "--older-than", "0d")
    assert "There is no saved map" in terminal.type("check", FILE, "--use-map", "usual").err


def test_purge_needs_a_period_or_compact(office):
    told = office().type("purge")
    assert told.code == 2
    assert "--older-than is missing" in told.err
