"""Messages end to end: a real `roster serve` or real workers, a mail server, a web server."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import time

import pytest

from tests.conftest import FIRST_NAME, LAST_NAME, LONGEST_SECONDS, wait_until
from tests.drop_folders import add_drop_folder
from tests.message_receivers import HANG, SECRET, a_hook, a_mail_server
from tests.schedules import make_due
from tests.web_server import add_user

PERSONAL = re.compile(f"{FIRST_NAME}|{LAST_NAME}|poison|example\\.com/people|sandbox-token|{SECRET}", re.IGNORECASE)


@pytest.fixture
def hook():
    with a_hook() as opened:
        yield opened


@pytest.fixture
def mail_server():
    with a_mail_server() as opened:
        yield opened


def configure(terminal, hook, mail_server=None, **keys):
    """Configure messages by webhook, and by e-mail when a mail server is given."""
    terminal.environment |= {"HOOK_SECRET": SECRET, "ROSTER_SWEEP_SECONDS": "0.3"}
    tables = {"messages.hook": {"kind": "webhook", "url": hook.url, "secret": "env:HOOK_SECRET", **keys}}
    if mail_server is not None:
        server = {"host": "127.0.0.1", "port": mail_server.port, "security": "none", "from": "roster@example.org"}
        tables |= {"messages.office": {"kind": "email", "to": ["office@example.org"], **keys}, "mail": server}
    with (terminal.folder / "roster.toml").open("a", encoding="utf-8") as file:
        for name, table in tables.items():
            lines = [f"{key} = {json.dumps(value)}" for key, value in table.items()]
            file.write("\n".join([f"\n[{name}]", *lines, ""]))


def serve(terminal):
    """Start `roster serve` and wait until it accepts jobs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    before = ask(terminal, "select updated_at from key_value where key = 'sweep'")
    running = terminal.start("serve", "--port", port)

    def has_swept():
        assert not running.is_over, running.err.read_text("utf-8")
        return ask(terminal, "select updated_at from key_value where key = 'sweep'") != before

    wait_until(has_swept, "the first sweep")
    return running


def ask(terminal, query, *values):
    """Return the first value that the ledger has for a query."""
    with sqlite3.connect(terminal.folder / "roster.db", timeout=30) as connection:
        line = connection.execute(query, values).fetchone()
    connection.close()
    return line[0] if line else None


def submit(terminal, *words):
    result = terminal.type("submit", *words, "--json")
    assert result.code == 0, result.err
    return result.json["job"]


def outbox(terminal):
    return {each["receiver"]: each for each in terminal.type("message", "list", "--json").json}


def all_left(terminal):
    """Return whether there are messages, and none of them is waiting."""
    return ask(terminal, "select count(*) > 0 and count(*) = count(ended_at) from message")


def test_the_end_of_a_job_is_reported_once_by_e_mail_and_once_by_webhook(sandbox, office, hook, mail_server):
    terminal = office(sandbox(bad_days=["create_candidate:reject:marker=poison"]))
    configure(terminal, hook, mail_server)
    add_user(terminal, "ana", "admin")
    terminal.environment["ROSTER_SERVE__PUBLIC_URL"] = "https://roster.example.org/"
    running = serve(terminal)
    rows = [
        {"email": f"{FIRST_NAME}.{n}@example.com/people", "first_name": FIRST_NAME, "last_name": LAST_NAME}
        for n in (1, 2)
    ]
    good = {"email": "a@example.com", "first_name": FIRST_NAME, "last_name": LAST_NAME, "course_id": "58"}
    terminal.roster("spring.csv", [good, good | {"email": "poison@example.com"}, *rows])

    job = submit(terminal, "spring.csv")
    wait_until(lambda: hook.posted and mail_server.taken, "both messages")
    swept = ask(terminal, "select updated_at from key_value where key = 'sweep'")
    wait_until(
        lambda: ask(terminal, "select updated_at from key_value where key = 'sweep'") > swept + 1,
        "three more sweeps",
    )

    (posted,) = hook.posted
    assert posted.is_signed_with(SECRET)
    sent = posted.json
    assert (sent["event"], sent["job"]["id"], sent["job"]["state"]) == ("job.ended", job, "completed_with_errors")
    assert {status: count for status, count in sent["job"]["by_status"].items() if count} == {
        "registered": 1,
        "rejected": 1,
        "invalid": 2,
    }
    assert sent["job"]["link"] == f"https://roster.example.org/jobs/{job}"
    assert mail_server.subjects == ["Roster: spring.csv: 1 of 4 registered, 3 need attention"]
    everything = posted.body + b"".join(mail_server.raw) + running.err.read_bytes() + running.out.read_bytes()
    assert not PERSONAL.search(everything.decode())


