"""The queue: the same roster gives the same report, whichever process dies meanwhile."""

from __future__ import annotations

import json
import re
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from tests import servers
from tests.conftest import FIRST_NAME, LAST_NAME, wait_for_sweeps
from tests.queues import QUICK_SWEEP_SECONDS, everything_in

PEOPLE = 45


@pytest.fixture
def start_redis_again(tmp_path):
    """Start an empty Redis at the address of a queue, whose own one was stopped."""
    with ExitStack() as stack:

        def start(line):
            port = int(line.broker.rsplit(":", 1)[1].split("/")[0])
            stack.callback(servers.open_redis(port, tmp_path / "again").stop)

        yield start


def test_nothing_personal_is_in_redis_in_flower_or_in_a_log(sandbox, office, queue):
    lms = sandbox(latency=0.02)
    terminal = office(lms, batch_size=10)
    line = queue(terminal)
    terminal.people("roster.csv", PEOPLE)
    job = line.submit("roster.csv")
    waiting = everything_in(line.redis())
    worker = line.worker()
    line.until(lambda: lms.calls() > 5, "a call")
    under_way = everything_in(line.redis())
    line.ended(job)

    seen = waiting + under_way + everything_in(line.redis()) + worker.log.read_text("utf-8")
    assert "roster.register" in seen
    assert not re.search(f"{FIRST_NAME}|{LAST_NAME}|example.com|sandbox-token", seen, re.IGNORECASE)


def test_a_worker_that_is_killed_loses_no_row_and_registers_no_person_twice(sandbox, office, queue, people):
    lms = sandbox(latency=0.05)
    terminal = office(lms, "kmi", batch_size=10, lookup_pauses=[0.1, 0.2])
    line = queue(terminal)
    line.beat()
    victim, _ = line.worker(), line.worker()
    terminal.roster("roster.csv", people(PEOPLE, login_name=lambda number: f"login{number}"))
    job = line.submit("roster.csv")

    line.until(lambda: lms.calls() > 20, "a call")
    victim.kill()
    (result,) = line.ended(job)

    assert result.counts == {"registered": PEOPLE}
    assert (len(lms.people), len(lms.standing)) == (PEOPLE, PEOPLE)


def test_a_worker_that_is_stopped_finishes_its_calls_and_leaves_no_row_in_doubt(sandbox, office, queue):
    lms = sandbox(latency=0.3, lookup="404")
    terminal = office(lms, batch_size=20, max_in_flight=4)
    line = queue(terminal)
    first = line.worker()
    terminal.people("roster.csv", PEOPLE)
    job = line.submit("roster.csv")

    line.until(lambda: lms.calls() > 5, "a call")
    first.end(20)
    assert line.state(job) == "running"
    line.worker()
    (result,) = line.ended(job)

    assert result.counts == {"registered": PEOPLE}


def test_a_redis_that_loses_everything_costs_a_sweep_and_no_row(sandbox, office, queue):
    lms = sandbox(latency=0.05)
    terminal = office(lms, batch_size=5)
    line = queue(terminal)
    line.beat()
    line.worker()
    terminal.people("roster.csv", PEOPLE)
    job = line.submit("roster.csv")

    line.until(lambda: lms.calls() > 10, "a call")
    line.redis().flushall()
    (result,) = line.ended(job)

    assert result.counts == {"registered": PEOPLE}


def test_a_job_has_a_few_messages_in_the_broker_however_long_its_roster(sandbox, office, queue):
    terminal = office(sandbox(latency=0.01), batch_size=2)
    terminal.environment["ROSTER_WINDOW"] = "3"
    line = queue(terminal)
    line.worker()
    terminal.people("roster.csv", 60)
    job = line.submit("roster.csv")
    batches, others = 0, 0

    def watched():
        nonlocal batches, others
        tasks = _waiting_tasks(line.redis())
        batches = max(batches, tasks.count("roster.register"))
        others = max(others, len(tasks) - tasks.count("roster.register"))
        return line.state(job) == "succeeded"

    line.until(watched, "the end of the job")

    assert batches <= 3
    # The roster that is to be read, or the report that is to be written.
    assert others <= 1


def _waiting_tasks(redis):
    """Return the task of each message that no worker has taken yet, as they are at one moment."""
    keys = [key for key in redis.scan_iter("roster:queue:roster*") if redis.type(key) in {b"list", b"none"}]
    lists = redis.pipeline()
    for key in keys:
        lists.lrange(key, 0, -1)
    return [json.loads(message)["headers"]["task"] for messages in lists.execute() for message in messages]


def test_a_short_job_needs_no_slot_of_its_own_while_a_long_one_runs(sandbox, office, queue):
    lms = sandbox(latency=0.02)
    terminal = office(lms, rate="15/second")
    line = queue(terminal)
    line.worker(processes=1)
    terminal.people("long.csv", 600)
    terminal.people("short.csv", 5, first=1000)
    long = line.submit("long.csv")
    line.until(lambda: lms.calls() > 3, "calls of the long one")

    short = line.submit("short.csv")
    line.until(lambda: line.state(short) == "succeeded", "the end of the short one")

    assert line.ask("select count(*) from row where job_id = %s and status = 'not_attempted'", long) > 100


