"""The pace of one credential in Redis, shared by many processes; each on its own while Redis is away.

One script at a time gives leave, by the server's clock; what was found out is written by whoever read its newest
version. Calls that are out are leases: those of a dead process run out by themselves.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, dataclass, replace
from importlib import resources
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from worker.pace.estimator import pace
from worker.pace.priority_queue import IN_TURN
from worker.pace.state import Bounds, Counts, Flow, Found, PaceState, Sent, Turn, Why
from worker.pace.stores import fallback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from redis.asyncio import Redis

    from worker.pace.hints.response import Hints
    from worker.pace.stores.memory import Unfinished

#: What is known of a credential nobody used is forgotten after this (seconds).
KEPT_SECONDS = 30 * 86400
#: An unanswered command counts as Redis being away after this (seconds).
PATIENCE_SECONDS = 2.0
_INTEGERS = ("sent", "allowed_in_flight")
_FLOATS = tuple(name for name in Flow.__dataclass_fields__ if name not in {"in_flight", *_INTEGERS})


def open_redis(url: str) -> Redis:
    """Return a client that gives up soon: whoever waits here keeps a call waiting."""
    return Redis.from_url(
        url,
        socket_timeout=PATIENCE_SECONDS,
        socket_connect_timeout=PATIENCE_SECONDS,
        socket_keepalive=True,
        health_check_interval=10,
    )


class Record:
    """What Redis keeps of one credential; the keys carry its hash, nothing else that names it."""

    def __init__(self, redis: Redis, credential: str) -> None:
        self._redis = redis
        base = f"roster:pace:{{{credential}}}"
        self.flow, self.out, self.asking, self.waiting = base, f"{base}:out", f"{base}:asking", f"{base}:waiting"
        self._reserve, self._settle, self._withdraw = (
            redis.register_script(_script(name)) for name in ("reserve", "settle", "withdraw")
        )

    async def reserve(
        self, process: str, mine: int, lease_seconds: float, length: int
    ) -> tuple[str, float, list[bytes]]:
        """Ask for leave; return why or why not, the server's time, and what `reserve.lua` says of each."""
        arguments = (process, mine, lease_seconds, pace.IDLE_SECONDS, length, IN_TURN)
        why, now, *rest = await self._reserve(keys=(self.flow, self.out, self.asking, self.waiting), args=arguments)
        return why.decode(), float(now), rest

    async def write_first(self, state: PaceState) -> None:
        """Write a state where there is none yet."""
        first = {**asdict(state.flow), "version": 1, "learnt": _learnt(state)}
        del first["in_flight"]
        async with self._redis.pipeline(transaction=True) as pipe:
            for name, value in first.items():
                pipe.hsetnx(self.flow, name, repr(value) if isinstance(value, float) else value)
            pipe.expire(self.flow, KEPT_SECONDS)
            await pipe.execute()

    async def read(self) -> tuple[int, PaceState] | None:
        """Return the version and the state; None when Redis has none."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(self.flow)
            pipe.zcard(self.out)
            raw, out = await pipe.execute()
        return (int(raw[b"version"]), _state_of(raw, out)) if b"version" in raw else None

    async def settle(self, version: int, before: PaceState, after: PaceState, answered: Iterable[int]) -> bool:
        """Write what these calls' answers have taught; False when somebody else wrote since `version` was read."""
        flow = after.flow
        changed = (flow.left, flow.left_until) != (before.flow.left, before.flow.left_until)
        quota = (flow.left, flow.left_until, before.flow.sent) if changed else ("", "", "")
        learnt = (_learnt(after), flow.not_before, flow.interval, flow.slack, flow.allowed_in_flight)
        arguments = (version, *learnt, *quota, KEPT_SECONDS, *answered)
        return bool(await self._settle(keys=(self.flow, self.out), args=arguments))

    async def withdraw(self, number: int) -> None:
        """Take back the leave of a call that was not made."""
        await self._withdraw(keys=(self.flow, self.out), args=(number,))

    async def pause_until(self, moment: float) -> None:
        """Let nobody call before this moment of the server's clock."""
        await self._redis.hset(self.flow, "not_before", repr(moment))


def _script(name: str) -> str:
    return resources.files("worker.pace.stores").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


def _learnt(state: PaceState) -> str:
    return json.dumps({"found": asdict(state.found), "counts": asdict(state.counts)})


def _state_of(raw: dict[bytes, bytes], out: int) -> PaceState:
    learnt = json.loads(raw[b"learnt"])
    flow: dict[str, Any] = {name: float(raw[name.encode()]) for name in _FLOATS}
    flow |= {name: int(float(raw[name.encode()])) for name in _INTEGERS}
    found = {name: value for name, value in learnt["found"].items() if name in Found.__dataclass_fields__}
    return PaceState(flow=Flow(**flow, in_flight=out), found=Found(**found), counts=Counts(**learnt["counts"]))


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
