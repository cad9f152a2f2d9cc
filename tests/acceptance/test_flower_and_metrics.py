"""Monitoring: Flower, metrics, health and logs show the progress of jobs, without personal data."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from tests import servers
from tests.conftest import FIRST_NAME, LAST_NAME

PEOPLE = 60
#: The list of tasks in Flower; `roster.sweep` would hide the others.
COLUMNS = ["Name", "args", "Result", "State", "Worker", "Received", "Runtime"]
SHOWN = {"roster.split", "roster.register", "roster.report"}


@pytest.fixture
def port():
    return servers.free_port()


#: A worker as an operator starts it, without a name.
WORKER = ("worker", "--concurrency", "1", "--without-mingle", "--without-gossip")


def test_flower_asks_for_a_password_and_shows_jobs_their_progress_and_a_dead_worker(sandbox, office, queue, port):
    terminal = office(sandbox(), batch_size=20, rate="12/second")
    line = queue(terminal)
    flower = line.start("flower", f"--port={port}")
    line.beat()
    line.start(*WORKER)
    other = line.start(*WORKER)
    terminal.people("roster.csv", PEOPLE)
    line.until(lambda: _answers(f"http://127.0.0.1:{port}/healthcheck"), "Flower", flower)
    user, password = re.search(r"until it ends: (\S+) / (\S+)", flower.log.read_text("utf-8")).groups()
    job = line.submit("roster.csv")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as stranger:
        assert {stranger.get(path).status_code for path in ("/", "/tasks", "/api/tasks", "/workers")} == {401}
        assert stranger.post("/api/task/apply/roster.sweep").status_code == 401

    with httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=(user, password)) as client:

        def tasks(state):
            return [task for task in client.get("/api/tasks").json().values() if task["state"] == state]

        def online():
            workers = client.get("/workers", params={"json": "1"}).json()["data"]
            return sorted(worker["status"] for worker in workers)

        seen = []
        line.until(lambda: seen.extend(tasks("REGISTERING")) or seen, "a task that reports its progress")
        task = seen[0]
        assert task["name"] == "roster.register"
        assert re.fullmatch(rf"batch \d+ of job {job}", task["args"])
        assert re.fullmatch(rf"'?\d+ of {PEOPLE} rows of the job processed'?", task["result"])
        metrics = client.get("/metrics").text
        assert re.search(rf'roster_rows{{connection="north",job="{job}",status="registered"}} \d', metrics)
        assert "flower_events_total" in metrics
        listed = client.get("/tasks").text
        assert re.findall(r"<th[^>]*>\s*(\S+)\s*</th>", listed) == COLUMNS
        line.until(lambda: online() == [True, True], "both workers, each under its own name")
        other.kill()
        line.until(lambda: online() == [False, True], "the end of a worker")
        line.ended(job)
        whole = f"{PEOPLE} of {PEOPLE} rows of the job processed"
        line.until(lambda: any(whole in (task["result"] or "") for task in tasks("SUCCESS")), "the last batch")
        assert {task["name"] for task in client.get("/api/tasks").json().values()} <= SHOWN
        everything = "".join(client.get(path).text for path in ("/tasks", "/api/tasks", "/workers", "/metrics"))
    assert not re.search(f"{FIRST_NAME}|{LAST_NAME}|example.com|sandbox-token", everything, re.IGNORECASE)


def test_the_web_server_serves_its_health_and_the_metrics_of_jobs(sandbox, office, port):
    terminal = office(sandbox())
    terminal.people("roster.csv", 3)
    job = terminal.run("roster.csv").job
    terminal.environment["ROSTER_TOKEN"] = "a-token-for-scripts"
    running = terminal.start("serve", "--port", port)
    url = f"http://127.0.0.1:{port}"
    while not _answers(f"{url}/healthz"):
        assert not running.is_over, running.err.read_text("utf-8")

    assert httpx.get(f"{url}/healthz").json() == {"ledger": "ok"}
    assert httpx.get(f"{url}/metrics").status_code == 401
    metrics = httpx.get(f"{url}/metrics", headers={"Authorization": "Bearer a-token-for-scripts"}).text

    assert f'roster_rows{{connection="north",job="{job}",status="registered"}} 3.0' in metrics
    assert f'roster_job_state{{connection="north",job="{job}",state="succeeded"}} 1.0' in metrics
    assert f'roster_calls_total{{connection="north",job="{job}",operation="register"}} 2.0' in metrics
    running.interrupt()
    assert running.over_within(10)


def test_a_log_line_is_json_with_its_job_and_batch_and_no_personal_data(sandbox, office, queue):
    terminal = office(sandbox(bad_days=["create_candidate:reject:marker=poison"]), batch_size=10)
    terminal.environment["ROSTER_LOG"] = "json"
    line = queue(terminal)
    worker = line.worker()
    rows = [
        {"email": f"poison{n}@example.com", "first_name": "P", "last_name": "Q", "course_id": "58"} for n in (1, 2)
    ]
    terminal.roster("roster.csv", rows)

    job = line.submit("roster.csv")
    line.ended(job)

    lines = [json.loads(text) for text in worker.log.read_text("utf-8").splitlines() if text.startswith("{")]
    left = [each for each in lines if each["event"] == "batch left"]
    assert left
    assert all((each["job"], each["batch"], each["task"]) == (job, 1, "roster.register") for each in left[:1])
    assert "poison" not in worker.log.read_text("utf-8")


def test_doctor_says_whether_the_queue_is_running(sandbox, office, queue):
    terminal = office(sandbox())
    line = queue(terminal)

    before = terminal.type("doctor")
    line.beat()
    line.worker()
    line.until(lambda: line.ask("select key from key_value where key = 'sweep'"), "a sweep")
    after = terminal.type("doctor")

    assert before.code == 2
    assert "0 workers online" in before.out
    assert "never swept" in before.out
    assert after.code == 0
    assert "1 worker online" in after.out
    assert terminal.type("doctor", "--swept").code == 0


def _answers(url):
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False
