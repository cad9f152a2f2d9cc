"""How long a stream lasts, and how many there may be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.builders import a_job_of, a_row, open_ledger
from worker.bootstrap import Services
from worker.errors import UnknownJob
from worker.model import JobState
from worker.settings import Settings
from worker.web.caller import Viewer
from worker.web.events import ProgressFeed, StreamLimits
from worker.web.problems import HttpProblem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.responses import Response
    from starlette.types import Message


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    ledger = open_ledger(tmp_path)
    yield Services(settings=Settings(files=str(tmp_path / "files")), ledger=ledger, owner="a/1/1")
    ledger.close()


def viewer(name: str = "vera", *, may_view: bool = True) -> Viewer:
    return Viewer(name=name, credentials=(name,), may_view=lambda: may_view)


async def body_of(response: Response) -> bytes:
    """Return what a client of the stream receives until it ends."""
    received = bytearray()

    async def receive() -> Message:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        received.extend(message.get("body", b""))

    async with asyncio.timeout(20):
        await response({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send)
    return bytes(received)


async def test_a_stream_ends_when_its_time_is_over_and_the_next_one_begins(services: Services) -> None:
    job = a_job_of(services.ledger, a_row(2), state=JobState.SCHEDULED)
    feed = ProgressFeed(services, StreamLimits(per_account=1, seconds=0.1))

    for _ in range(2):
        received = await body_of(await feed.stream(job, viewer()))

        assert received.count(b"data: ") == 1
        assert b"event: end" not in received


async def test_a_stream_ends_when_its_viewer_may_view_it_no_longer(services: Services) -> None:
    job = a_job_of(services.ledger, a_row(2), state=JobState.SCHEDULED)
    feed = ProgressFeed(services)

    received = await body_of(await feed.stream(job, viewer(may_view=False)))

    assert b'"state": "scheduled"' in received


async def test_streams_of_jobs_that_do_not_exist_are_not_counted(services: Services) -> None:
    job = a_job_of(services.ledger, a_row(2), state=JobState.SCHEDULED)
    feed = ProgressFeed(services, StreamLimits(per_account=1, total=2, seconds=0.1))

    for _ in range(5):
        with pytest.raises(UnknownJob):
            await feed.stream(99, viewer())
    first = await feed.stream(job, viewer())
    with pytest.raises(HttpProblem) as own:
        await feed.stream(job, viewer())
    second = await feed.stream(job, viewer("oren"))
    with pytest.raises(HttpProblem) as all_together:
        await feed.stream(job, viewer("cem"))

    assert [own.value.status, all_together.value.status] == [429, 429]
    await asyncio.gather(body_of(first), body_of(second))
    await body_of(await feed.stream(job, viewer("cem")))
