"""An answer that states a limit, with what it takes to read it: our calls, trips and the server's clock. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from worker.pace.estimator import server_clock
from worker.pace.hints.response import Hints
from worker.pace.state import Estimate, Grant, LimiterState, Quota

#: Share of a trip after which a call arrives; the least and the most.
ARRIVES, SOONEST, LATEST = 0.4, 0.3, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer to the call `sent`; `refused` calls of all time were refused."""

    found: Estimate
    flow: LimiterState
    sent: Grant
    hints: Hints
    refused: int
    now: float

    @property
    def left(self) -> float:
        """Return the calls that the answer says are left."""
        return max(0.0, self.hints.remaining or 0.0)

    @property
    def arrived(self) -> float:
        """Return when the call arrived, about."""
        return self.sent.at + ARRIVES * (self.now - self.sent.at)

    @property
    def jitter(self) -> float:
        """Return how much sooner one call may arrive than another that was sent at the same time, in seconds."""
        return max(0.0, LATEST * self.found.longest_trip - SOONEST * self.found.shortest_trip)

    @property
    def total(self) -> float:
        """Return what is left and all calls before: it rises with what flows into a bucket."""
        return self.left + self.sent.number - self.refused

    @property
    def out_before(self) -> int:
        """Return how many calls that were sent before this one have no answer yet: they may be refused."""
        return max(0, self.flow.in_flight - (self.flow.sent - self.sent.number))

    def load(self, quota: Quota) -> int:
        """Return how many of our calls the quota counted when this one arrived, itself included."""
        begun = max(quota.since, self.sent.at - quota.seconds)
        later = self.flow.sent - self.sent.number
        return max(1, len(self.flow.history) - bisect_right(self.flow.history, begun) - later)

    def loads(self, begun: float) -> tuple[int, int]:
        """Return how many of our calls a window from `begun` on held when this one arrived, at least and at most.

        Calls that are sent within the jitter of each other arrive in any order, before or after a window begins.
        """
        history, jitter = self.flow.history, self.jitter
        most = bisect_right(history, self.sent.at + jitter) - bisect_right(history, begun - jitter)
        least = bisect_left(history, self.sent.at - jitter) - bisect_right(history, begun + jitter)
        return 1 + max(0, least), max(1, most)

    def oldest_call(self) -> float:
        """Return when the oldest call was sent that is remembered."""
        return self.flow.history[0] if self.flow.history else self.sent.at

    def sent_since(self, calls: float) -> float:
        """Return when our last `calls` calls up to this one began to be sent."""
        known = self.flow.history[: bisect_right(self.flow.history, self.sent.at)]
        return (known[max(0, len(known) - int(calls))] if known and calls >= 1 else self.sent.at) - 1e-6

    def first_since(self, moment: float) -> float:
        """Return when our first call from this moment on was sent: a window may begin with it; else the moment."""
        index = bisect_left(self.flow.history, moment)
        return self.flow.history[index] - 1e-6 if index < len(self.flow.history) else moment

    def reset(self) -> tuple[float, float]:
        """Return when the quota resets, at the latest, and in how many seconds at least; (0, 0) when not stated."""
        hints = self.hints
        if hints.reset_in is None:
            return 0.0, 0.0
        if hints.reset_at is not None and self.found.clock_low < self.found.clock_high:
            latest = server_clock.at_the_latest(self.found, hints.reset_at)
            return latest, server_clock.at_the_earliest(self.found, hints.reset_at - 1) - self.arrived
        rounding = 1.0 if hints.reset_in == int(hints.reset_in) else 0.01
        return self.arrived + hints.reset_in, hints.reset_in - rounding
