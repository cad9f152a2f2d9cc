"""The queue as an operator runs it: real workers and a real beat, in an office whose ledger is PostgreSQL."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import redis

from tests.fork_client import Forked

if TYPE_CHECKING:
    from tests.conftest import Office, Result

CELERY = Path(sys.executable).with_name("celery")
#: How often beat rings for a sweep, in the tests and otherwise (seconds).
QUICK_SWEEP_SECONDS, SWEEP_SECONDS = 0.2, 1.0
#: A job in one of these states moves no more by itself.
RESTING = {"succeeded", "completed_with_errors", "held", "paused", "cancelled", "failed", "invalid"}


@dataclass
class Service:
    """A process of Celery that is up."""

    process: subprocess.Popen[bytes] | Forked
    log: Path

    @property
    def is_over(self) -> bool:
        return self.process.poll() is not None

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def kill(self) -> None:
        """Kill -9 the parent; its children notice."""
        self.process.kill()
        self.process.wait(30)

    def kill_child(self) -> bool:
        """Kill -9 one of the processes that do the work."""
        children = psutil.Process(self.process.pid).children()
        if children:
            children[0].kill()
        return bool(children)

    def end(self, seconds: float = 40.0) -> float:
        """Ask the service to end, wait for it, and return how long it took."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(seconds)
        return time.monotonic() - began

    def close(self) -> None:
        if self.process.poll() is None:
            family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
            for each in family:
                each.kill()
            self.process.wait(30)


@dataclass
class Queue:
    """Workers and a beat over one ledger and one Redis."""

    office: Office
    broker: str
    _services: list[Service] = field(default_factory=list)
    _connection: psycopg.Connection[Any] | None = None

    def worker(self, *, processes: int = 1, wait: bool = True) -> Service:
        """Start a worker; `wait` until it takes tasks."""
        name = f"w{len(self._services)}@%h"
        quick = ("--without-mingle", "--without-gossip")
        service = self.start("worker", "--concurrency", str(processes), "--hostname", name, *quick)
        if wait:
            self.until(lambda: "ready." in service.log.read_text("utf-8", "replace"), "the worker", service)
        return service

    def beat(self) -> Service:
        return self.start("beat")

    def start(self, *words: str, **environment: str) -> Service:
        """Start a command of `celery -A worker`."""
        log = self.office.folder / f"{len(self._services)}.{words[0]}.log"
        with log.open("wb") as output, Path(os.devnull).open("rb") as nothing:
            process = self.office.launch(
                [str(CELERY), "-A", "worker", *words],
                {"PYTHONWARNINGS": "ignore", **environment},
                stdin=nothing,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._services.append(Service(process, log))
        return self._services[-1]

    def submit(self, *words: Any) -> int:
        """Hand a roster over and return its job."""
        result = self.office.type("submit", *words, "--json")
        assert result.code == 0, result.err
        return result.json["job"]

    @property
    def ledger(self) -> str:
        """Return the address of the ledger."""
        return self.office.environment["ROSTER_LEDGER"]

    def state(self, job: int) -> str:
        return self.ask("select state from job where id = %s", job)

    def ask(self, query: str, *values: Any) -> Any:
        """Return the first value that the ledger has for a query; None when it is away or has none."""
        try:
            line = self._connect().execute(query, values).fetchone()
        except psycopg.OperationalError:
            self._disconnect()
            return None
        return line[0] if line else None

    def _connect(self) -> psycopg.Connection[Any]:
        """Return the connection that all questions share: to open one takes longer than to ask."""
        if self._connection is None:
            self._connection = psycopg.connect(self.ledger.replace("+psycopg", ""), autocommit=True)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def ended(self, *jobs: int, seconds: float = 90.0) -> list[Result]:
        """Wait until jobs move no more; return their reports, held against what the LMS holds."""
        for job in jobs:
            what = f"the end of job {job}"
            self.until(lambda job=job: self.state(job) in RESTING, what, seconds=seconds)
        states = {job: self.ask("select state || ': ' || reason from job where id = %s", job) for job in jobs}
        assert not [why for why in states.values() if "Unexpected error" in why], f"{states}\n{self.logs()}"
        return [self.office.balanced(self.office.type("report", job, "--json")) for job in jobs]

    def until(
        self,
        condition: Any,
        what: str,
        service: Service | None = None,
        *,
        seconds: float = 60.0,
        every: float = 0.05,
    ) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if service is not None and service.process.poll() is not None:
                raise AssertionError(f"{what} ended: {service.log.read_text('utf-8', 'replace')}")
            assert time.monotonic() < deadline, f"{what} never came\n{self.logs()}"
            time.sleep(every)

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.broker)

    def waiting_messages(self, task: str) -> int:
        """Count the messages of a task that no worker has taken; only those of high priority."""
        waiting = self.redis().lrange("roster:queue:roster", 0, -1)
        return sum(json.loads(message)["headers"]["task"] == task for message in waiting)

    def logs(self) -> str:
        """Return the logs of every service."""
        return "\n".join(
            f"--- {each.log.name}\n{each.log.read_text('utf-8', 'replace')[-4000:]}" for each in self._services
        )

    def close(self) -> None:
        self._disconnect()
        for service in self._services:
            service.close()


def open_queue(office: Office, database: str, broker: str, *, sweep_seconds: float = SWEEP_SECONDS) -> Queue:
    """Let an office work through a queue: its ledger and its broker become these."""
    office.environment |= {
        "ROSTER_LEDGER": database,
        "ROSTER_BROKER": broker,
        "ROSTER_SWEEP_SECONDS": str(sweep_seconds),
    }
    return Queue(office, broker)


def everything_in(broker: redis.Redis) -> str:
    """Return every key and value as text, the bodies of messages among them."""
    read: dict[bytes, Any] = {
        b"string": broker.get,
        b"list": lambda key: broker.lrange(key, 0, -1),
        b"hash": broker.hgetall,
        b"set": broker.smembers,
        b"zset": lambda key: broker.zrange(key, 0, -1),
        b"none": lambda _: "",  # it went while we looked
    }
    text = "\n".join(f"{key!r} {read[broker.type(key)](key)!r}" for key in broker.scan_iter())
    bodies = re.findall(r'"body": "([A-Za-z0-9+/=]+)"', text)
    return "\n".join([text, *(base64.b64decode(body).decode() for body in bodies)])