def test_while_every_slot_is_taken_a_busy_worker_sweeps(sandbox, office, queue):
    lms = sandbox(latency=0.02)
    terminal = office(lms, rate="10/second", batch_size=20)
    line = queue(terminal)
    dying = line.worker(processes=1)
    terminal.people("roster.csv", 200)
    job = line.submit("roster.csv")
    line.until(lambda: lms.calls() > 3, "calls")
    line.worker(processes=1)
    line.until(lambda: line.ask("select count(distinct owner) from batch where state = 'running'") == 2, "two")

    dying.kill()

    line.until(lambda: line.ask("select max(deaths) from batch") == 1, "the sweep")
    assert line.state(job) == "running"


def test_messages_of_beat_do_not_pile_up_while_every_slot_is_taken(sandbox, office, queue):
    lms = sandbox(latency=0.02)
    line = queue(office(lms, rate="5/second"))
    line.worker(processes=1)
    line.office.people("roster.csv", 200)
    line.submit("roster.csv")
    line.until(lambda: lms.calls() > 3, "calls")
    line.beat()
    line.until(lambda: line.waiting_messages("roster.sweep"), "a message that no worker takes")

    # Nobody sweeps, and beat says nothing of what it does not send.
    time.sleep(5 * QUICK_SWEEP_SECONDS)

    assert line.waiting_messages("roster.sweep") == 1


def test_a_paused_job_stops_within_seconds_and_continues_in_any_process(sandbox, office, queue):
    lms = sandbox(latency=0.05, quotas=["bucket:20/second"])
    terminal = office(lms, batch_size=20, rate="15/second")
    line = queue(terminal)
    line.beat()
    line.worker()
    terminal.people("roster.csv", PEOPLE * 2)
    job = line.submit("roster.csv")
    line.until(lambda: lms.calls() > 10, "a call")

    assert terminal.type("pause", job).code == 0
    line.until(lambda: not _holds_a_batch(line), "the pause", seconds=6)
    stopped_at = lms.calls()
    wait_for_sweeps(line.ledger, 5)
    assert lms.calls() == stopped_at
    assert line.state(job) == "paused"

    result = terminal.resume(job)
    assert (result.code, result.counts) == (0, {"registered": PEOPLE * 2})


def _holds_a_batch(line):
    return line.ask("select id from batch where state = 'running'")


def test_a_cancelled_job_ends_and_reports_what_was_not_sent(sandbox, office, queue):
    lms = sandbox(latency=0.05)
    terminal = office(lms, batch_size=5, rate="10/second")
    line = queue(terminal)
    line.beat()
    line.worker()
    terminal.people("roster.csv", PEOPLE)
    job = line.submit("roster.csv")
    line.until(lambda: lms.calls() > 5, "a call")

    assert terminal.type("cancel", job).code == 0
    (result,) = line.ended(job)

    assert result.state == "cancelled"
    assert result.counts["not_attempted"] > 0
    assert {row["_error_code"] for row in result.with_status("not_attempted")} == {"cancelled"}


def test_an_undo_that_workers_do_is_cancelled_half_way_and_retried(sandbox, office, queue, people, web_server):
    lms = sandbox()
    terminal = office(lms, "kmi", max_in_flight=2)
    line = queue(terminal)
    line.beat()
    line.worker()
    terminal.roster("roster.csv", people(12, login_name=lambda number: f"login{number}"))
    (first,) = line.ended(line.submit("roster.csv"))
    client = web_server(terminal).client
    lms.answer_after(0.5)

    undoing = client.post(f"/api/jobs/{first.job}/undo").raise_for_status().json()["job"]
    lms.until(lambda lms: lms.calls("withdraw") >= 2, "the first withdrawals")
    client.post(f"/api/jobs/{undoing}/cancel").raise_for_status()
    line.until(lambda: line.state(undoing) == "cancelled", "the end of the undo")
    cancelled = terminal.type("report", undoing, "--json")
    half = terminal.type("report", first.job, "--json")
    left = len(lms.standing)

    assert cancelled.counts == {"withdrawn": 12 - left, "not_attempted": left}
    assert 0 < left < 12
    assert (half.state, half.summary["related"]["undone_by"]) == ("succeeded", [undoing])
    assert sum(row["_error"] == f"Withdrawn by job {undoing}" for row in half.rows) == 12 - left
    lms.answer_after(0)
    client.post(f"/api/jobs/{undoing}/retry").raise_for_status()
    (retried,) = line.ended(undoing)
    assert retried.counts == {"withdrawn": 12}
    assert (terminal.status(first.job)["state"], lms.standing) == ("undone", {})


def test_refused_credentials_hold_the_job_and_its_reports_are_written(sandbox, office, queue):
    lms = sandbox(bad_days=["*:401:after=0"])
    terminal = office(lms)
    line = queue(terminal)
    line.worker()
    terminal.people("roster.csv", 5)

    (result,) = line.ended(line.submit("roster.csv"))

    assert result.state == "held"
    assert result.counts == {"not_attempted": 5}
    assert lms.calls() == 1
    line.until((terminal.folder / "reports" / "roster.summary.json").exists, "the report")
    lms.rules()
    assert terminal.resume(result.job).counts == {"registered": 5}


