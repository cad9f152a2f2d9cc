"""Where the pace of a credential is kept: memory for one process. Knows the arithmetic by name; does not wait.

A store for many processes keeps the same `PaceState`. Its `reserve` is one atomic script over `Flow` with the
server's clock; its `report` reads the state, calls `adaptive.report` and sets the state if nobody else did so
meanwhile (else again); and it lowers `in_flight` for the calls of a process that died, when their lease is over.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Protocol

from worker.pace.estimator import pace
from worker.pace.hints.response import Hints
from worker.pace.rate import Clock, SystemClock
from worker.pace.state import Bounds, Found, PaceState, Sent, Turn

#: What still has to be awaited, when a store could not do it at once.
Unfinished = Coroutine[Any, Any, None] | None


class PaceStore(Protocol):
    """The pace of one credential, shared by all who hold a store of it."""

    @property
    def bounds(self) -> Bounds:
        """Return what the settings allow."""
        ...

    @property
    def state(self) -> PaceState:
        """Return the state as last seen; in a store for many processes perhaps a moment old."""
        ...

    def now(self) -> float:
        """Return unix seconds by the clock of the state."""
        ...

    async def reserve(self, length: int = 0) -> Turn:
        """Give one call leave to go now, changing the state; or say when to ask again, changing nothing.

        `length`: how much the shortest job that asks has left; another process's much shorter one goes first.
        """
        ...

    def report(self, sent: Sent, hints: Hints | None) -> Unfinished:
        """Take in the answer to a call that had leave; None for `hints` when there was no answer."""
        ...

    def withdraw(self, sent: Sent) -> Unfinished:
        """Take back the leave of a call that was not made."""
        ...


class MemoryStore:
    """The pace of one credential within one process."""

    def __init__(
        self, bounds: Bounds, *, found: Found | None = None, not_before: float = 0.0, clock: Clock | None = None
    ) -> None:
        self._bounds = bounds
        self._clock = clock or SystemClock()
        begun = pace.begin(bounds, found)
        self._state = replace(begun, flow=replace(begun.flow, not_before=not_before))

    @property
    def bounds(self) -> Bounds:
        """Return what the settings allow."""
        return self._bounds

    @property
    def state(self) -> PaceState:
        """Return the state."""
        return self._state

    def now(self) -> float:
        """Return unix seconds."""
        return self._clock.now()

    async def reserve(self, length: int = 0) -> Turn:  # noqa: ARG002 - one process has its line for that
        """Give one call leave to go now, or say when to ask again."""
        self._state, turn = pace.reserve(self._state, self._clock.now())
        return turn

    def report(self, sent: Sent, hints: Hints | None) -> Unfinished:
        """Take in the answer to a call that had leave."""
        self._state = pace.report(self._state, self._bounds, sent, hints, self._clock.now())
        return None

    def withdraw(self, sent: Sent) -> Unfinished:
        """Take back the leave of a call that was not made."""
        self._state = pace.withdraw(self._state, sent)
        return None
