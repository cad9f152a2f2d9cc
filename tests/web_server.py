"""The web door as a program meets it: a real `roster serve`, asked over a socket."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.conftest import LONGEST_SECONDS, wait_until
from worker.accounts import keys, people
from worker.ledger import accounts
from worker.ledger.database import open_engine
from worker.ledger.transactions import Ledger
from worker.model import Role

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from tests.conftest import Office, Running

#: A job in one of these states moves no more by itself.
RESTING = {"succeeded", "completed_with_errors", "held", "paused", "cancelled", "failed", "invalid"}
PASSWORD = "a long and quiet evening"


@dataclass
class Door:
    """`roster serve` of an office, and a client without any sign-in."""

    desk: Office
    running: Running
    url: str
    tls: ssl.SSLContext
    client: httpx.Client = field(init=False)
    _clients: list[httpx.Client] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = self.caller()

    def caller(self, **headers: str) -> httpx.Client:
        """Return a client that sends these headers."""
        client = httpx.Client(base_url=self.url, headers=headers, verify=self.tls, timeout=LONGEST_SECONDS)
        self._clients.append(client)
        return client

    def with_token(self, name: str, role: str) -> httpx.Client:
        """Add an account and return a client with a token of it."""
        add_user(self.desk, name, role)
        token = self.desk.type("user", "token", name).out.strip()
        return self.caller(Authorization=f"Bearer {token}")

    def signed_in(self, name: str, role: str) -> tuple[httpx.Client, str]:
        """Add an account and return a client with its session, and the token of its forms."""
        from worker.web import csrf  # noqa: PLC0415

        ledger = Ledger(open_engine(f"sqlite:///{self.desk.folder / 'roster.db'}"))
        people.add(ledger, name=name, password=PASSWORD, role=Role(role), by="-")
        with ledger.write() as tx:
            known = accounts.find_account(tx, name)
            assert known
            cookie = keys.open_session(tx, known.id)
        ledger.close()
        return self.caller(Cookie=f"roster_session={cookie}"), csrf.token_of(cookie)

    def drop(self, roster: Path, client: httpx.Client | None = None, **fields: Any) -> httpx.Response:
        with roster.open("rb") as file:
            return (client or self.client).post("/api/jobs", files={"file": file}, data=fields)

    def job(self, job_id: int) -> dict[str, Any]:
        summary: dict[str, Any] = self.client.get(f"/api/jobs/{job_id}").raise_for_status().json()
        return summary

    def until(self, job_id: int, *states: str) -> dict[str, Any]:
        """Wait until a job is in one of these states, or moves no more."""
        wanted = set(states) or RESTING
        wait_until(lambda: self.job(job_id)["state"] in wanted, f"job {job_id} {wanted}")
        return self.job(job_id)

    def done(self, roster: Path, **fields: Any) -> dict[str, Any]:
        """Drop a roster and wait for its job's end."""
        dropped = self.drop(roster, **fields)
        assert dropped.status_code == 202, dropped.text
        return self.until(dropped.json()["id"])

    def close(self) -> None:
        for client in self._clients:
            client.close()
        if not self.running.is_over:
            self.running.interrupt()
            if not self.running.over_within(LONGEST_SECONDS):
                self.running.kill()
        told = self.running.err.read_text("utf-8")
        assert "Traceback" not in told, told


def open_door(desk: Office, tls: ssl.SSLContext, *options: Any) -> Door:
    """Start `roster serve` on a free port and wait until it answers."""
    running = desk.start("serve", "--port", 0, *options)
    found: list[str] = []

    def address() -> bool:
        assert not running.is_over, running.err.read_text("utf-8")
        found.extend(re.findall(r"Roster is at (http://\S+)", running.err.read_text("utf-8")))
        return bool(found)

    wait_until(address, "the address of the web door")
    door = Door(desk, running, found[0], tls)
    wait_until(lambda: _answers(door.client), "an answer of the web door")
    return door


def add_user(desk: Office, name: str, role: str, password: str = PASSWORD) -> None:
    """Add an account as a script would: the password comes by standard input."""
    desk.write("password", password)
    told = desk.type("user", "add", name, "--role", role, stdin="password")
    assert told.code == 0, told.err


def events_of(client: httpx.Client, job_id: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the events of a job until the server ends them: name and data."""
    with client.stream("GET", f"/api/jobs/{job_id}/events") as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = "message"
        for line in answer.iter_lines():
            if line.startswith("event:"):
                name = line.removeprefix("event:").strip()
            elif line.startswith("data:"):
                yield name, json.loads(line.removeprefix("data:"))
                name = "message"


def problem(answer: httpx.Response, status: int) -> str:
    """Hold an answer to be problem details of that status and return what it says."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["status"] == status
    assert said["title"]
    assert said["type"]
    return str(said["detail"])


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False