def test_a_roster_is_stored_while_the_broker_is_away_and_starts_when_it_is_back(
    sandbox, office, queue, own_redis, start_redis_again
):
    terminal = office(sandbox())
    line = queue(terminal, own_redis)
    terminal.people("roster.csv", 5)
    own_redis.stop()

    submitted = terminal.type("submit", "roster.csv", "--json")

    assert submitted.code == 0
    assert "broker cannot be reached" in submitted.err
    start_redis_again(line)
    line.beat()
    line.worker()
    (result,) = line.ended(submitted.json["job"])
    assert result.counts == {"registered": 5}


def test_a_worker_with_a_task_in_progress_outlives_a_redis_that_goes_away(
    sandbox, office, queue, own_redis, start_redis_again
):
    lms = sandbox(bad_days=["create_candidate:hold"])
    terminal = office(lms)
    line = queue(terminal, own_redis)
    # One more than there are messages: a worker with as many as it may have does not read from Redis, so that it
    # notices the loss only when a task has ended.
    worker = line.worker(processes=3)
    terminal.people("roster.csv", 3)
    job = line.submit("roster.csv")
    line.until(lambda: line.ask("select count(*) from candidate where state = 'sending'"), "a call", worker)

    own_redis.stop()
    line.until(lambda: worker.is_over or "Trying to re-establish" in worker.said(), "the loss of the connection")
    start_redis_again(line)
    lms.rules()
    line.beat()
    (result,) = line.ended(job)
    assert result.counts == {"registered": 3}
    assert not worker.is_over, worker.said()[-2000:]


def test_a_roster_submitted_for_later_starts_then(sandbox, office, queue):
    lms = sandbox()
    terminal = office(lms)
    line = queue(terminal)
    line.beat()
    line.worker()
    terminal.people("roster.csv", 5)
    at = datetime.now().astimezone() + timedelta(seconds=5)

    job = line.submit("roster.csv", "--at", at.isoformat())

    assert line.state(job) == "scheduled"
    wait_for_sweeps(line.ledger, 5, or_until=lambda: (at - datetime.now(UTC)).total_seconds() < 1)
    assert lms.calls() == 0
    (result,) = line.ended(job)
    assert result.counts == {"registered": 5}
    assert result.summary["started_at"] >= at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.csv",), "cannot be read"),
        (("wrong.csv",), "email"),
        (("roster.csv", "--at", "yesterday"), "--at 'yesterday' is not a time"),
        (("roster.csv", "--at", "2020-01-01 06:00"), "in the past"),
    ],
)
def test_what_cannot_be_submitted_opens_no_job(office, sandbox, queue, words, said):
    terminal = office(sandbox())
    line = queue(terminal)
    terminal.people("roster.csv", 2)
    terminal.write("wrong.csv", "a,b\n1,2\n")

    result = terminal.type("submit", *words)

    assert result.code == 2
    assert said in result.err
    assert terminal.jobs() == []
    assert not list(line.redis().scan_iter())


def test_without_a_broker_submit_says_what_to_do(office, sandbox):
    terminal = office(sandbox())
    terminal.people("roster.csv", 2)

    result = terminal.type("submit", "roster.csv")

    assert result.code == 2
    assert "set `broker`" in result.err
    assert terminal.jobs() == []


def test_the_job_of_a_killed_command_is_taken_over_by_the_queue(sandbox, office, queue, people):
    lms = sandbox(latency=0.1)
    terminal = office(lms, "kmi", lookup_pauses=[0.1, 0.2], batch_size=10)
    line = queue(terminal)
    terminal.roster("roster.csv", people(PEOPLE, login_name=lambda number: f"login{number}"))
    running = terminal.start("run", "roster.csv")
    lms.until(lambda lms: lms.calls() > 10)
    running.kill()

    submitted = terminal.type("submit", "roster.csv", "--json")

    assert "whose process had stopped" in submitted.err
    line.worker()
    (result,) = line.ended(submitted.json["job"])
    assert result.counts == {"registered": PEOPLE}
    assert len(terminal.jobs()) == 1


def test_a_roster_submitted_twice_is_one_job(sandbox, office, queue):
    terminal = office(sandbox())
    line = queue(terminal)
    terminal.people("roster.csv", 3)

    first, second = (terminal.type("submit", "roster.csv", "--json") for _ in range(2))

    assert first.json == second.json
    assert "already running" in second.err
    line.worker()
    (result,) = line.ended(first.json["job"])
    assert result.counts == {"registered": 3}


def test_a_job_whose_connection_is_gone_is_held_with_the_reason(sandbox, office, queue):
    terminal = office(sandbox())
    line = queue(terminal)
    terminal.people("roster.csv", 3)
    job = line.submit("roster.csv")
    terminal.connect(terminal.lms.url, "kmi")
    line.worker()

    line.until(lambda: line.state(job) == "held", "the hold")

    assert "no connection 'north'" in terminal.status(job)["reason"]