def test_a_process_that_is_killed_while_it_sends_leaves_the_message_to_the_next(sandbox, office, hook):
    terminal = office(sandbox())
    configure(terminal, hook)
    hook.answers = [HANG]
    running = serve(terminal)
    terminal.people("spring.csv", 2)
    job = submit(terminal, "spring.csv")
    wait_until(lambda: hook.posted, "the first attempt")

    running.kill()
    assert outbox(terminal)["hook"]["state"] == "waiting"
    with sqlite3.connect(terminal.folder / "roster.db", timeout=30) as connection:
        connection.execute("update message set not_before = ?", (time.time() - 1,))  # the lease is over
    connection.close()
    serve(terminal)
    wait_until(lambda: all_left(terminal), "the end of the message")

    assert hook.events == [("job.ended", job)] * 2
    assert len({each.headers["roster-delivery"] for each in hook.posted}) == 1
    assert outbox(terminal)["hook"]["state"] == "sent"


def test_a_job_that_ends_before_a_crash_is_reported_after_it(sandbox, office, hook):
    terminal = office(sandbox())
    configure(terminal, hook)
    terminal.environment["ROSTER_SWEEP_SECONDS"] = "600"
    running = serve(terminal)
    terminal.people("spring.csv", 2)
    job = submit(terminal, "spring.csv")
    wait_until(lambda: ask(terminal, "select state from job") == "succeeded", "the end of the job")

    running.kill()
    assert hook.posted == []
    serve(terminal)

    wait_until(lambda: hook.events == [("job.ended", job)], "the message")


def test_a_receiver_that_fails_does_not_affect_the_job(sandbox, office, hook):
    terminal = office(sandbox())
    hook.answers = [500]
    with a_mail_server() as gone:
        configure(terminal, hook, gone)
    serve(terminal)
    terminal.people("spring.csv", 3)
    job = submit(terminal, "spring.csv")
    wait_until(lambda: ask(terminal, "select count(*) from message where error != ''") == 2, "two failures")

    assert terminal.status(job)["by_status"]["registered"] == 3
    waiting = outbox(terminal)
    assert {name: each["state"] for name, each in waiting.items()} == {"hook": "waiting", "office": "waiting"}
    assert waiting["hook"]["error"] == "the receiver responded 500"
    doctor = terminal.type("doctor")
    assert doctor.code == 2
    assert f"messages to hook: the one about job {job} is waiting: the receiver responded 500" in doctor.out
    assert "mail: 127.0.0.1:" in doctor.out
    assert hook.url not in doctor.out + doctor.err


def test_an_incident_of_a_connection_is_reported_once_and_so_is_its_end(sandbox, office, hook):
    lms = sandbox()
    terminal = office(lms, token="wrong-token")
    configure(terminal, hook, on=["trouble", "well_again"])
    running = serve(terminal)
    terminal.people("one.csv", 2)
    terminal.people("two.csv", 2, first=10)
    first = submit(terminal, "one.csv")
    wait_until(lambda: hook.posted, "the word of trouble")
    second = submit(terminal, "two.csv")
    silent = "select notified_at = state_at and state = 'held' from job where id = ?"
    wait_until(lambda: ask(terminal, silent, second), "the second job to be held")

    running.interrupt()
    assert running.over_within(LONGEST_SECONDS)
    terminal.connect(lms.url, "north")
    configure(terminal, hook, on=["trouble", "well_again"])
    serve(terminal)
    assert terminal.resume(first).code == 0
    wait_until(lambda: len(hook.posted) > 1, "the word that it is well")

    assert hook.events == [("connection.trouble", first), ("connection.well", first)]
    trouble, well = (each.json for each in hook.posted)
    assert trouble["job"]["reason_code"] == "credentials_refused"
    assert well["held_jobs"] == [second]


