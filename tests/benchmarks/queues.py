"""The queue in figures: one quota for all, small jobs beside large ones, its overhead, what stands in Redis.

`python -m tests.benchmarks.queues [quota|fairness|latecomers|overhead|messages …]`. A real Redis, PostgreSQL and
workers, and a sandbox in a process of its own, all on this machine.
"""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests import servers
from tests.conftest import FIRST_NAME, LAST_NAME, Lms, Office
from tests.queues import Queue, open_queue

PORT = 8978
URL = f"http://127.0.0.1:{PORT}"


class Stage:
    """Servers, and a new office with a queue for each measurement."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres = servers.open_postgres(folder / "postgres")
        self.redis = servers.open_redis(servers.free_port(), folder / "redis")

    @contextmanager
    def line(self, *sandbox: str, **connection: Any) -> Iterator[tuple[Queue, Lms]]:
        """Open a sandbox with these options, an office and its queue; `broker=False` for none."""
        with ExitStack() as stack:
            stack.enter_context(_sandbox(*sandbox))
            client = stack.enter_context(httpx.Client(base_url=URL, timeout=60))
            lms = Lms(URL, client, None)
            office = Office(Path(tempfile.mkdtemp(dir=self.folder)), lms)
            office.connect(URL, "north", **connection)
            database = stack.enter_context(servers.a_database(self.postgres))
            line = open_queue(office, database, f"{self.redis.connection_url}/0")
            line.redis().flushall()
            stack.callback(line.close)
            yield line, lms

    def close(self) -> None:
        self.redis.stop()
        self.postgres.cleanup()


@contextmanager
def _sandbox(*options: str) -> Iterator[None]:
    roster = Path(sys.executable).with_name("roster")
    process = subprocess.Popen([roster, "sandbox", "--port", str(PORT), *options], stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                httpx.get(f"{URL}/sandbox/state")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def quota(stage: Stage) -> None:
    """One quota for all: accepted calls a second and refusals with 1, 2 and 4 processes."""
    for words in ({"rate": "40/second"}, {}):
        for processes in (1, 2, 4):
            with stage.line("--quota", "bucket:40/second:burst=40", "--latency", "0.05", **words) as (line, lms):
                for _ in range(processes):
                    line.worker(processes=1)
                line.beat()
                line.office.people("roster.csv", 2400)
                job = line.submit("roster.csv")
                line.until(lambda lms=lms: lms.calls() > 400, "the start")
                began, before = time.monotonic(), lms.calls() - _refused(lms)
                line.until(lambda lms=lms: lms.calls() > 2200, "the end", seconds=200)
                accepted = (lms.calls() - _refused(lms) - before) / (time.monotonic() - began)
                line.ended(job, seconds=200)
                share = _refused(lms) / lms.calls()
                kind = "configured" if words else "found out"
                print(f"quota 40/s, {kind}, {processes} processes: {accepted:.2f} accepted/s, {share:.2%} refused")  # noqa: T201


def _refused(lms: Lms) -> int:
    return lms.answered("create_candidate", 429) + lms.answered("register", 429)


def fairness(stage: Stage) -> None:
    """Ten jobs of 20 to 20,000 rows, handed over by one command, and each of the small ones alone.

    `at best`: as long as alone, and the calls of the shorter ones first, at the pace that all share.
    """
    sizes = (20_000, 8_000, 3_000, 1_200, 500, 200, 100, 60, 30, 20)
    rate = 60
    alone, together = {}, {}
    for size in sizes[-5:]:
        with stage.line("--latency", "0.02", rate=f"{rate}/second") as (line, _):
            _open_shop(line)
            line.office.people("roster.csv", size)
            alone[size] = _seconds(line, [line.submit("roster.csv")])[0]
    with stage.line("--latency", "0.02", rate=f"{rate}/second") as (line, _):
        _open_shop(line)
        for place, size in enumerate(sizes):
            line.office.people(f"{size}.csv", size, first=1 + place * 30_000)
        handed_over = line.office.type("submit", *(f"{size}.csv" for size in sizes), "--json").json
        seconds = _seconds(line, [each["job"] for each in handed_over[-5:]])
        together = dict(zip(sizes[-5:], seconds, strict=True))
    for size in sizes[-5:]:
        best = alone[size] + sum(shorter + 1 for shorter in sizes[-5:] if shorter < size) / rate
        print(  # noqa: T201
            f"fairness, {size:>4} rows: {alone[size]:5.1f} s alone, {best:5.1f} s at best beside nine others, "
            f"{together[size]:5.1f} s in fact"
        )


def latecomers(stage: Stage) -> None:
    """Short jobs that come while one of 20,000 rows is sent, and the same alone; one after the other."""
    sizes = (20, 30, 60, 100)
    with stage.line("--latency", "0.02", rate="60/second") as (line, _):
        _open_shop(line)
        alone = [_one(line, f"alone {size}", size, first=1_000 * size) for size in sizes]
        line.office.people("long.csv", 20_000, first=200_000)
        long = line.submit("long.csv")
        line.until(lambda: line.state(long) == "running", "the long job", seconds=100)
        time.sleep(5)
        beside = [_one(line, f"beside {size}", size, first=500_000 + 1_000 * size) for size in sizes]
    for size, one, other in zip(sizes, alone, beside, strict=True):
        print(f"latecomers, {size:>4} rows: {one:5.1f} s alone, {other:5.1f} s beside one of 20,000 at work")  # noqa: T201


def _one(line: Queue, name: str, size: int, *, first: int) -> float:
    line.office.people(f"{name}.csv", size, first=first)
    return _seconds(line, [line.submit(f"{name}.csv")])[0]


def _open_shop(line: Queue) -> None:
    line.worker(processes=2)
    line.beat()


def _seconds(line: Queue, jobs: list[int]) -> list[float]:
    """Return how long each job took from being handed over to its end."""
    for job in jobs:
        line.until(lambda job=job: line.state(job) == "succeeded", f"the end of job {job}", seconds=400, every=0.1)
    return [line.ask("select finished_at - created_at from job where id = %s", job) for job in jobs]


def overhead(stage: Stage) -> None:
    """Rows a second through Celery with two processes, beside `roster run`; nothing limits, 10 ms an answer."""
    rows = 3_000
    for latency in ("0.01", "0.05"):
        queued, embedded = [], []
        for _ in range(2):
            with stage.line("--latency", latency, batch_size=50, max_in_flight=16) as (line, _lms):
                _open_shop(line)
                line.office.people("roster.csv", rows)
                job = line.submit("roster.csv")
                line.until(lambda line=line, job=job: line.state(job) == "succeeded", "the end", seconds=300)
                queued.append(rows / line.ask("select finished_at - started_at from job where id = %s", job))
                line.close()
                del line.office.environment["ROSTER_BROKER"]
                httpx.post(f"{URL}/sandbox/reset")
                line.office.environment["ROSTER_LEDGER"] = f"sqlite:///{line.office.folder / 'own.db'}"
                embedded.append(rows / line.office.run("roster.csv").summary["duration_seconds"])
        ratio = max(queued) / max(embedded)
        print(  # noqa: T201
            f"overhead, {latency} s an answer: {max(queued):,.0f} rows/s through Celery with 2 processes, "
            f"{max(embedded):,.0f} by `roster run`: {ratio:.2f}"
        )


def messages(stage: Stage) -> None:
    """A roster of 20,000 rows: how many messages stand in Redis, and whether any of it is personal."""
    with stage.line("--latency", "0.01") as (line, lms):
        _open_shop(line)
        line.office.people("roster.csv", 20_000)
        line.submit("roster.csv")
        line.until(lambda: lms.calls() > 50, "a call", seconds=120)
        most, seen = 0, ""
        for _ in range(60):
            redis = line.redis()
            lists = [key for key in redis.scan_iter("roster:queue:roster*") if redis.type(key) == b"list"]
            most = max(most, sum(redis.llen(key) for key in lists) + redis.hlen("roster:queue:unacked"))
            seen += _everything(redis)
            time.sleep(0.25)
        personal = re.findall(f"{FIRST_NAME}|{LAST_NAME}|example.com|sandbox-token", seen, re.IGNORECASE)
        settled = line.ask("select count(*) from row where status <> 'not_attempted'")
        print(f"messages: {most} at most, waiting and under way, {settled} rows settled; personal: {len(personal)}")  # noqa: T201


def _everything(redis: Any) -> str:
    texts = []
    for key in redis.scan_iter():
        dumped = redis.dump(key) or b""
        texts += [repr(key), dumped.decode("latin-1")]
        if redis.type(key) == b"list":
            texts += [item.decode() for item in redis.lrange(key, 0, -1)]
        if redis.type(key) == b"hash":
            texts += [value.decode("latin-1") for value in redis.hgetall(key).values()]
    text = "\n".join(texts)
    return text + "".join(
        base64.b64decode(body).decode() for body in re.findall(r'"body": "([A-Za-z0-9+/=]+)"', text)
    )


MEASUREMENTS = {each.__name__: each for each in (quota, fairness, latecomers, overhead, messages)}


def main(*names: str) -> None:
    """Run these measurements, or all."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        try:
            for name in names or MEASUREMENTS:
                MEASUREMENTS[name](stage)
        finally:
            stage.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
