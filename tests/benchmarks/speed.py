"""Rows per second of `roster run`, without any limit, against a bare loop of the same httpx calls.

Both make the same calls to the same sandbox (a process of its own) with the same number in flight, in turn, several
times; the ratio of the medians is what counts. `python -m tests.benchmarks.speed [rows]`
"""

from __future__ import annotations

import asyncio
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from httpx_aiohttp import AiohttpTransport

from worker.bootstrap import open_services
from worker.intake.accept import accept
from worker.intake.importing import import_roster
from worker.intake.options import Options
from worker.ledger import jobs
from worker.lms import rules_of
from worker.runtime.embedded import Runner

PORT = 8977
URL = f"http://127.0.0.1:{PORT}"
IN_FLIGHT, BATCH, ROUNDS, LATENCY = 8, 50, 5, 0.01
SANDBOX = f"""
from worker.sandbox.server import make_state, serve
serve("127.0.0.1", {PORT}, make_state(latency={{latency}}))
"""


def main(rows: int = 1000) -> None:
    """Print the ratio for each system, with and without latency of the LMS."""
    for latency in (0.0, LATENCY):
        sandbox = subprocess.Popen([sys.executable, "-c", SANDBOX.format(latency=latency)])
        try:
            _wait_for_sandbox()
            for system in ("tahdah", "kmi"):
                _compare(system, rows, latency)
        finally:
            sandbox.terminate()
            sandbox.wait()


def _compare(system: str, rows: int, latency: float) -> None:
    bare, ours = [], []
    for _ in range(ROUNDS):
        bare.append(rows / _timed(_bare_tahdah if system == "tahdah" else _bare_kmi, rows))
        ours.append(rows / _roster(system, rows))
    fast, slow = statistics.median(bare), statistics.median(ours)
    print(  # noqa: T201
        f"{system:>7}, {rows} rows, {latency * 1000:.0f} ms, {IN_FLIGHT} in flight: bare loop {fast:,.0f} rows/s, "
        f"roster {slow:,.0f} rows/s, ratio {slow / fast:.2f} (rounds: "
        f"{', '.join(f'{mine / theirs:.2f}' for mine, theirs in zip(ours, bare, strict=True))})"
    )


def _wait_for_sandbox() -> None:
    for _ in range(100):
        try:
            httpx.get(f"{URL}/sandbox/state")
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return


def _timed(loop: object, rows: int) -> float:
    httpx.post(f"{URL}/sandbox/reset")
    began = time.perf_counter()
    asyncio.run(loop(rows))
    return time.perf_counter() - began


def _client(headers: dict[str, str]) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    return httpx.AsyncClient(transport=AiohttpTransport(limits=limits), base_url=URL, headers=headers)


async def _bare_tahdah(rows: int) -> None:
    path = "/api/learningexperiences/legalentities/42/experiences/58/registrations"
    async with _client({"Authorization": "Bearer sandbox-token"}) as client:
        slots = asyncio.Semaphore(IN_FLIGHT)

        async def create(number: int) -> int:
            async with slots:
                answer = await client.post("/api/candidates", json=_person(number))
                return answer.json()["candidateId"]

        ids = await asyncio.gather(*(create(number) for number in range(rows)))
        for start in range(0, rows, BATCH):
            items = [
                {"candidateId": who, "behavior": 1, "registrationDate": "2026-01-15"}
                for who in ids[start : start + BATCH]
            ]
            (await client.post(path, json={"candidateIds": items})).raise_for_status()


async def _bare_kmi(rows: int) -> None:
    async with _client({"X-Api-Key": "sandbox-key", "X-Api-Secret": "sandbox-secret"}) as client:
        slots = asyncio.Semaphore(IN_FLIGHT)

        async def register(number: int) -> None:
            async with slots:
                user = await client.post("/api/v2/users/", json=_person(number) | {"loginName": f"p{number}"})
            async with slots:
                body = {"courseId": 58, "userId": user.json()["id"], "externalId": f"bare-{number}"}
                (await client.post("/api/v2/registrations/", json=body)).raise_for_status()

        await asyncio.gather(*(register(number) for number in range(rows)))


def _person(number: int) -> dict[str, str]:
    return {"email": f"p{number}@example.com", "firstName": f"F{number}", "lastName": f"L{number}"}


def _roster(system: str, rows: int) -> float:
    """Return the seconds from taking the job up to its end, the reading of the file and the reports left out."""
    httpx.post(f"{URL}/sandbox/reset")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        services = open_services(_configure(Path(folder)))
        connection = services.connection(system)
        accepted = accept(
            services.ledger,
            _write_roster(Path(folder), rows),
            name="people.csv",
            connection=connection,
            options=Options(),
            store=services.store,
            report_dir=Path(folder),
        )
        with services.ledger.write() as tx:
            jobs.claim_job(tx, accepted.job_id, services.owner)
        import_roster(services.ledger, accepted.job_id, rules_of(connection), owner=services.owner)
        with services.ledger.write() as tx:
            jobs.release_job(tx, accepted.job_id, services.owner)
        began = time.perf_counter()
        job = asyncio.run(Runner(services=services, job_id=accepted.job_id, connection=connection).run())
        seconds = time.perf_counter() - began
        services.ledger.close()
        if job.state != "succeeded":
            raise SystemExit(f"the job ended {job.state}: {job.reason}")
    return seconds


def _write_roster(folder: Path, rows: int) -> Path:
    path = folder / "people.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["email", "first_name", "last_name", "login_name", "course_id"])
        writer.writerows([f"p{n}@example.com", f"F{n}", f"L{n}", f"p{n}", "58"] for n in range(rows))
    return path


def _configure(folder: Path) -> Path:
    config = folder / "roster.toml"
    common = f"batch_size = {BATCH}\nmax_in_flight = {IN_FLIGHT}\n"
    config.write_text(
        f'[connections.tahdah]\nsystem = "tahdah"\nbase_url = "{URL}"\ntoken = "sandbox-token"\n'
        f"legal_entity_id = 42\nbehavior = 1\n{common}"
        f'[connections.kmi]\nsystem = "kmi"\nbase_url = "{URL}/api/v2"\napi_key = "sandbox-key"\n'
        f'api_secret = "sandbox-secret"\n{common}',
        encoding="utf-8",
    )
    return config


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
