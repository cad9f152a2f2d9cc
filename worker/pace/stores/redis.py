"""The pace of one credential in Redis, shared by many processes; each uses its own share while Redis is away.

One script at a time grants calls, by the server's clock; the estimate is written by compare and set of its version.
Calls in flight are leases: those of a dead process expire by themselves.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict, replace
from redis.asyncio import Redis
from redis.exceptions import RedisError

from worker.pace.estimator import pace, stated
from worker.pace.priority_queue import ROUND_ROBIN_EVERY
from worker.pace.state import (
    Counts,
    Decision,
    Estimate,
    Grant,
    LimiterState,
    Limits,
    PaceState,
    Quota,
    QuotaKind,
    Reason,
)
from worker.pace.stores import fallback

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio import Redis

    from worker.pace.hints.response import Hints
    from worker.pace.stores.memory import Pending

#: The state of an unused credential expires after this (seconds).
EXPIRY_SECONDS = 30 * 86400
#: An unanswered command counts as Redis being away after this (seconds).
TIMEOUT_SECONDS = 2.0
_INTEGERS = ("sent", "allowed_in_flight")
_ELSEWHERE = ("in_flight", "history", "quotas")
_FLOATS = tuple(name for name in LimiterState.__struct_fields__ if name not in {*_ELSEWHERE, *_INTEGERS})


def open_redis(url: str) -> Redis:
    """Return a client with a short time-out: waiting for Redis keeps a call waiting."""
    return Redis.from_url(
        url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_keepalive=True,
        health_check_interval=10,
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer that is still to be applied."""

    grant: Grant
    hints: Hints | None


class RedisRecord:
    """What Redis keeps of one credential; the keys carry its hash, nothing else that names it."""

    def __init__(self, redis: Redis, credential: str) -> None:
        self._redis = redis
        base = f"roster:pace:{{{credential}}}"
        self.flow, self.out, self.asking = base, f"{base}:out", f"{base}:asking"
        self.waiting, self.history = f"{base}:waiting", f"{base}:history"
        self._reserve, self._write, self._withdraw = (
            redis.register_script(_script(name)) for name in ("reserve", "write", "withdraw")
        )
        self._sent_at = _script("history")

    async def reserve(
        self, process: str, mine: int, lease_seconds: float, length: int
    ) -> tuple[str, float, list[bytes]]:
        """Ask for a grant; return the reason, the server's time, and what `reserve.lua` returns with it."""
        rules: tuple[float, ...] = (
            pace.IDLE_SECONDS,
            length,
            ROUND_ROBIN_EVERY,
            stated.HISTORY,
        )
        keys = (self.flow, self.out, self.asking, self.waiting, self.history)
        why, now, *rest = await self._reserve(keys=keys, args=(process, mine, lease_seconds, *rules))
        return why.decode(), float(now), rest

    async def write_first(self, state: PaceState) -> None:
        """Write a state where there is none yet."""
        flow = asdict(state.limiter)
        first = {name: flow[name] for name in (*_FLOATS, *_INTEGERS)}
        first |= {"version": 1, "learnt": _learnt(state), "quotas": _quotas(state)}
        async with self._redis.pipeline(transaction=True) as pipe:
            for name, value in first.items():
                pipe.hsetnx(self.flow, name, repr(value) if isinstance(value, float) else value)
            if state.limiter.history:
                pipe.zadd(self.history, {repr(at): at for at in state.limiter.history}, nx=True)
            pipe.expire(self.flow, EXPIRY_SECONDS)
            await pipe.execute()

    async def read(self) -> tuple[int, PaceState] | None:
        """Return the version and the state; None when Redis has none."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(self.flow)
            pipe.zcard(self.out)
            pipe.eval(self._sent_at, 1, self.history)
            raw, out, history = await pipe.execute()
        if b"version" not in raw:
            return None
        return int(raw[b"version"]), _state_of(raw, out, tuple(map(float, history.split())))

    async def write(self, version: int, after: PaceState, answers: Sequence[_Answer]) -> bool:
        """Write what these answers changed; False when another process wrote since `version` was read."""
        flow = after.limiter
        granted: tuple[float | str, ...] = (
            flow.not_before,
            flow.interval,
            flow.slack,
            flow.allowed_in_flight,
            _quotas(after),
        )
        refused = [each.grant.number for each in answers if each.hints is not None and each.hints.throttled]
        answered = (each.grant.number for each in answers)
        arguments = (version, _learnt(after), *granted, EXPIRY_SECONDS, len(refused), *refused, *answered)
        return bool(await self._write(keys=(self.flow, self.out, self.history), args=arguments))

    async def withdraw(self, number: int) -> None:
        """Cancel the grant of a call that was not made."""
        await self._withdraw(keys=(self.flow, self.out, self.history), args=(number,))

    async def pause_until(self, moment: float) -> None:
        """Set the time before which no call may go, by the server's clock."""
        await self._redis.hset(self.flow, "not_before", repr(moment))


