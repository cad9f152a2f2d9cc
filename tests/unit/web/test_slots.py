"""What is slow delays nothing else: downloads, passwords, the look at the ledger's health."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from worker.web.problems import HttpProblem
from worker.web.slots import WAITING_DOWNLOADS, HealthCheck, JobSlots, RequestsInProgress

if TYPE_CHECKING:
    from collections.abc import Iterator


class Work:
    """Something slow, and how much of it runs at a time."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.running = self.most = 0
        self._lock = threading.Lock()

    def run(self) -> bool:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.go.wait(20)
        with self._lock:
            self.running -= 1
        return True


@pytest.fixture
def work() -> Iterator[Work]:
    made = Work()
    yield made
    made.go.set()


async def until_running(work: Work, count: int) -> None:
    async with asyncio.timeout(20):
        while work.running < count:  # noqa: ASYNC110 - a thread tells it
            await asyncio.sleep(0.01)


async def test_an_account_downloads_one_report_at_a_time(work: Work) -> None:
    slots = JobSlots("downloads")
    downloads = [asyncio.create_task(slots.run("vera", job, work.run)) for job in range(1, 6)]
    await until_running(work, 1)

    other = asyncio.create_task(slots.run("oren", 9, work.run))
    await until_running(work, 2)
    work.go.set()

    assert await asyncio.gather(other, *downloads) == [True] * 6
    assert work.most == 2


async def test_a_report_that_waits_for_another_of_its_job_takes_no_thread(work: Work) -> None:
    slots = JobSlots("downloads")
    downloads = [asyncio.create_task(slots.run(f"viewer{number}", 1, work.run)) for number in range(8)]
    await until_running(work, 1)

    other = asyncio.create_task(slots.run("oren", 2, work.run))
    await until_running(work, 2)
    work.go.set()

    assert await asyncio.gather(other, *downloads) == [True] * 9


async def test_too_many_waiting_downloads_are_refused_and_later_ones_are_not(work: Work) -> None:
    slots = JobSlots("downloads")
    downloads = [asyncio.create_task(slots.run("vera", 1, work.run)) for _ in range(WAITING_DOWNLOADS + 1)]
    await until_running(work, 1)

    with pytest.raises(HttpProblem) as refused:
        await slots.run("vera", 1, work.run)
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "5"})
    work.go.set()
    await asyncio.gather(*downloads)

    assert await slots.run("vera", 1, work.run)


async def test_one_that_is_cancelled_is_asked_to_stop_and_frees_its_place_when_it_has_ended(work: Work) -> None:
    slots = JobSlots("verifications")
    stopped: list[bool] = []
    first = asyncio.create_task(slots.run("vera", 1, work.run, stop=lambda: stopped.append(True)))
    await until_running(work, 1)
    waiting = [asyncio.create_task(slots.run("vera", 1, work.run)) for _ in range(3)]
    await asyncio.sleep(0)

    waiting[0].cancel()
    first.cancel()
    await asyncio.wait({waiting[0]})
    assert not first.done()
    work.go.set()

    assert await asyncio.gather(*waiting[1:]) == [True, True]
    assert (first.cancelled(), stopped, work.most) == (True, [True], 1)
    assert await slots.run("oren", 1, work.run)


async def test_one_that_fails_frees_its_place(work: Work) -> None:
    slots = JobSlots("verifications")
    work.go.set()

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await slots.run("vera", 1, lambda: 1 // 0)

    assert await slots.run("vera", 1, work.run)


async def test_one_that_waits_too_long_is_refused_and_the_others_are_not(work: Work) -> None:
    slots = JobSlots("verifications", wait_seconds=0.05)
    first = asyncio.create_task(slots.run("vera", 1, work.run))
    await until_running(work, 1)

    with pytest.raises(HttpProblem) as refused:
        await slots.run("oren", 1, work.run)
    work.go.set()

    assert (refused.value.status, refused.value.detail) == (
        503,
        "Other verifications take too long. Try again when they have ended",
    )
    assert await first
    assert await slots.run("oren", 1, work.run)


async def test_the_health_is_told_while_a_look_at_the_ledger_hangs(work: Work) -> None:
    health = HealthCheck(work.run, wait_seconds=0.05)

    hanging = [await health.is_readable() for _ in range(3)]
    assert work.most == 1
    work.go.set()
    async with asyncio.timeout(20):
        while not await health.is_readable():  # noqa: ASYNC110 - a thread tells it
            await asyncio.sleep(0.01)
    work.go.clear()
    again = await health.is_readable()

    assert hanging == [False] * 3
    assert again


async def test_a_thousand_questions_for_the_health_share_one_look(work: Work) -> None:
    health = HealthCheck(work.run)
    asked = [asyncio.create_task(health.is_readable()) for _ in range(1000)]
    await until_running(work, 1)
    work.go.set()

    assert await asyncio.gather(*asked) == [True] * 1000
    assert work.most == 1


def test_requests_in_progress_are_limited_for_an_account_an_address_and_all() -> None:
    requests = RequestsInProgress(in_all=3)

    with requests.counted(), requests.counted(), requests.counted():
        with pytest.raises(HttpProblem) as busy, requests.counted():
            pass
        assert busy.value.status == 503
    with requests.counted():
        pass
    held = [requests.counted_for("", "192.0.2.1") for _ in range(100)]
    for each in held:
        each.__enter__()
    with pytest.raises(HttpProblem) as refused, requests.counted_for("", "192.0.2.1"):
        pass
    assert refused.value.status == 429
    with requests.counted_for("", "192.0.2.2"), requests.counted_for("vera", "192.0.2.1"):
        pass
    for each in held:
        each.__exit__(None, None, None)
    with requests.counted_for("", "192.0.2.1"):
        pass
