"""A configured rate and how it is written; the clock. Knows nothing of measured rates."""

from __future__ import annotations

import asyncio
import math
import re
import time
from dataclasses import dataclass
from typing import Protocol

#: Seconds per unit, by the first letter of the unit; "ms" is not a unit of any LMS's limit.
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_FORM = re.compile(
    r"\s*(?P<calls>\d+(?:[_,]\d{3})*(?:\.\d+)?)\s*(?:/|per)\s*(?P<many>\d+(?:\.\d+)?)?\s*"
    r"(?P<unit>s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)\s*",
    re.IGNORECASE,
)

#: Share of a known rate that is spent evenly; the rest pays for the burst, so that both never pass the rate.
SHARE = 0.985


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """At most `calls` calls in any `per_seconds` seconds."""

    calls: float
    per_seconds: float

    def __post_init__(self) -> None:
        if not (0 < self.calls < math.inf and 0 < self.per_seconds < math.inf):
            raise ValueError(f"A rate needs calls and seconds above 0, not {self.calls} per {self.per_seconds} s.")

    @property
    def per_second(self) -> float:
        """Return calls per second."""
        return self.calls / self.per_seconds

    @property
    def interval(self) -> float:
        """Return the seconds between two calls, spent evenly: per_seconds / (0.985 · calls)."""
        return self.per_seconds / (SHARE * self.calls)

    @property
    def slack(self) -> float:
        """Return how many seconds of being late (or idle) may be made up: 0.015 · per_seconds.

        Any stretch W then holds at most (W + slack) / interval < calls calls, rounded up: never more than the rate.
        """
        return (1 - SHARE) * self.per_seconds


def parse_rate(text: str) -> Rate:
    """Read "20/second", "100/min", "1000/hour", "500/5s"; ValueError names the forms."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not a rate; write calls/time, such as 20/second, 100/minute, 1000/hour, 20/s or 500/5s."
        )
    calls = float(re.sub(r"[_,]", "", match["calls"]))
    per_seconds = float(match["many"] or 1) * UNITS[match["unit"][0].lower()]
    return Rate(calls=calls, per_seconds=per_seconds)


class Clock(Protocol):
    """Tells the time and sleeps."""

    def now(self) -> float:
        """Return unix seconds; never less than before."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...


class SystemClock:
    """The time of this machine; set once, then steady, whatever is done to the machine's clock."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Return unix seconds."""
        return self._offset + time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)
