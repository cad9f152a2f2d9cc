"""Ctrl-C and SIGTERM while a command works on a job: whatever it was doing, it says how far the job is.

After `begin` a signal raises KeyboardInterrupt. After `let_end`, when the job has ended or is about to, the first
signal is noted and the next one raises KeyboardInterrupt; `asking` lets an event loop decide what a signal does.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class _Interruption:
    """What a signal does now. Signals are the process's own, and so is this."""

    #: A signal came and did not end the command at once.
    is_noted: bool = False
    is_ending: bool = False
    has_begun: bool = False
    #: The job whose reports are being written.
    job: int | None = None
    ask: Callable[[], object] | None = None

    def handle(self, *_: object) -> None:
        if self.ask is not None:
            self.is_noted = True
            self.ask()
        elif self.is_noted or not self.is_ending:
            _interrupt()
        else:
            self.is_noted = True
            _print_at_once(f"Writing the reports of job {self.job}; press Ctrl-C again to end without them")


_now = _Interruption()


def begin() -> None:
    """Handle the signals from now on: each raises KeyboardInterrupt."""
    _now.is_noted = _now.is_ending = False
    _now.has_begun = True
    for number in _SIGNALS:
        signal.signal(number, _now.handle)


def let_end(job: int) -> None:
    """Note the next signal, since this job is ending; the one after it raises KeyboardInterrupt."""
    _now.is_ending, _now.job = True, job


def note() -> None:
    """Note the signal that has just raised KeyboardInterrupt: the command ends now, and says how far it is."""
    _now.is_noted = _now.is_ending = True


def is_noted() -> bool:
    """Return whether a signal was noted since `begin`."""
    return _now.is_noted


@contextmanager
def asking(ask: Callable[[], object]) -> Iterator[None]:
    """Call `ask` at each signal while the block runs."""
    _now.ask = ask
    try:
        yield
    finally:
        _now.ask = None


def ignore() -> None:
    """Ignore the signals from now on, if they were handled: everything is done, and the exit code is known."""
    if _now.has_begun:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _interrupt() -> None:
    """Raise KeyboardInterrupt; while an event loop runs, outside its tasks: asyncio would print the traceback."""
    import asyncio

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise KeyboardInterrupt from None
    loop.call_soon_threadsafe(_raise_interrupt)


def _raise_interrupt() -> None:
    raise KeyboardInterrupt


def _print_at_once(text: str) -> None:
    """Print to standard error without its buffer: the signal may have come while something was printed there."""
    with suppress(OSError):
        os.write(2, f"{text}\n".encode())
