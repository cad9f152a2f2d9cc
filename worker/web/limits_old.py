"""How often one client may call the API: so many calls a minute, spread or at once."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from worker.web.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

#: So many clients are remembered; the one that was away longest is forgotten first.
MOST_CLIENTS = 10_000


class Limits:
    """A bucket for each client, filled evenly."""

    def __init__(self, per_minute: int) -> None:
        self._size = float(per_minute)
        self._per_second = per_minute / 60
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, request: Request) -> None:
        """Count a call; raises Problem 429 that says when to come again."""
        name = request.state.who.name
        client = f"name:{name}" if name else f"host:{request.client.host if request.client else ''}"
        seconds = self.wait(client, time.monotonic())
        if seconds:
            again = {"Retry-After": str(math.ceil(seconds))}
            raise Problem(429, f"More than {self._size:,.0f} calls a minute; come again in {seconds:.1f} s", again)

    def wait(self, client: str, at: float) -> float:
        """Count a call of a client; when there were too many, count nothing and return the seconds to wait."""
        left, since = self._buckets.pop(client, (self._size, at))
        left = min(self._size, left + (at - since) * self._per_second)
        seconds = 0.0 if left >= 1 else (1 - left) / self._per_second
        self._buckets[client] = (left if seconds else left - 1, at)
        while len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return seconds
