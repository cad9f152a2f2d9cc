"""Who waits, in which order: the shortest job first, first come first served within it. Knows no time."""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

Waiter = TypeVar("Waiter")
#: Of so many calls one goes to the jobs in turn, so that a long one moves however many short ones come.
IN_TURN = 8


class Lanes(Generic[Waiter]):
    """A line for each job; the one with the fewest rows left is served first.

    So twelve rows do not wait behind twenty thousand. Jobs of one length are served in turn, and now and then all.
    """

    def __init__(self) -> None:
        self._lanes: OrderedDict[str, deque[Waiter]] = OrderedDict()
        self._lengths: dict[str, int] = {}
        self._served = itertools.count(1)

    def __bool__(self) -> bool:
        return bool(self._lanes)

    @property
    def shortest(self) -> int:
        """Return how much the shortest job in line has left."""
        return min(self._lengths.values(), default=0)

    def add(self, lane: str, waiter: Waiter, length: int = 0) -> None:
        """Put a waiter at the end of its lane; `length`: how much its job has left."""
        self._lanes.setdefault(lane, deque()).append(waiter)
        self._lengths[lane] = length

    def take(self) -> Waiter:
        """Take out the waiter whose turn it is, and move its lane behind the others."""
        in_turn = next(self._served) % IN_TURN == 0
        lane = next(iter(self._lanes)) if in_turn else min(self._lanes, key=self._lengths.__getitem__)
        waiter = self._lanes[lane].popleft()
        self._lanes.move_to_end(lane)
        self._close_if_empty(lane)
        return waiter

    def remove(self, lane: str, waiter: Waiter) -> None:
        """Take out a waiter that no longer waits; nothing when it is out already."""
        line = self._lanes.get(lane)
        if line is None or waiter not in line:
            return
        line.remove(waiter)
        self._close_if_empty(lane)

    def everybody(self) -> Iterator[tuple[str, Waiter]]:
        """Yield lane and waiter of all who wait."""
        for lane, line in self._lanes.items():
            for waiter in line:
                yield lane, waiter

    def _close_if_empty(self, lane: str) -> None:
        if not self._lanes[lane]:
            del self._lanes[lane], self._lengths[lane]
