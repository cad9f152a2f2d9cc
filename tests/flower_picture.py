"""The picture of Flower in docs/queue.md: two workers, one of them killed, and a job half way."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.conftest import ROSTER, SECRETS, wait_until
from tests.servers import free_port, open_redis

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CELERY = Path(sys.executable).with_name("celery")
SIGN_IN = ("roster", "password-of-the-pictures")
WORKER = ("worker", "--concurrency", "2")


def take(browser: Browser, folder: Path, configuration: str, roster: Path, picture: Path) -> None:
    """Run a roster through a queue, and take a picture of Flower's list of tasks and of its list of workers."""
    redis = open_redis(free_port(), folder / "redis")
    (folder / "roster.toml").write_text(f'broker = "{redis.connection_url}"\n{configuration}', encoding="utf-8")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with ExitStack() as services:
        services.callback(redis.stop)
        start = _Start(folder, services)
        start(CELERY, "-A", "worker", "flower", f"--port={port}")
        start(CELERY, "-A", "worker", "beat")
        workers = [start(CELERY, "-A", "worker", *WORKER) for _ in range(2)]
        wait_until(lambda: len(_workers(address)) == len(workers), "the workers")
        submit = [ROSTER, "submit", roster, "--map", "Course=course_id"]
        subprocess.run(submit, cwd=folder, env=_environment(), check=True, capture_output=True)
        page = browser.new_context(
            locale="en-GB",
            viewport={"width": 1400, "height": 640},
            http_credentials={"username": SIGN_IN[0], "password": SIGN_IN[1]},
        ).new_page()
        wait_until(lambda: _has_shown_progress(address), "progress")
        workers[1].kill()
        wait_until(lambda: not all(worker["status"] for worker in _workers(address)), "the worker's end")
        page.goto(f"{address}/tasks")
        page.wait_for_selector("td:has-text('REGISTERING')")
        page.screenshot(path=picture)
        page.goto(f"{address}/workers")
        page.wait_for_selector("text=Offline")
        page.screenshot(path=picture.with_stem(f"{picture.stem}-workers"))


class _Start:
    """Start processes that end with the block."""

    def __init__(self, folder: Path, services: ExitStack) -> None:
        self.folder, self.services = folder, services

    def __call__(self, *command: str | Path) -> subprocess.Popen[bytes]:
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, cwd=self.folder, env=_environment(), **silent)  # type: ignore[call-overload]
        self.services.callback(process.wait)
        self.services.callback(process.terminate)
        return process  # type: ignore[no-any-return]


def _environment() -> dict[str, str]:
    return {**os.environ, **SECRETS, "FLOWER_BASIC_AUTH": ":".join(SIGN_IN), "ROSTER_SWEEP_SECONDS": "1"}


def _workers(address: str) -> list[dict[str, Any]]:
    """Return the workers that Flower lists; none while it starts."""
    try:
        found: list[dict[str, Any]] = httpx.get(f"{address}/workers?json=1", auth=SIGN_IN).json()["data"]
    except httpx.TransportError:
        return []
    return found


def _has_shown_progress(address: str) -> bool:
    tasks = httpx.get(f"{address}/api/tasks", auth=SIGN_IN).json().values()
    return sum("processed" in (task["result"] or "") for task in tasks) > 1
