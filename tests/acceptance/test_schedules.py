"""Schedules: added, listed, previewed and removed; run once when due, by `roster serve` alone and by workers."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from datetime import datetime, timedelta

import pytest

from tests.drop_folders import add_drop_folder, serve
from worker.ledger import jobs, key_value, schedules
from worker.ledger.database import open_engine
from worker.ledger.transactions import Ledger


def make_due(terminal, *names, ago=1.0):
    """Let the time of schedules have come, as the clock would."""
    with ledger_of(terminal) as ledger, ledger.write() as tx:
        for name in names:
            run = schedules.find(tx, name)
            schedules.finish_run(tx, run, time.time() - ago)


@contextmanager
def ledger_of(terminal):
    url = terminal.environment.get("ROSTER_LEDGER", f"sqlite:///{terminal.folder / 'roster.db'}")
    with closing(Ledger(open_engine(url))) as ledger:
        yield ledger


def states_and_readings(ledger):
    """Return the states of the jobs, and how often the reading of each roster has begun."""
    with ledger.read() as tx:
        return [(job.state, key_value.get(tx, f"reading:{job.id}")) for job in jobs.list_jobs(tx)]


def listed(terminal, name):
    return next(each for each in terminal.type("schedule", "list", "--json").json if each["name"] == name)


def add(terminal, *words):
    result = terminal.type("schedule", "add", *words)
    assert result.code == 0, result.err
    return result


@pytest.mark.parametrize(
    "words",
    [
        ("nightly", "--cron", "0 2 * * 1-5", "hr.csv"),
        ("nightly", "0 2 * * 1-5", "hr.csv"),
        ("nightly", "hr.csv", "0 2 * * 1-5"),
        ("nightly", "--cron", "0 2 * * 1-5", "--file", "hr.csv"),
    ],
)
def test_a_schedule_is_added_listed_and_removed(sandbox, office, words):
    terminal = office(sandbox())
    terminal.people("hr.csv", 3)

    added = add(terminal, *words, "--zone", "Europe/Dublin", "--to", "north", "--course", "58", "--missed", "skip")

    assert "first on" in added.out
    found = listed(terminal, "nightly")
    assert (found["cron"], found["zone"], found["missed"]) == ("0 2 * * 1-5", "Europe/Dublin", "skip")
    assert (found["source"], found["connection"]) == (str(terminal.folder / "hr.csv"), "north")
    assert found["options"]["course"] == "58"
    assert datetime.fromisoformat(found["next_at"]).weekday() < 5
    assert "nightly: " in terminal.type("schedule", "list").out
    assert terminal.type("schedule", "remove", "nightly").code == 0
    assert terminal.type("schedule", "list", "--json").json == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("x", "--cron", "0 25 * * *", "hr.csv"), "'25' is not a valid hour"),
        (("x", "--cron", "0 2 * *", "hr.csv"), "has 4 fields"),
        (("x", "hr.csv"), "Say when to run it"),
        (("x", "--cron", "0 2 * * *"), "takes one source"),
        (("x", "--cron", "0 2 * * *", "hr.csv", "--folder", "y"), "takes one source"),
        (("--cron", "0 2 * * *"), "needs a name"),
        (("x", "--cron", "0 2 * * *", "hr.csv", "--zone", "Europe/Dublim"), "did you mean Europe/Dublin?"),
        (("x", "--cron", "0 2 * * *", "hr.csv", "--to", "west"), "no connection 'west'"),
        (("x", "--cron", "0 2 * * *", "ftp://host/x.csv"), "cannot be fetched from ftp://"),
        (("x", "--cron", "0 2 * * *", "hr.csv", "--set", "nonsense"), "--set takes NAME=VALUE"),
    ],
)
def test_an_error_in_a_schedule_is_reported(sandbox, office, words, said):
    terminal = office(sandbox())
    terminal.people("hr.csv", 2)

    result = terminal.type("schedule", "add", *words)

    assert result.code == 2
    assert said in result.err
    assert terminal.type("schedule", "list", "--json").json == []


def test_a_schedule_that_does_not_exist_is_named_with_the_nearest(sandbox, office):
    terminal = office(sandbox())
    terminal.people("hr.csv", 2)
    add(terminal, "nightly", "@daily", "hr.csv")

    for command in ("remove", "preview"):
        result = terminal.type("schedule", command, "nighly")
        assert (result.code, "did you mean nightly?" in result.err) == (2, True)
    assert terminal.type("schedule", "add", "nightly", "@daily", "hr.csv").code == 2


def test_a_password_in_an_address_is_never_shown(sandbox, office):
    terminal = office(sandbox())
    add(terminal, "web", "--cron", "@daily", "--url", "sftp://user:hush-hush@host/x.csv?sig=hush-hush")

    told = [
        terminal.type("schedule", "list"),
        terminal.type("schedule", "list", "--json"),
        terminal.type("schedule", "preview"),
    ]
    told.append(terminal.type("doctor"))

    assert "hush-hush" not in "".join(each.out + each.err for each in told)
    assert "paramiko" in told[2].out


def test_preview_shows_the_next_runs_how_long_they_take_and_what_overlaps(sandbox, office):
    terminal = office(sandbox(), rate="2/second")
    terminal.people("hr.csv", 30)
    add(terminal, "nightly", "--cron", "0 2 * * *", "--zone", "UTC", "hr.csv")
    add(terminal, "other", "--cron", "0 2 * * 1", "--zone", "UTC", "hr.csv")

    told = terminal.type("schedule", "preview", "nightly", "--count", "3", "--json").json
    text = terminal.type("schedule", "preview").out

    assert len(told["runs"]) == 3
    assert {(run["rows"], run["calls"]["most"], run["seconds"]) for run in told["runs"]} == {(30, 32, 16.0)}
    assert [clash for clash in told["clashes"] if {clash["first"], clash["second"]} == {"nightly", "other"}]
    assert "30 rows, 32 calls, about" in text
    assert "overlap on north" in text
    assert terminal.jobs() == []


def test_serve_alone_runs_what_is_due_once_and_again_when_it_is_due_again(sandbox, office, wait_until):
    lms = sandbox()
    terminal = office(lms)
    terminal.people("hr.csv", 4)
    add(terminal, "nightly", "--cron", "0 2 * * *", "hr.csv", "--report", "nightly")
    serve(terminal)
    make_due(terminal, "nightly")

    wait_until((terminal.folder / "nightly" / "hr.summary.json").exists)
    found = listed(terminal, "nightly")
    assert (found["last_job"], found["last_error"]) == (1, None)
    make_due(terminal, "nightly")
    wait_until(lambda: listed(terminal, "nightly")["last_job"] == 2)
    wait_until(lambda: terminal.status(2)["state"] == "succeeded")

    assert [job["by_status"]["already_registered"] for job in terminal.jobs()] == [4, 0]
    assert len(terminal.jobs()) == 2


def test_a_source_that_is_missing_is_reported_by_list_and_doctor(sandbox, office, wait_until):
    terminal = office(sandbox())
    added = add(terminal, "nightly", "--cron", "0 2 * * *", "gone.csv")
    assert "would fail" in added.err
    serve(terminal)
    make_due(terminal, "nightly")

    wait_until(lambda: listed(terminal, "nightly")["last_error"])

    assert "gone.csv does not exist" in terminal.type("schedule", "list").out
    told = terminal.type("doctor")
    assert (told.code, "gone.csv does not exist" in told.out) == (2, True)
    assert terminal.jobs() == []


def test_the_newest_file_of_a_folder_is_imported_and_stays(sandbox, office, wait_until):
    terminal = office(sandbox())
    (terminal.folder / "exports").mkdir()
    terminal.people("exports/monday.csv", 2)
    terminal.people("exports/tuesday.csv", 3)
    terminal.people("exports/wednesday.csv.part", 9)
    add(terminal, "nightly", "--cron", "0 2 * * *", "folder:exports")
    serve(terminal)
    make_due(terminal, "nightly")

    wait_until(lambda: [job["state"] for job in terminal.jobs()] == ["succeeded"])

    assert [(job["roster"], job["total"]) for job in terminal.jobs()] == [("tuesday.csv", 3)]
    assert len(list((terminal.folder / "exports").iterdir())) == 3


def test_a_drop_folder_can_be_a_source_with_a_warning(sandbox, office):
    terminal = office(sandbox())
    inbox = add_drop_folder(terminal)

    added = add(terminal, "nightly", "--cron", "0 2 * * *", "folder:inbox")

    assert listed(terminal, "nightly")["source"] == f"folder:{inbox}"
    assert "is the drop folder inbox" in added.err


@pytest.mark.slow
def test_a_server_that_is_killed_repeatedly_runs_each_schedule_once(sandbox, office, wait_until):
    terminal = office(sandbox(latency=0.01))
    names = [f"s{number}" for number in range(6)]
    for number, name in enumerate(names):
        terminal.people(f"{name}.csv", 2, first=10 * number)
        add(terminal, name, "--cron", "0 2 * * *", f"{name}.csv")
    make_due(terminal, *names, ago=3600)
    with ledger_of(terminal) as ledger:
        for _ in range(5):
            before = states_and_readings(ledger)
            running = serve(terminal)
            wait_until(lambda before=before: states_and_readings(ledger) != before, "a job that went on")
            running.kill()
    serve(terminal)

    wait_until(lambda: [job["state"] for job in terminal.jobs()] == ["succeeded"] * 6, "the six jobs")

    assert sorted(job["roster"] for job in terminal.jobs()) == [f"{name}.csv" for name in names]


def test_workers_behind_a_broker_run_what_is_due_once(sandbox, office, queue):
    terminal = office(sandbox())
    line = queue(terminal)
    names = [f"s{number}" for number in range(4)]
    for number, name in enumerate(names):
        terminal.people(f"{name}.csv", 2, first=10 * number)
        add(terminal, name, "--cron", "0 2 * * *", f"{name}.csv")
    make_due(terminal, *names)
    line.beat()
    line.worker(processes=2)
    line.worker()

    line.until(lambda: line.ask("select count(*) from job where state = 'succeeded'") == 4, "the four jobs")

    assert line.ask("select count(*) from job") == 4


def test_a_roster_submitted_for_later_begins_then_without_a_broker_too(sandbox, office, wait_until):
    lms = sandbox()
    terminal = office(lms)
    serve(terminal)
    terminal.people("roster.csv", 3)
    terminal.people("at-once.csv", 2, first=50)
    wait_until(lambda: terminal.type("submit", "nowhere.csv").err.count("There is no queue") == 0, "the server")

    later = terminal.type(
        "submit", "roster.csv", "--at", f"{datetime.now().astimezone() + timedelta(days=3)}", "--json"
    )
    at_once = terminal.type("submit", "at-once.csv", "--json")
    wait_until(lambda: terminal.status(at_once.json["job"])["state"] == "succeeded")

    assert terminal.status(later.json["job"])["state"] == "scheduled"
    assert len(lms.standing) == 2
    with ledger_of(terminal) as ledger, ledger.write() as tx:
        jobs.change_job(tx, later.json["job"], not_before=time.time())
    wait_until(lambda: terminal.status(later.json["job"])["state"] == "succeeded")
    wait_until((terminal.folder / "reports" / "roster.summary.json").exists)


def test_a_schedule_is_run_now_and_its_next_run_stays(sandbox, office):
    lms = sandbox()
    terminal = office(lms)
    terminal.people("today.csv", 2)
    terminal.type("schedule", "add", "nightly", "--cron", "0 2 * * *", "today.csv", "--to", "north")
    (before,) = terminal.type("schedule", "list", "--json").json

    result = terminal.balanced(terminal.type("schedule", "run", "nightly", "--json"))

    assert (result.code, result.counts) == (0, {"registered": 2})
    (after,) = terminal.type("schedule", "list", "--json").json
    assert (after["next_at"], after["last_job"]) == (before["next_at"], result.job)
    assert after["last_at"] is not None
    assert terminal.type("audit", "--job", result.job, "--json").json[-1]["act"] == "schedule run"

    again = terminal.type("schedule", "run", "nightly", "--json")
    assert again.counts == {"already_registered": 2}
    (terminal.folder / "today.csv").unlink()
    missing = terminal.type("schedule", "run", "nightly")
    assert missing.code == 2
    assert "today.csv" in missing.err
