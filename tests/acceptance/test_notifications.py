"""Messages as an office gets them: a real `roster serve` or real workers, a mail server, a web server."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import time

import pytest

from tests.conftest import FIRST_NAME, LAST_NAME, LONGEST_SECONDS, wait_until
from tests.message_receivers import HANG, SECRET, a_hook, a_mail_server

PERSONAL = re.compile(f"{FIRST_NAME}|{LAST_NAME}|poison|example\\.com/people|sandbox-token|{SECRET}", re.IGNORECASE)


@pytest.fixture
def hook():
    with a_hook() as opened:
        yield opened


@pytest.fixture
def mail_server():
    with a_mail_server() as opened:
        yield opened


def tell(desk, hook, mail_server=None, **keys):
    """Let an office be told, by webhook and perhaps by mail."""
    desk.environment |= {"HOOK_SECRET": SECRET, "ROSTER_SWEEP_SECONDS": "0.3"}
    tables = {"messages.hook": {"kind": "webhook", "url": hook.url, "secret": "env:HOOK_SECRET", **keys}}
    if mail_server is not None:
        server = {"host": "127.0.0.1", "port": mail_server.port, "security": "none", "from": "roster@example.org"}
        tables |= {"messages.office": {"kind": "email", "to": ["office@example.org"], **keys}, "mail": server}
    with (desk.folder / "roster.toml").open("a", encoding="utf-8") as file:
        for name, table in tables.items():
            lines = [f"{key} = {json.dumps(value)}" for key, value in table.items()]
            file.write("\n".join([f"\n[{name}]", *lines, ""]))


def serve(desk):
    """Start `roster serve` and wait until it takes jobs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    before = ask(desk, "select updated_at from key_value where key = 'sweep'")
    running = desk.start("serve", "--port", port)

    def has_swept():
        assert not running.is_over, running.err.read_text("utf-8")
        return ask(desk, "select updated_at from key_value where key = 'sweep'") != before

    wait_until(has_swept, "the first sweep")
    return running


def ask(desk, query, *values):
    """Return the first value that the ledger has for a query."""
    with sqlite3.connect(desk.folder / "roster.db", timeout=30) as connection:
        line = connection.execute(query, values).fetchone()
    connection.close()
    return line[0] if line else None


def submit(desk, *words):
    result = desk.type("submit", *words, "--json")
    assert result.code == 0, result.err
    return result.json["job"]


def outbox(desk):
    return {each["receiver"]: each for each in desk.type("message", "list", "--json").json}


def all_left(desk):
    """Whether messages were put out, and none of them waits."""
    return ask(desk, "select count(*) > 0 and count(*) = count(ended_at) from message")


def test_the_end_of_a_job_is_told_once_by_mail_and_once_by_webhook(sandbox, office, hook, mail_server):
    desk = office(sandbox(bad_days=["create_candidate:reject:marker=poison"]))
    tell(desk, hook, mail_server)
    desk.environment["ROSTER_SERVE__PUBLIC_URL"] = "https://roster.example.org/"
    running = serve(desk)
    rows = [
        {"email": f"{FIRST_NAME}.{n}@example.com/people", "first_name": FIRST_NAME, "last_name": LAST_NAME}
        for n in (1, 2)
    ]
    good = {"email": "a@example.com", "first_name": FIRST_NAME, "last_name": LAST_NAME, "course_id": "58"}
    desk.roster("spring.csv", [good, good | {"email": "poison@example.com"}, *rows])

    job = submit(desk, "spring.csv")
    wait_until(lambda: hook.posted and mail_server.taken, "both messages")
    swept = ask(desk, "select updated_at from key_value where key = 'sweep'")
    wait_until(
        lambda: ask(desk, "select updated_at from key_value where key = 'sweep'") > swept + 1, "three more sweeps"
    )

    (posted,) = hook.posted
    assert posted.is_signed_with(SECRET)
    told = posted.json
    assert (told["event"], told["job"]["id"], told["job"]["state"]) == ("job.ended", job, "completed_with_errors")
    assert {status: count for status, count in told["job"]["by_status"].items() if count} == {
        "registered": 1,
        "rejected": 1,
        "invalid": 2,
    }
    assert told["job"]["link"] == f"https://roster.example.org/jobs/{job}"
    assert mail_server.subjects == ["Roster: spring.csv: 1 of 4 registered, 3 need you"]
    everything = posted.body + b"".join(mail_server.raw) + running.err.read_bytes() + running.out.read_bytes()
    assert not PERSONAL.search(everything.decode())


def test_a_process_that_is_killed_while_it_sends_leaves_the_message_to_the_next(sandbox, office, hook):
    desk = office(sandbox())
    tell(desk, hook)
    hook.answers = [HANG]
    running = serve(desk)
    desk.people("spring.csv", 2)
    job = submit(desk, "spring.csv")
    wait_until(lambda: hook.posted, "the first attempt")

    running.kill()
    assert outbox(desk)["hook"]["state"] == "waiting"
    with sqlite3.connect(desk.folder / "roster.db", timeout=30) as connection:
        connection.execute("update message set not_before = ?", (time.time() - 1,))  # the lease is over
    connection.close()
    serve(desk)
    wait_until(lambda: all_left(desk), "the end of the message")

    assert hook.events == [("job.ended", job)] * 2
    assert len({each.headers["roster-delivery"] for each in hook.posted}) == 1
    assert outbox(desk)["hook"]["state"] == "sent"