def _script(name: str) -> str:
    return resources.files("worker.pace.stores").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


def _learnt(state: PaceState) -> str:
    return json.dumps({"found": asdict(state.estimate), "counts": asdict(state.counts)})


def _quotas(state: PaceState) -> str:
    return json.dumps([asdict(quota) for quota in state.limiter.quotas])


def _state_of(raw: dict[bytes, bytes], out: int, history: tuple[float, ...]) -> PaceState:
    learnt = json.loads(raw[b"learnt"])
    flow: dict[str, Any] = {name: float(raw.get(name.encode(), 0)) for name in _FLOATS}
    flow |= {name: int(float(raw[name.encode()])) for name in _INTEGERS}
    # Another version of the worker may have written it.
    known = set(Quota.__struct_fields__)
    found_quotas = (
        each
        for each in json.loads(raw.get(b"quotas", b"[]"))
        if each.keys() == known and each["kind"] in set(QuotaKind)
    )
    quotas = tuple(Quota(**{**each, "kind": QuotaKind(each["kind"])}) for each in found_quotas)
    found = {name: value for name, value in learnt["found"].items() if name in Estimate.__struct_fields__}
    counts = {name: value for name, value in learnt["counts"].items() if name in Counts.__struct_fields__}
    return PaceState(
        limiter=LimiterState(**flow, in_flight=out, history=history, quotas=quotas),
        estimate=Estimate(**found),
        counts=Counts(**counts),
    )


__all__ = ["RedisStore", "open_redis"]

#: While Redis is away it is tried again this often (seconds).
TRY_AGAIN_SECONDS = 2.0
_GONE = (RedisError, OSError, asyncio.TimeoutError)


