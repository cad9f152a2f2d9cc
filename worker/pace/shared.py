"""The pace of one credential in Redis, shared by many processes; on their own while Redis is away.

Redis keeps `Flow` as a hash that one script changes at a time, by the server's clock; what was found out stands
beside it as JSON and is written by whoever read its newest version. Calls that are out are leases: those of a dead
process run out by themselves. Nothing personal and no secret is kept: the keys carry a hash of the account.
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

from worker.pace import adaptive, alone
from worker.pace.state import Bounds, Counts, Flow, Found, PaceState, Sent, Turn, Why

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.pace.hints import Hints
    from worker.pace.stores import Unfinished

#: What is known of a credential nobody used is forgotten after this (seconds).
KEPT_SECONDS = 30 * 86400
#: While Redis is away it is tried again this often (seconds).
TRY_AGAIN_SECONDS = 2.0
#: An unanswered command counts as Redis being away after this (seconds).
PATIENCE_SECONDS = 2.0
_GONE = (RedisError, OSError, asyncio.TimeoutError)


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer that is still to be taken in."""

    sent: Sent
    hints: Hints | None


def open_redis(url: str) -> Redis:
    """Return a client that gives up soon: whoever waits here keeps a call waiting."""
    return Redis.from_url(
        url,
        socket_timeout=PATIENCE_SECONDS,
        socket_connect_timeout=PATIENCE_SECONDS,
        socket_keepalive=True,
        health_check_interval=10,
    )


def _script(name: str) -> str:
    return resources.files("worker.pace").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


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
        begun = adaptive.begin(bounds, found)
        self._state = replace(begun, flow=replace(begun.flow, not_before=not_before))
        self._bounds, self._process, self._lease = bounds, process, lease_seconds
        self._redis, self._tell = redis, tell
        base = f"roster:pace:{{{credential}}}"
        self._flow, self._out, self._asking = base, f"{base}:out", f"{base}:asking"
        self._reserve, self._settle, self._withdraw = (
            redis.register_script(_script(name)) for name in ("reserve", "settle", "withdraw")
        )
        self._mine: set[int] = set()
        #: The number of the last call that this process was given leave for.
        self._highest = 0
        self._answers: list[_Answer] = []
        self._settling = asyncio.Lock()
        self._sharers, self._ahead, self._joined = 1, 0.0, False
        self._alone: alone.Alone | None = None

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

    async def reserve(self) -> Turn:
        """Give one call leave to go now, or say when to ask again."""
        if self._alone is not None and time.monotonic() < self._alone.try_again_at:
            return self._alone.reserve(self.now())
        try:
            turn = await self._ask()
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

    async def _ask(self) -> Turn:
        if not self._joined or self._alone is not None:
            await self._join()
        arguments = (self._process, len(self._mine), self._lease, adaptive.IDLE_SECONDS)
        why, now, *rest = await self._reserve(keys=(self._flow, self._out, self._asking), args=arguments)
        self._ahead = float(now) - time.time()
        if why == b"unknown":
            # Redis was emptied: what this process knew is where all go on.
            flow = replace(self._state.flow, sent=max(self._state.flow.sent, self._highest))
            await self._write_first(replace(self._state, flow=flow))
            return Turn(why=Why.PACE, seconds=0.0)
        self._sharers = int(rest[-1])
        if why != b"go":
            return Turn(why=Why(why.decode()), seconds=float(rest[0]))
        sent = Sent(at=float(now), number=int(float(rest[0])), abreast=int(rest[1]))
        self._mine.add(sent.number)
        self._highest = max(self._highest, sent.number)
        return Turn(why=Why.GO, sent=sent)

    async def _join(self) -> None:
        """Begin, or go on, with what the others know, under this process's bounds and pauses it was asked for."""
        await self._write_first(self._state)
        while not await self._write(()):
            pass
        self._joined = True
        if self._alone is not None:
            pause = self._alone.state.flow.not_before
            if pause > self._state.flow.not_before:
                await self._redis.hset(self._flow, "not_before", repr(pause))
            self._tell("Redis is back: the pace is shared again")
            self._alone = None

    async def _write_first(self, state: PaceState) -> None:
        first = {**asdict(state.flow), "version": 1, "learnt": _learnt(state)}
        del first["in_flight"]
        async with self._redis.pipeline(transaction=True) as pipe:
            for name, value in first.items():
                pipe.hsetnx(self._flow, name, repr(value) if isinstance(value, float) else value)
            pipe.expire(self._flow, KEPT_SECONDS)
            await pipe.execute()

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
        version, before = await self._read()
        after, now = before, self.now()
        for answer in answers:
            after = adaptive.report(after, self._bounds, answer.sent, answer.hints, now)
        after = adaptive.settled(after, self._bounds, now)
        flow = after.flow
        quota = (
            (flow.left, flow.left_until, before.flow.sent)
            if (flow.left, flow.left_until) != (before.flow.left, before.flow.left_until)
            else ("", "", "")
        )
        numbers = (answer.sent.number for answer in answers)
        learnt = (_learnt(after), flow.not_before, flow.interval, flow.slack, flow.allowed_in_flight)
        written = await self._settle(
            keys=(self._flow, self._out), args=(version, *learnt, *quota, KEPT_SECONDS, *numbers)
        )
        if written:
            self._state = after
        return bool(written)

    async def _read(self) -> tuple[int, PaceState]:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(self._flow)
            pipe.zcard(self._out)
            raw, out = await pipe.execute()
        if b"version" not in raw:
            await self._write_first(self._state)
            return await self._read()
        return int(raw[b"version"]), _state_of(raw, out)

    async def _take_back(self, sent: Sent) -> None:
        try:
            await self._withdraw(keys=(self._flow, self._out), args=(sent.number,))
        except _GONE:
            self._go_alone()

    def _go_alone(self) -> alone.Alone:
        """Go on at this process's share of what was known, until Redis is back."""
        if self._alone is None:
            self._tell("Redis is away: calling on at this process's own share of the pace")
            self._alone = alone.Alone(self._state, self._bounds, sharers=self._sharers, now=self.now())
        self._alone.try_again_at = time.monotonic() + TRY_AGAIN_SECONDS
        return self._alone

    def _learn_alone(self, answers: Sequence[_Answer]) -> None:
        mine = self._go_alone()
        for answer in answers:
            mine.report(answer.sent, answer.hints, self.now())


def _learnt(state: PaceState) -> str:
    return json.dumps({"found": asdict(state.found), "counts": asdict(state.counts)})


def _state_of(raw: dict[bytes, bytes], out: int) -> PaceState:
    learnt = json.loads(raw[b"learnt"])
    flow: dict[str, Any] = {name: float(raw[name.encode()]) for name in _FLOATS}
    flow |= {"in_flight": out, "sent": int(float(raw[b"sent"]))}
    flow["allowed_in_flight"] = int(float(raw[b"allowed_in_flight"]))
    found = {name: value for name, value in learnt["found"].items() if name in Found.__dataclass_fields__}
    return PaceState(flow=Flow(**flow), found=Found(**found), counts=Counts(**learnt["counts"]))


_FLOATS = tuple(
    name for name in Flow.__dataclass_fields__ if name not in {"in_flight", "sent", "allowed_in_flight"}
)
