"""Which waiting call goes next: shortest job first, first in first out within a job. Knows no time."""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

Waiter = TypeVar("Waiter")
#: Every 8th call goes to the jobs in turn, so that a long job moves however many short ones come.
ROUND_ROBIN_EVERY = 8


class FairQueue(Generic[Waiter]):
    """A queue for each job; the job with the fewest rows left is served first.

    So twelve rows do not wait behind twenty thousand. Jobs with the same number of rows left are served in turn.
    """

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[Waiter]] = OrderedDict()
        self._rows_left: dict[str, int] = {}
        self._served = itertools.count(1)

    def __bool__(self) -> bool:
        return bool(self._queues)

    @property
    def shortest(self) -> int:
        """Return how many rows the shortest waiting job has left."""
        return min(self._rows_left.values(), default=0)

    def add(self, queue: str, waiter: Waiter, rows_left: int = 0) -> None:
        """Put a waiter at the end of its job's queue; `rows_left` is how many rows the job has left."""
        self._queues.setdefault(queue, deque()).append(waiter)
        self._rows_left[queue] = rows_left

    def take(self) -> Waiter:
        """Take out the next waiter, and move its queue behind the others."""
        in_turn = next(self._served) % ROUND_ROBIN_EVERY == 0
        queue = next(iter(self._queues)) if in_turn else min(self._queues, key=self._rows_left.__getitem__)
        waiter = self._queues[queue].popleft()
        self._queues.move_to_end(queue)
        self._close_if_empty(queue)
        return waiter

    def remove(self, queue: str, waiter: Waiter) -> None:
        """Remove a waiter that no longer waits; does nothing when it was taken already."""
        waiters = self._queues.get(queue)
        if waiters is None or waiter not in waiters:
            return
        waiters.remove(waiter)
        self._close_if_empty(queue)

    def items(self) -> Iterator[tuple[str, Waiter]]:
        """Yield the queue's name and the waiter of all that wait."""
        for queue, waiters in self._queues.items():
            for waiter in waiters:
                yield queue, waiter

    def _close_if_empty(self, queue: str) -> None:
        if not self._queues[queue]:
            del self._queues[queue], self._rows_left[queue]
