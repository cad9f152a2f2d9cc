"""The pace of one credential in Redis, shared by many processes; each on its own while Redis is away.

One script at a time gives leave, by the server's clock; what was found out is written by whoever read its newest
version. Calls that are out are leases: those of a dead process run out by themselves.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from worker.pace.estimator import pace
from worker.pace.state import Bounds, Found, PaceState, Sent, Turn, Why
from worker.pace.stores import fallback
from worker.pace.stores.record import Record, open_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio import Redis

    from worker.pace.hints.response import Hints
    from worker.pace.stores.memory import Unfinished

__all__ = ["SharedStore", "open_redis"]

#: While Redis is away it is tried again this often (seconds).
TRY_AGAIN_SECONDS = 2.0
_GONE = (RedisError, OSError, asyncio.TimeoutError)


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer that is still to be taken in."""

    sent: Sent
    hints: Hints | None


class SharedStore:
    """The pace of one credential, as all processes of a Redis know it."""

    def __init__(
        self,
        redis: Redis,
        credential: str,
        bounds: Bounds,
        *,
        process: str,
        lease_seconds: float,
        found: Found | None = None,
        not_before: float = 0.0,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        begun = pace.begin(bounds, found)
        self._state = replace(begun, flow=replace(begun.flow, not_before=not_before))
        self._bounds, self._process, self._lease = bounds, process, lease_seconds
        self._record, self._tell = Record(redis, credential), tell
        self._mine: set[int] = set()
        #: The number of the last call that this process was given leave for.
        self._highest = 0
        self._answers: list[_Answer] = []
        self._settling = asyncio.Lock()
        self._sharers, self._ahead, self._joined = 1, 0.0, False
        self._alone: fallback.Alone | None = None

    @property
    def bounds(self) -> Bounds:
        """Return what the settings allow."""
        return self._bounds

    @property
    def state(self) -> PaceState:
        """Return the state as last seen."""
        return self._alone.state if self._alone else self._state

    def now(self) -> float:
        """Return unix seconds by the clock of Redis."""
        return time.time() + self._ahead

    async def reserve(self, length: int = 0) -> Turn:
        """Give one call leave to go now, or say when to ask again."""
        if self._alone is not None and time.monotonic() < self._alone.try_again_at:
            return self._alone.reserve(self.now())
        try:
            turn = await self._ask(length)
        except _GONE:
            return self._go_alone().reserve(self.now())
        return turn

    def report(self, sent: Sent, hints: Hints | None) -> Unfinished:
        """Take in the answer to a call that had leave."""
        if sent.number < 0:
            if self._alone is not None:
                self._alone.report(sent, hints, self.now())
            return None
        self._mine.discard(sent.number)
        self._answers.append(_Answer(sent, hints))
        return self._take_in()

    def withdraw(self, sent: Sent) -> Unfinished:
        """Take back the leave of a call that was not made."""
        if sent.number < 0:
            if self._alone is not None:
                self._alone.withdraw(sent)
            return None
        self._mine.discard(sent.number)
        return self._take_back(sent)

    async def _ask(self, length: int) -> Turn:
        if not self._joined or self._alone is not None:
            await self._join()
        why, now, rest = await self._record.reserve(self._process, len(self._mine), self._lease, length)
        self._ahead = now - time.time()
        if why == "unknown":
            # Redis was emptied: what this process knew is where all go on.
            flow = replace(self._state.flow, sent=max(self._state.flow.sent, self._highest))
            await self._record.write_first(replace(self._state, flow=flow))
            return Turn(why=Why.PACE, seconds=0.0)
        self._sharers = int(rest[-1])
        if why != Why.GO:
            return Turn(why=Why(why), seconds=float(rest[0]))
        sent = Sent(at=now, number=int(float(rest[0])), abreast=int(rest[1]))
        self._mine.add(sent.number)
        self._highest = max(self._highest, sent.number)
        return Turn(why=Why.GO, sent=sent)

    async def _join(self) -> None:
        """Begin, or go on, with what the others know, under this process's bounds and pauses it was asked for."""
        await self._record.write_first(self._state)
        while not await self._write(()):
            pass
        self._joined = True
        if self._alone is not None:
            pause = self._alone.state.flow.not_before
            if pause > self._state.flow.not_before:
                await self._record.pause_until(pause)
            self._tell("Redis is back: the pace is shared again")
            self._alone = None

    async def _take_in(self) -> None:
        """Write what the answers taught; those that came meanwhile go along."""
        async with self._settling:
            while self._answers:
                due, self._answers = self._answers, []
                try:
                    while not await self._write(due):
                        pass
                except _GONE:
                    self._learn_alone(due)

    async def _write(self, answers: Sequence[_Answer]) -> bool:
        read = await self._record.read()
        if read is None:
            await self._record.write_first(self._state)
            return False
        version, before = read
        after, now = before, self.now()
        for answer in answers:
            after = pace.report(after, self._bounds, answer.sent, answer.hints, now)
        after = pace.settled(after, self._bounds, now)
        written = await self._record.settle(version, before, after, (answer.sent.number for answer in answers))
        if written:
            self._state = after
        return written

    async def _take_back(self, sent: Sent) -> None:
        try:
            await self._record.withdraw(sent.number)
        except _GONE:
            self._go_alone()

    def _go_alone(self) -> fallback.Alone:
        """Go on at this process's share of what was known, until Redis is back."""
        if self._alone is None:
            self._tell("Redis is away: calling on at this process's own share of the pace")
            self._alone = fallback.Alone(self._state, self._bounds, sharers=self._sharers, now=self.now())
        self._alone.try_again_at = time.monotonic() + TRY_AGAIN_SECONDS
        return self._alone

    def _learn_alone(self, answers: Sequence[_Answer]) -> None:
        mine = self._go_alone()
        for answer in answers:
            mine.report(answer.sent, answer.hints, self.now())
