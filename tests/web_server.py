"""A real `roster serve`, for tests of the API over a socket."""

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
from worker.model import Actor, Role

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from tests.conftest import Office, Running

#: A job in one of these states does not change without a person.
RESTING = {"succeeded", "completed_with_errors", "held", "paused", "cancelled", "failed", "invalid"}
PASSWORD = "a long and quiet evening"


@dataclass
class WebServer:
    """`roster serve` of an office, and a client with the token of this machine, if there was no account."""

    office: Office
    running: Running
    url: str
    #: The token in the printed address; empty when there were accounts.
    token: str
    tls: ssl.SSLContext
    client: httpx.Client = field(init=False)
    _clients: list[httpx.Client] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = self.client_with(**({"Authorization": f"Bearer {self.token}"} if self.token else {}))

    @property
    def address(self) -> str:
        """The printed address, path and query only."""
        return f"/?token={self.token}" if self.token else "/"

    def local_browser(self, **headers: str) -> httpx.Client:
        """Return a client that has opened the printed address, and sends these headers from then on."""
        client = self.client_with()
        assert client.get(self.address, follow_redirects=True).status_code == 200
        client.headers.update(headers)
        return client

    def client_with(self, **headers: str) -> httpx.Client:
        """Return a client that sends these headers."""
        client = httpx.Client(base_url=self.url, headers=headers, verify=self.tls, timeout=LONGEST_SECONDS)
        self._clients.append(client)
        return client

    def with_token(self, name: str, role: str) -> httpx.Client:
        """Add an account and return a client with a token of it."""
        add_user(self.office, name, role)
        token = self.office.type("user", "token", name).out.strip()
        return self.client_with(Authorization=f"Bearer {token}")

    def signed_in(self, name: str, role: str) -> tuple[httpx.Client, str]:
        """Add an account and return a client with its session, and the token of its forms."""
        from worker.web import csrf  # noqa: PLC0415

        ledger = Ledger(open_engine(f"sqlite:///{self.office.folder / 'roster.db'}"))
        people.add(ledger, name=name, password=PASSWORD, role=Role(role), by=Actor(name="-"))
        with ledger.write() as tx:
            account = accounts.find_account(tx, name)
            assert account
            cookie = keys.open_session(tx, account.id)
        ledger.close()
        return self.client_with(Cookie=f"roster_session={cookie}"), csrf.token_of(cookie)

    def upload(self, roster: Path, client: httpx.Client | None = None, **fields: Any) -> httpx.Response:
        with roster.open("rb") as file:
            return (client or self.client).post("/api/jobs", files={"file": file}, data=fields)

    def job(self, job_id: int) -> dict[str, Any]:
        summary: dict[str, Any] = self.client.get(f"/api/jobs/{job_id}").raise_for_status().json()
        return summary

    def until(self, job_id: int, *states: str) -> dict[str, Any]:
        """Wait until a job is in one of these states, or does not change without a person."""
        wanted = set(states) or RESTING
        wait_until(lambda: self.job(job_id)["state"] in wanted, f"job {job_id} {wanted}")
        return self.job(job_id)

    def run_to_end(self, roster: Path, **fields: Any) -> dict[str, Any]:
        """Upload a roster and wait for the end of its job."""
        uploaded = self.upload(roster, **fields)
        assert uploaded.status_code == 202, uploaded.text
        return self.until(uploaded.json()["id"])

    def close(self) -> None:
        for client in self._clients:
            client.close()
        if not self.running.is_over:
            self.running.interrupt()
            if not self.running.over_within(LONGEST_SECONDS):
                self.running.kill()
        errors = self.running.err.read_text("utf-8")
        assert "Traceback" not in errors, errors


def start_web_server(office: Office, tls: ssl.SSLContext, *options: Any) -> WebServer:
    """Start `roster serve` on a free port and wait until it responds."""
    running = office.start("serve", "--port", 0, *options)
    found: list[str] = []

    def address() -> bool:
        assert not running.is_over, running.err.read_text("utf-8")
        found.extend(re.findall(r"Roster is at (http://\S+) ", running.err.read_text("utf-8")))
        return bool(found)

    wait_until(address, "the address of the web server")
    url, _, token = found[0].partition("/?token=")
    server = WebServer(office, running, url, token, tls)
    wait_until(lambda: _responds(server.client), "a response of the web server")
    return server


def add_user(office: Office, name: str, role: str, password: str = PASSWORD) -> None:
    """Add an account as a script would: the password comes by standard input."""
    office.write("password", password)
    added = office.type("user", "add", name, "--role", role, stdin="password")
    assert added.code == 0, added.err


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
    """Check that a response has problem details with this status, and return their detail."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    details = answer.json()
    assert details["status"] == status
    assert details["title"]
    assert details["type"]
    return str(details["detail"])


def _responds(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False
