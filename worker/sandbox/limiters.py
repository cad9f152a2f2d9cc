"""The arithmetic of quotas: one counter per kind. Knows no HTTP.

A refused call asks `wait` and takes nothing, unless the quota counts refused calls too.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

from worker.sandbox.hints import QuotaUsage
from worker.sandbox.quota import Kind, Quota


class Limiter(Protocol):
    """Counts calls against one quota."""

    def wait(self, at: float) -> float:
        """Return the seconds until a call would be let in; 0 when it would be now."""

    def take(self, at: float) -> None:
        """Count a call that was let in."""

    def leave(self) -> None:
        """Note that a call has ended."""

    def standing(self, at: float) -> QuotaUsage:
        """Return what the RateLimit headers say."""


class Bucket:
    """A token bucket, full at first."""

    def __init__(self, quota: Quota) -> None:
        self.rate = quota.calls / quota.seconds
        self.size = float(quota.burst or quota.calls)
        self.level, self.filled_at = self.size, 0.0

    def wait(self, at: float) -> float:
        """Fill up, and return the seconds until a whole token is there."""
        self.level = min(self.size, self.level + max(0.0, at - self.filled_at) * self.rate)
        self.filled_at = max(self.filled_at, at)
        missing = 1.0 - self.level
        return missing / self.rate if missing > 1e-9 else 0.0  # noqa: PLR2004 what adding floats may lose

    def take(self, at: float) -> None:  # noqa: ARG002 a bucket gets the time in wait
        """Take a token."""
        self.level -= 1.0

    def leave(self) -> None:
        """Do nothing: a token is spent."""

    def standing(self, at: float) -> QuotaUsage:
        """Return the tokens left and the time until the bucket is full."""
        self.wait(at)
        full = (self.size - self.level) / self.rate
        return QuotaUsage(
            limit=int(self.size), remaining=int(max(0, self.level)), reset=full, window=self.size / self.rate
        )


class Window:
    """A fixed window, aligned to the clock."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self.number, self.used = -1, 0

    def wait(self, at: float) -> float:
        """Open a new window when it is time, and return the seconds to the end of a full one."""
        number = math.floor(at / self.quota.seconds)
        if number > self.number:
            self.number, self.used = number, 0
        return 0.0 if self.used < self.quota.calls else max(0.001, (self.number + 1) * self.quota.seconds - at)

    def take(self, at: float) -> None:  # noqa: ARG002 a window gets the time in wait
        """Use up one call of the window."""
        self.used += 1

    def leave(self) -> None:
        """Do nothing: the call is spent."""

    def standing(self, at: float) -> QuotaUsage:
        """Return the calls left and the time until the window ends."""
        self.wait(at)
        left, ends = self.quota.calls - self.used, (self.number + 1) * self.quota.seconds - at
        return QuotaUsage(limit=self.quota.calls, remaining=max(0, left), reset=ends, window=self.quota.seconds)


class Log:
    """A sliding log: every call is kept until it is old enough."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self.taken: deque[float] = deque()

    def wait(self, at: float) -> float:
        """Forget the old calls, and return the seconds until the oldest one that counts has become old."""
        while self.taken and self.taken[0] + self.quota.seconds <= at:
            self.taken.popleft()
        excess = len(self.taken) - self.quota.calls
        return 0.0 if excess < 0 else self.taken[excess] + self.quota.seconds - at

    def take(self, at: float) -> None:
        """Keep the call."""
        self.taken.append(at)

    def leave(self) -> None:
        """Do nothing: the call counts until it is old."""

    def standing(self, at: float) -> QuotaUsage:
        """Return the calls left and the time until all calls are old."""
        self.wait(at)
        reset = self.taken[-1] + self.quota.seconds - at if self.taken else 0.0
        left = max(0, self.quota.calls - len(self.taken))
        return QuotaUsage(limit=self.quota.calls, remaining=left, reset=reset, window=self.quota.seconds)


class AtOnce:
    """A number of calls in flight."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self.in_flight = 0

    def wait(self, at: float) -> float:  # noqa: ARG002 nobody knows when a call will end
        """Return 0 when there is room, else a second, as 360Learning advises."""
        return 0.0 if self.in_flight < self.quota.calls else 1.0

    def take(self, at: float) -> None:  # noqa: ARG002
        """Take a place."""
        self.in_flight += 1

    def leave(self) -> None:
        """Give the place back."""
        self.in_flight -= 1

    def standing(self, at: float) -> QuotaUsage:  # noqa: ARG002
        """Return the places left."""
        left = max(0, self.quota.calls - self.in_flight)
        return QuotaUsage(limit=self.quota.calls, remaining=left, reset=1.0, window=1.0)


def limiter(quota: Quota) -> Limiter:
    """Return a fresh counter for a quota."""
    makers: dict[Kind, type[Bucket | Window | Log | AtOnce]] = {
        Kind.BUCKET: Bucket,
        Kind.WINDOW: Window,
        Kind.LOG: Log,
        Kind.AT_ONCE: AtOnce,
    }
    return makers[quota.kind](quota)
