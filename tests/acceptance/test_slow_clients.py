"""Slow and greedy clients: idle sockets, endless streams and slow bodies delay nobody else."""

from __future__ import annotations

import json
import resource
import socket
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from tests.crowd import HALF_A_HEAD, Crowd, HealthAsked, status_of
from tests.web_server import add_user, problem

#: The sockets of each kind.
MANY = 1_000
#: How many streams an account may have open, and all together.
PER_ACCOUNT, IN_ALL = 20, 200
#: How many idle sockets an address may have.
PER_ADDRESS = 50
FUTURE = "2099-01-01 06:00"


@pytest.fixture(autouse=True)
def _many_files():
    """Let this process have as many sockets open as a crowd has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def terminal(office, sandbox):
    terminal = office(sandbox())
    terminal.people("spring.csv", 20)
    terminal.people("planned.csv", 2, first=100)
    return terminal


@pytest.fixture
def crowd(terminal):
    del terminal

    def gather(served):
        crowds.append(Crowd(served.url))
        return crowds[-1]

    crowds: list[Crowd] = []
    yield gather
    for each in crowds:
        each.close()


def planned_job(served, terminal):
    """Upload a roster that is sent in the distant future; its stream never ends."""
    uploaded = served.upload(terminal.folder / "planned.csv", at=FUTURE)
    assert uploaded.status_code == 202, uploaded.text
    return uploaded.json()["id"]


def token_of(terminal, name):
    return terminal.type("user", "token", name).out.strip()


def test_a_thousand_idle_sockets_and_a_thousand_streams_keep_nobody_out(web_server, terminal, crowd, wait_until):
    served = web_server(terminal)
    served.client = served.with_token("oren", "operator")
    add_user(terminal, "vera", "viewer")
    job, token = planned_job(served, terminal), token_of(terminal, "vera")
    gathered = crowd(served)

    with HealthAsked(served) as health:
        idle = gathered.connect(MANY // 2) + gathered.connect(MANY // 2, HALF_A_HEAD)
        streams = gathered.stream(MANY, job, token)
        summary = served.run_to_end(terminal.folder / "spring.csv")

    assert summary["state"] == "succeeded"
    assert health.statuses
    assert set(health.statuses) == {200}, health.statuses
    assert streams.count(200) == PER_ACCOUNT
    assert set(streams) == {200, 429}
    wait_until(lambda: gathered.still_open(idle) <= PER_ADDRESS, "the end of most idle sockets")
    print(f"\n/healthz asked {len(health.statuses)} times, slowest {health.slowest:.2f} s")  # noqa: T201 - a figure


def test_streams_are_limited_for_an_account_and_for_all(web_server, terminal, crowd):
    served = web_server(terminal)
    served.client = served.with_token("oren", "operator")
    job, gathered = planned_job(served, terminal), crowd(served)
    tokens = []
    for number in range(IN_ALL // PER_ACCOUNT + 1):
        add_user(terminal, f"viewer{number}", "viewer")
        tokens.append(token_of(terminal, f"viewer{number}"))

    statuses = [gathered.stream(PER_ACCOUNT + 1, job, token) for token in tokens]

    assert all(each.count(200) == PER_ACCOUNT and each.count(429) == 1 for each in statuses[:-1])
    assert set(statuses[-1]) == {429}
    refused = served.client.get(f"/api/jobs/{job}/events")
    assert "200 event streams are open" in problem(refused, 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert served.client.get("/api/jobs").status_code == 200


def test_a_closed_stream_makes_room_for_another(web_server, terminal, crowd, wait_until):
    served = web_server(terminal)
    job, gathered = planned_job(served, terminal), crowd(served)

    assert gathered.stream(PER_ACCOUNT, job, served.token) == [200] * PER_ACCOUNT
    assert gathered.stream(1, job, served.token) == [429]
    gathered.close()

    wait_until(lambda: gathered.stream(1, job, served.token) == [200], "room for a stream")


def follow(client, job):
    """Yield the states of a job's stream until it ends."""
    with client.stream("GET", f"/api/jobs/{job}/events") as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            if line.startswith("data:"):
                yield json.loads(line.removeprefix("data:"))["state"]