class RedisStore:
    """The pace of one credential, shared by all processes of a Redis."""

    def __init__(
        self,
        redis: Redis,
        credential: str,
        bounds: Limits,
        *,
        process: str,
        lease_seconds: float,
        found: Estimate | None = None,
        quotas: tuple[Quota, ...] = (),
        not_before: float = 0.0,
        on_change: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._state = pace.begin(bounds, found, quotas, not_before)
        self._bounds, self._process, self._lease = bounds, process, lease_seconds
        self._record, self._report_change = RedisRecord(redis, credential), on_change
        self._own_calls: set[int] = set()
        #: The number of the last call that was granted to this process.
        self._highest = 0
        self._answers: list[_Answer] = []
        self._write_lock = asyncio.Lock()
        self._sharers, self._clock_offset, self._joined = 1, 0.0, False
        self._fallback: fallback.LocalFallback | None = None

    @property
    def limits(self) -> Limits:
        """Return what the settings allow."""
        return self._bounds

    @property
    def state(self) -> PaceState:
        """Return the state as last seen."""
        return self._fallback.state if self._fallback else self._state

    def now(self) -> float:
        """Return unix seconds by the clock of Redis."""
        return time.time() + self._clock_offset

    async def reserve(self, length: int = 0) -> Decision:
        """Grant one call now, or return when to ask again."""
        if self._fallback is not None and time.monotonic() < self._fallback.try_again_at:
            return self._fallback.reserve(self.now())
        try:
            turn = await self._reserve(length)
        except _GONE:
            return self._use_fallback().reserve(self.now())
        return turn

    def report(self, sent: Grant, hints: Hints | None) -> Pending:
        """Apply the answer to a granted call."""
        if sent.number < 0:
            if self._fallback is not None:
                self._fallback.report(sent, hints, self.now())
            return None
        self._own_calls.discard(sent.number)
        self._answers.append(_Answer(sent, hints))
        return self._write_answers()

    def withdraw(self, sent: Grant) -> Pending:
        """Cancel the grant of a call that was not made."""
        if sent.number < 0:
            if self._fallback is not None:
                self._fallback.withdraw(sent)
            return None
        self._own_calls.discard(sent.number)
        return self._withdraw(sent)

    async def _reserve(self, length: int) -> Decision:
        if not self._joined or self._fallback is not None:
            await self._join()
        why, now, rest = await self._record.reserve(self._process, len(self._own_calls), self._lease, length)
        self._clock_offset = now - time.time()
        if why == "unknown":
            # Redis was emptied: all continue from what this process knew.
            flow = replace(self._state.limiter, sent=max(self._state.limiter.sent, self._highest))
            await self._record.write_first(replace(self._state, limiter=flow))
            return Decision(reason=Reason.PACE, seconds=0.0)
        self._sharers = int(rest[-1])
        if why != Reason.GO:
            return Decision(reason=Reason(why), seconds=float(rest[0]))
        sent = Grant(at=now, number=int(float(rest[0])), concurrency=int(rest[1]))
        self._own_calls.add(sent.number)
        self._highest = max(self._highest, sent.number)
        return Decision(reason=Reason.GO, grant=sent)

    async def _join(self) -> None:
        """Start or continue with the shared state, under this process's limits and the pauses it was asked for."""
        await self._record.write_first(self._state)
        while not await self._write(()):
            pass
        self._joined = True
        if self._fallback is not None:
            pause = self._fallback.state.limiter.not_before
            if pause > self._state.limiter.not_before:
                await self._record.pause_until(pause)
            self._report_change("Redis is back: the pace is shared again")
            self._fallback = None

    async def _write_answers(self) -> None:
        """Write what the answers changed; those that arrive meanwhile are included."""
        async with self._write_lock:
            while self._answers:
                due, self._answers = self._answers, []
                try:
                    while not await self._write(due):
                        pass
                except _GONE:
                    self._report_to_fallback(due)

    async def _write(self, answers: Sequence[_Answer]) -> bool:
        read = await self._record.read()
        if read is None:
            await self._record.write_first(self._state)
            return False
        version, before = read
        after, now = before, self.now()
        for answer in answers:
            after = pace.report(after, self._bounds, answer.grant, answer.hints, now)
        after = pace.synchronized(after, self._bounds, now)
        written = await self._record.write(version, after, answers)
        if written:
            self._state = after
        return written

    async def _withdraw(self, sent: Grant) -> None:
        try:
            await self._record.withdraw(sent.number)
        except _GONE:
            self._use_fallback()

    def _use_fallback(self) -> fallback.LocalFallback:
        """Continue at this process's share of what was known, until Redis is back."""
        if self._fallback is None:
            self._report_change("Redis is away: continuing at this process's own share of the pace")
            self._fallback = fallback.LocalFallback(
                self._state, self._bounds, sharers=self._sharers, now=self.now()
            )
        self._fallback.try_again_at = time.monotonic() + TRY_AGAIN_SECONDS
        return self._fallback

    def _report_to_fallback(self, answers: Sequence[_Answer]) -> None:
        mine = self._use_fallback()
        for answer in answers:
            mine.report(answer.grant, answer.hints, self.now())