def test_rosters_that_do_not_come_are_reported_once_by_two_servers_and_so_is_that_they_come_again(
    sandbox, office, hook
):
    terminal = office(sandbox())
    inbox = add_drop_folder(terminal)
    configure(terminal, hook, on=["trouble", "well_again"])
    added = terminal.type("schedule", "add", "nightly", "@daily", "hr.csv", "--expect-by", "07:00")
    assert added.code == 0, added.err
    away = inbox.rename(inbox.with_name("unmounted"))
    make_due(terminal, "nightly")
    for _ in range(2):
        serve(terminal)
    wait_until(lambda: len(hook.posted) == 2, "both messages")
    make_due(terminal, "nightly")
    wait_until(lambda: ask(terminal, "select next_at > ? from schedule", time.time()), "the next run")

    (listed,) = terminal.type("schedule", "list", "--json").json
    told = terminal.type("schedule", "list").out
    away.rename(inbox)
    terminal.people("hr.csv", 2)
    wait_until(lambda: len(hook.posted) == 4, "the messages that all is well")

    assert (listed["expect_by"], listed["problem"]["code"], listed["last_file_at"]) == ("07:00", "missing", None)
    assert listed["problem"]["reason"] == f"{terminal.folder / 'hr.csv'} does not exist"
    assert "wrong no roster found since" in told
    sent = {(each.json["event"], each.json["source"]["name"]) for each in hook.posted}
    assert sent == {
        (event, name)
        for event in ("source.trouble", "source.well")
        for name in ("schedule:nightly", "folder:inbox")
    }
    (listed,) = terminal.type("schedule", "list", "--json").json
    assert listed["problem"] is None
    assert listed["last_file_at"] is not None
    assert "schedule nightly" in terminal.type("message", "list").out


def test_a_run_in_a_terminal_sends_no_message(sandbox, office, hook):
    terminal = office(sandbox())
    configure(terminal, hook)
    terminal.people("spring.csv", 2)
    terminal.run("spring.csv")
    serve(terminal)
    job = submit(terminal, terminal.people("autumn.csv", 2, first=5))

    wait_until(lambda: hook.posted, "the message of the other job")

    assert hook.events == [("job.ended", job)]


def test_workers_of_a_queue_report_it_once(sandbox, office, queue, hook):
    terminal = office(sandbox())
    configure(terminal, hook)
    line = queue(terminal)
    line.beat()
    line.worker(processes=2)
    terminal.people("spring.csv", 5)

    job = line.submit("spring.csv")
    line.ended(job)
    line.until(lambda: hook.posted, "the message")
    swept = line.ask("select updated_at from key_value where key = 'sweep'")
    line.until(
        lambda: line.ask("select updated_at from key_value where key = 'sweep'") > swept + 1.5, "two more sweeps"
    )

    assert hook.events == [("job.ended", job)]
    assert not PERSONAL.search(line.logs())


def test_a_person_can_test_a_receiver_and_list_the_outbox(office, hook, mail_server):
    terminal = office()
    terminal.configure("")
    configure(terminal, hook, mail_server)

    assert terminal.type("message", "test", "hook").code == 0
    assert terminal.type("message", "test", "Office").code == 0
    hook.answers = [500]
    refused = terminal.type("message", "test", "hook")
    unknown = terminal.type("message", "test", "nobody")

    assert hook.events == [("test", None)] * 2
    assert mail_server.subjects == ["Roster: a test message"]
    assert (refused.code, refused.err) == (
        2,
        "hook: the test message was not delivered: the receiver responded 500\n",
    )
    assert unknown.code == 2
    assert "hook, office" in unknown.err
    assert "There are no messages yet" in terminal.type("message", "list").out


def test_serve_rejects_a_table_with_an_error(sandbox, office, hook):
    terminal = office(sandbox())
    configure(terminal, hook, treshold_percent=5)

    result = terminal.type("serve", "--port", 1)

    assert result.code == 2
    assert "unknown key messages.hook.treshold_percent; did you mean threshold_percent?" in result.err


def test_a_table_without_its_secret_stops_no_run_in_a_terminal(sandbox, office, hook):
    terminal = office(sandbox())
    configure(terminal, hook)
    del terminal.environment["HOOK_SECRET"]
    terminal.people("spring.csv", 2)

    assert terminal.run("spring.csv").code == 0


def test_an_unknown_key_of_a_table_is_refused_before_anything_is_sent(sandbox, office, hook):
    lms = sandbox()
    terminal = office(lms)
    configure(terminal, hook, treshold_percent=5)
    terminal.people("spring.csv", 2)

    refused = terminal.type("run", "spring.csv")

    assert refused.code == 2
    assert "unknown key messages.hook.treshold_percent; did you mean threshold_percent?" in refused.err
    assert lms.calls() == 0
