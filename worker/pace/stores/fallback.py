"""The pace of a process that has lost sight of the others: its share of what was known last. Does no waiting."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from worker.pace.estimator import pace
from worker.pace.rate import Rate
from worker.pace.state import Bounds, PaceState, Sent, Turn

if TYPE_CHECKING:
    from worker.pace.hints.response import Hints


class Alone:
    """One process on its own; the calls that it lets through have negative numbers."""

    def __init__(self, known: PaceState, bounds: Bounds, *, sharers: int, now: float) -> None:
        self._bounds = _share(bounds, sharers)
        found = replace(
            known.found,
            rate=known.found.rate / sharers,
            ceiling=known.found.ceiling / sharers,
            most_at_once=-(-known.found.most_at_once // sharers),
        )
        state = PaceState(
            found=found, flow=replace(known.flow, in_flight=0, sent=0, next_at=now), counts=known.counts
        )
        self._state = pace.settled(state, self._bounds, now)
        #: When to look for Redis again, on the monotonic clock.
        self.try_again_at = 0.0

    @property
    def state(self) -> PaceState:
        """Return the state of this process's share."""
        return self._state

    def reserve(self, now: float) -> Turn:
        """Give one call leave to go now, or say when to ask again."""
        self._state, turn = pace.reserve(self._state, now)
        return replace(turn, sent=replace(turn.sent, number=-turn.sent.number)) if turn.sent else turn

    def report(self, sent: Sent, hints: Hints | None, now: float) -> None:
        """Take in the answer to a call."""
        ours = sent.number < 0
        if not ours:
            # It had leave from Redis: it holds no slot here.
            self._state = replace(
                self._state, flow=replace(self._state.flow, in_flight=self._state.flow.in_flight + 1)
            )
        self._state = pace.report(self._state, self._bounds, replace(sent, number=abs(sent.number)), hints, now)

    def withdraw(self, sent: Sent) -> None:
        """Take back the leave of a call that was not made."""
        self._state = pace.withdraw(self._state, replace(sent, number=-sent.number))


def _share(bounds: Bounds, sharers: int) -> Bounds:
    rate = bounds.rate
    return Bounds(
        max_in_flight=max(1, bounds.max_in_flight // sharers),
        rate=Rate(calls=rate.calls / sharers, per_seconds=rate.per_seconds) if rate else None,
    )
