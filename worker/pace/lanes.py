"""Who waits, in which order: in turn over the lanes, first come first served within a lane. Knows no time."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

Waiter = TypeVar("Waiter")


class Lanes(Generic[Waiter]):
    """A line for each job, served in turn, so that twelve rows do not wait behind twenty thousand."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[str, deque[Waiter]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def add(self, lane: str, waiter: Waiter) -> None:
        """Put a waiter at the end of its lane."""
        self._lanes.setdefault(lane, deque()).append(waiter)

    def take(self) -> Waiter:
        """Take out the waiter whose turn it is, and move its lane behind the others."""
        lane, line = next(iter(self._lanes.items()))
        waiter = line.popleft()
        if line:
            self._lanes.move_to_end(lane)
        else:
            del self._lanes[lane]
        return waiter

    def remove(self, lane: str, waiter: Waiter) -> None:
        """Take out a waiter that no longer waits; nothing when it is out already."""
        line = self._lanes.get(lane)
        if line is None or waiter not in line:
            return
        line.remove(waiter)
        if not line:
            del self._lanes[lane]

    def in_order(self) -> Iterator[tuple[str, Waiter]]:
        """Yield lane and waiter in the order in which they would be served if nobody else came."""
        lines = [(lane, tuple(line)) for lane, line in self._lanes.items()]
        for place in range(max((len(line) for _, line in lines), default=0)):
            for lane, line in lines:
                if place < len(line):
                    yield lane, line[place]
