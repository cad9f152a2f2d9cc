"""The pace of one credential as it stands in Redis: a hash, and sorted sets for who is out, who asks, who waits.

Each change is one script or one transaction. Knows no arithmetic of the pace and no waiting.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib import resources
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis

from worker.pace.estimator import pace
from worker.pace.priority_queue import IN_TURN
from worker.pace.state import Counts, Flow, Found, PaceState

if TYPE_CHECKING:
    from collections.abc import Iterable

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