def test_a_stream_ends_when_the_right_to_view_it_ends(web_server, terminal):
    served = web_server(terminal)
    served.client = served.with_token("oren", "operator")
    job = planned_job(served, terminal)
    revoked, removed = served.with_token("ana", "viewer"), served.with_token("bea", "viewer")
    browser, csrf = served.signed_in("cem", "viewer")

    for client, end in (
        (revoked, lambda: terminal.type("user", "token", "ana", "--revoke")),
        (removed, lambda: terminal.type("user", "remove", "bea")),
        (browser, lambda: browser.post("/sign-out", data={"csrf": csrf})),
    ):
        states = follow(client, job)
        assert next(states) == "scheduled"
        end()
        assert list(states) == []
        assert client.get(f"/api/jobs/{job}/events", follow_redirects=False).status_code == 401


def test_the_stream_of_this_machine_ends_with_the_first_account(web_server, terminal):
    served = web_server(terminal)
    job = planned_job(served, terminal)
    states = follow(served.client, job)
    assert next(states) == "scheduled"

    add_user(terminal, "ana", "admin")

    assert list(states) == []


def test_slow_forms_of_strangers_keep_nobody_out(web_server, terminal, crowd, wait_until):
    served = web_server(terminal)
    served.client = served.with_token("oren", "operator")
    netloc = urlsplit(served.url).netloc
    head = (
        f"POST /sign-in HTTP/1.1\r\nHost: {netloc}\r\nOrigin: {served.url}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nname="
    )
    gathered = crowd(served)

    with HealthAsked(served) as health:
        slow = gathered.connect(110, head.encode())
        wait_until(lambda: gathered.answered(slow).count(429) == 10, "the refusals")
        assert served.run_to_end(terminal.folder / "spring.csv")["state"] == "succeeded"

    assert set(health.statuses) == {200}


@pytest.mark.parametrize("path", ["/api/jobs/{}", "/api/jobs/{}/events", "/api/jobs/{}/results.csv", "/jobs/{}"])
def test_a_number_with_thousands_of_digits_is_not_found(web_server, terminal, path):
    served = web_server(terminal)

    for digits in (20, 21, 4_300, 4_301, 30_000):
        assert served.client.get(path.format("9" * digits)).status_code == 404
        assert served.client_with().get(path.format("9" * digits)).status_code in {401, 404}
    assert "request failed" not in served.running.err.read_text("utf-8")


def test_other_numbers_with_thousands_of_digits_are_refused(web_server, terminal):
    served = web_server(terminal)
    job = planned_job(served, terminal)
    digits = "9" * 5_000

    answers = [
        served.client.post(f"/api/jobs/1/rows/{digits}/resolve", json={"absent": True}),
        served.client.post(f"/jobs/{job}/rows/{digits}/resolve", data={"found": "absent"}),
        served.client.get(f"/api/jobs?limit={digits}"),
        served.client.get(f"/jobs?before={digits}"),
        served.client.get(f"/jobs/{job}?after={digits}"),
        served.client.get("/static/roster.css", headers={"Range": f"bytes={digits}-"}),
        served.client.post("/api/jobs/1/rows/2/resolve", content=f'{{"candidate_id": {digits}}}'),
        served.client.post("/hooks/north", content=digits),
    ]

    assert all(each.status_code < 500 for each in answers), [each.status_code for each in answers]
    with closing(socket.create_connection(("127.0.0.1", urlsplit(served.url).port), 30)) as connection:
        connection.sendall(f"POST /sign-in HTTP/1.1\r\nHost: a\r\nContent-Length: {digits}\r\n\r\n".encode())
        assert status_of(connection) in {400, 413, 421}
    assert "request failed" not in served.running.err.read_text("utf-8")