def test_a_job_that_ends_before_a_crash_is_told_after_it(sandbox, office, hook):
    desk = office(sandbox())
    tell(desk, hook)
    desk.environment["ROSTER_SWEEP_SECONDS"] = "600"
    running = serve(desk)
    desk.people("spring.csv", 2)
    job = submit(desk, "spring.csv")
    wait_until(lambda: ask(desk, "select state from job") == "succeeded", "the end of the job")

    running.kill()
    assert hook.posted == []
    serve(desk)

    wait_until(lambda: hook.events == [("job.ended", job)], "the message")


def test_no_receiver_that_fails_touches_the_job(sandbox, office, hook):
    desk = office(sandbox())
    hook.answers = [500]
    with a_mail_server() as gone:
        tell(desk, hook, gone)
    serve(desk)
    desk.people("spring.csv", 3)
    job = submit(desk, "spring.csv")
    wait_until(lambda: ask(desk, "select count(*) from message where error != ''") == 2, "two failures")

    assert desk.status(job)["by_status"]["registered"] == 3
    waiting = outbox(desk)
    assert {name: each["state"] for name, each in waiting.items()} == {"hook": "waiting", "office": "waiting"}
    assert waiting["hook"]["error"] == "the receiver answered 500"
    doctor = desk.type("doctor")
    assert doctor.code == 2
    assert f"messages to hook: the one on job {job} is waiting: the receiver answered 500" in doctor.out
    assert "mail: 127.0.0.1:" in doctor.out
    assert hook.url not in doctor.out + doctor.err


def test_trouble_of_a_connection_is_told_once_and_that_it_is_well_again_too(sandbox, office, hook):
    lms = sandbox()
    desk = office(lms, token="wrong-token")
    tell(desk, hook, on=["trouble", "well_again"])
    running = serve(desk)
    desk.people("one.csv", 2)
    desk.people("two.csv", 2, first=10)
    first = submit(desk, "one.csv")
    wait_until(lambda: hook.posted, "the word of trouble")
    second = submit(desk, "two.csv")
    silent = "select notified_at = state_at and state = 'held' from job where id = ?"
    wait_until(lambda: ask(desk, silent, second), "the second job to be held")

    running.interrupt()
    assert running.over_within(LONGEST_SECONDS)
    desk.connect(lms.url, "north")
    tell(desk, hook, on=["trouble", "well_again"])
    serve(desk)
    assert desk.resume(first).code == 0
    wait_until(lambda: len(hook.posted) > 1, "the word that it is well")

    assert hook.events == [("connection.trouble", first), ("connection.well", first)]
    trouble, well = (each.json for each in hook.posted)
    assert trouble["job"]["reason_code"] == "credentials_refused"
    assert well["held_jobs"] == [second]


def test_whoever_runs_a_roster_in_a_terminal_gets_no_message(sandbox, office, hook):
    desk = office(sandbox())
    tell(desk, hook)
    desk.people("spring.csv", 2)
    desk.run("spring.csv")
    serve(desk)
    job = submit(desk, desk.people("autumn.csv", 2, first=5))

    wait_until(lambda: hook.posted, "the message of the other job")

    assert hook.events == [("job.ended", job)]


def test_workers_behind_a_broker_tell_it_once(sandbox, office, queue, hook):
    desk = office(sandbox())
    tell(desk, hook)
    line = queue(desk)
    line.beat()
    line.worker(processes=2)
    desk.people("spring.csv", 5)

    job = line.submit("spring.csv")
    line.ended(job)
    line.until(lambda: hook.posted, "the message")
    swept = line.ask("select updated_at from key_value where key = 'sweep'")
    line.until(
        lambda: line.ask("select updated_at from key_value where key = 'sweep'") > swept + 1.5, "two more sweeps"
    )

    assert hook.events == [("job.ended", job)]
    assert not PERSONAL.search(line.logs())


def test_a_person_can_try_a_receiver_and_look_into_the_outbox(office, hook, mail_server):
    desk = office()
    desk.configure("")
    tell(desk, hook, mail_server)

    assert desk.type("message", "test", "hook").code == 0
    assert desk.type("message", "test", "Office").code == 0
    hook.answers = [500]
    refused = desk.type("message", "test", "hook")
    unknown = desk.type("message", "test", "nobody")

    assert hook.events == [("test", None)] * 2
    assert mail_server.subjects == ["Roster: a test message"]
    assert (refused.code, refused.err) == (
        2,
        "hook: the test message was not delivered: the receiver answered 500\n",
    )
    assert unknown.code == 2
    assert "hook, office" in unknown.err
    assert "No message yet" in desk.type("message", "list").out


def test_serve_refuses_a_table_that_must_be_mended(sandbox, office, hook):
    desk = office(sandbox())
    tell(desk, hook, treshold_percent=5)

    result = desk.type("serve", "--port", 1)

    assert result.code == 2
    assert "unknown key messages.hook.treshold_percent; did you mean threshold_percent?" in result.err


def test_a_table_that_must_be_mended_stops_no_run_in_a_terminal(sandbox, office, hook):
    desk = office(sandbox())
    tell(desk, hook, treshold_percent=5)
    desk.people("spring.csv", 2)

    assert desk.run("spring.csv").code == 0
