"""Where the pace of a credential is kept: the interface, and memory for one process. Does not wait.

A store for many processes keeps the same `PaceState`. Its `reserve` is one atomic script over `LimiterState` with
the server's clock; its `report` reads the state, calls `pace.report` and sets the state if nobody else did so
meanwhile (else again); and it lowers `in_flight` for the calls of a process that died, when their lease is over.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from worker.pace.estimator import pace
from worker.pace.hints.response import Hints
from worker.pace.rate import Clock, SystemClock
from worker.pace.state import Decision, Estimate, Grant, Limits, PaceState, Quota

#: What is still to be awaited, when a store could not do it at once.
Pending = Coroutine[Any, Any, None] | None


class PaceStore(Protocol):
    """The pace of one credential, shared by all stores of it."""

    @property
    def limits(self) -> Limits:
        """Return what the settings allow."""
        ...

    @property
    def state(self) -> PaceState:
        """Return the state as last seen; in a store for many processes perhaps a moment old."""
        ...

    def now(self) -> float:
        """Return unix seconds by the clock of the state."""
        ...

    async def reserve(self, length: int = 0) -> Decision:
        """Grant one call now and change the state; or return when to ask again and change nothing.

        `length`: how many rows the shortest waiting job has left; a much shorter one of another process goes first.
        """
        ...

    def report(self, sent: Grant, hints: Hints | None) -> Pending:
        """Apply the answer to a granted call; None for `hints` when there was no answer."""
        ...

    def withdraw(self, sent: Grant) -> Pending:
        """Cancel the grant of a call that was not made."""
        ...


class MemoryStore:
    """The pace of one credential within one process."""

    def __init__(
        self,
        bounds: Limits,
        *,
        found: Estimate | None = None,
        quotas: tuple[Quota, ...] = (),
        not_before: float = 0.0,
        clock: Clock | None = None,
    ) -> None:
        self._bounds = bounds
        self._clock = clock or SystemClock()
        self._state = pace.begin(bounds, found, quotas, not_before)

    @property
    def limits(self) -> Limits:
        """Return what the settings allow."""
        return self._bounds

    @property
    def state(self) -> PaceState:
        """Return the state."""
        return self._state

    def now(self) -> float:
        """Return unix seconds."""
        return self._clock.now()

    async def reserve(self, length: int = 0) -> Decision:  # noqa: ARG002 - one process has its own queue
        """Grant one call now, or return when to ask again."""
        self._state, turn = pace.reserve(self._state, self._clock.now())
        return turn

    def report(self, sent: Grant, hints: Hints | None) -> Pending:
        """Apply the answer to a granted call."""
        self._state = pace.report(self._state, self._bounds, sent, hints, self._clock.now())
        return None

    def withdraw(self, sent: Grant) -> Pending:
        """Cancel the grant of a call that was not made."""
        self._state = pace.withdraw(self._state, sent)
        return None
