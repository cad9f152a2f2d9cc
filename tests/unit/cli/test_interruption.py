"""A signal ends what a command does, wherever it is."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Iterator

import pytest

from worker.cli import interruption

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Give the signals back to pytest."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_in_a_task_ends_the_loop_and_every_task_cleans_up(
    number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    cleaned_up: list[str] = []

    async def call(name: str) -> None:
        try:
            signal.raise_signal(number)
            await asyncio.sleep(3_600)
        finally:
            cleaned_up.append(name)

    async def work() -> None:
        try:
            await asyncio.gather(call("call"), asyncio.sleep(3_600))
        finally:
            cleaned_up.append("work")

    interruption.begin()
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(work())
    gc.collect()

    assert cleaned_up == ["call", "work"]
    assert caplog.text == ""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_outside_a_loop_interrupts_at_once(number: signal.Signals) -> None:
    interruption.begin()

    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
