"""The gate before every call of a credential: waits its turn, lets it through, takes in its answer. Knows asyncio.

Gaps of the pace and short pauses are waited here; a turn that is farther away than `longest_wait` is `RateLimited`,
so that the row goes back to the ledger and the slot is free for other work (architecture.md §1).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from worker import errors
from worker.pace.estimator.pace import rate_of
from worker.pace.hints.response import Hints
from worker.pace.priority_queue import Lanes
from worker.pace.rate import Clock, SystemClock
from worker.pace.state import Sent, Turn, Why
from worker.pace.stores import persistence
from worker.pace.stores.memory import PaceStore, Unfinished


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """Leave for one call; to be given back by `Gate.leave`, once."""

    sent: Sent
    #: Tells the passes of a gate apart; a store that was emptied may give the number of a call twice.
    serial: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceSnapshot:
    """The pace for people: calls per second (None when nothing limits it), calls out, times in unix seconds."""

    rate: float | None
    in_flight: int
    allowed_in_flight: int
    not_before: float
    #: Seconds in which calls stood in line for the pace or a pause, and not for an answer.
    waited_seconds: float
    refused: int
    accepted: int
    found_out: bool


class Gate:
    """Lets calls through at the pace of their credential, those of the shortest job first."""

    def __init__(
        self, store: PaceStore, *, max_in_flight: int, longest_wait: float = 5.0, clock: Clock | None = None
    ) -> None:
        self._store = store
        self._max_in_flight = max_in_flight
        self._longest_wait = longest_wait
        self._clock = clock or SystemClock()
        self._lanes: Lanes[asyncio.Future[Pass]] = Lanes()
        self._open: set[int] = set()
        self._serials = itertools.count()
        self._asking = False
        self._usher: asyncio.Task[None] | None = None
        self._freed = asyncio.Event()
        self._given_back = asyncio.Event()
        self._unfinished: set[asyncio.Task[None]] = set()
        self._waited_seconds = 0.0

    async def enter(self, lane: str = "", length: int = 0) -> Pass:
        """Wait for leave to make one call; RateLimited when it is more than `longest_wait` away.

        Calls of a `lane` with a smaller `length` (of what it has left to do) go first.
        """
        if not self._lanes and not self._asking and self._usher is None and len(self._open) < self._max_in_flight:
            self._asking = True
            try:
                turn = await self._store.reserve(length)
            finally:
                self._asking = False
            if turn.sent is not None:
                return self._let_through(turn.sent)
        waiter: asyncio.Future[Pass] = asyncio.get_running_loop().create_future()
        self._lanes.add(lane, waiter, length)
        self._call_usher()
        try:
            return await waiter
        except asyncio.CancelledError:
            self._stand_down(lane, waiter)
            raise

    def leave(self, pass_: Pass, hints: Hints | None) -> None:
        """Give a pass back with what the answer said; None when no answer came."""
        self._take_back(pass_)
        self._finish(self._store.report(pass_.sent, hints))

    def give_back(self, pass_: Pass) -> None:
        """Give a pass back whose call was not made: its turn goes to the next."""
        self._take_back(pass_)
        self._finish(self._store.withdraw(pass_.sent), then=self._given_back.set)

    @property
    def longest_wait(self) -> float:
        """Return up to how many seconds a pause is waited here."""
        return self._longest_wait

    @property
    def clock(self) -> Clock:
        """Return the clock by which is waited."""
        return self._clock

    def to_memory(self) -> dict[str, float]:
        """Return what is worth keeping between runs: the level that held, and until when nobody may call."""
        state = self._store.state
        return {**persistence.to_memory(state, now=self._store.now()), "not_before": state.flow.not_before}

    def snapshot(self) -> PaceSnapshot:
        """Return how things stand."""
        state = self._store.state
        return PaceSnapshot(
            rate=rate_of(state.found, self._store.bounds) or None,
            in_flight=state.flow.in_flight,
            allowed_in_flight=min(self._max_in_flight, state.flow.allowed_in_flight),
            not_before=state.flow.not_before,
            waited_seconds=self._waited_seconds,
            refused=state.counts.refused,
            accepted=state.counts.accepted,
            found_out=state.found.rate > 0 or state.found.header_level > 0,
        )

    async def rest(self) -> None:
        """Let what is reported reach the store: before an event loop stands still."""
        if self._unfinished:
            await asyncio.wait(self._unfinished)

    async def close(self) -> None:
        """Send everybody away who still waits, and let what is reported reach the store."""
        if self._usher is not None:
            self._usher.cancel()
            await asyncio.wait([self._usher])
        for lane, waiter in tuple(self._lanes.everybody()):
            self._lanes.remove(lane, waiter)
            waiter.cancel()
        await self.rest()

    def _take_back(self, pass_: Pass) -> None:
        if pass_.serial not in self._open:
            raise ValueError(f"The pass of call {pass_.sent.number} was given back already.")
        self._open.discard(pass_.serial)

    def _let_through(self, sent: Sent) -> Pass:
        pass_ = Pass(sent=sent, serial=next(self._serials))
        self._open.add(pass_.serial)
        return pass_

    def _stand_down(self, lane: str, waiter: asyncio.Future[Pass]) -> None:
        """Give the place of a cancelled call back: its place in the line, or the leave it had just been given."""
        self._lanes.remove(lane, waiter)
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self._take_back(waiter.result())
            self._finish(self._store.withdraw(waiter.result().sent))
        if not self._lanes and self._usher is not None:
            self._usher.cancel()
            self._usher = None

    def _finish(self, unfinished: Unfinished, then: Callable[[], None] = lambda: None) -> None:
        """See to the rest of a report, then let the line know that a slot may be free."""
        if unfinished is None:
            self._freed.set()
            then()
            return
        task = asyncio.get_running_loop().create_task(unfinished)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        task.add_done_callback(lambda _: self._freed.set())
        task.add_done_callback(lambda _: then())

    def _call_usher(self) -> None:
        if self._usher is None:
            self._usher = asyncio.get_running_loop().create_task(self._serve())
            self._usher.add_done_callback(self._usher_gone)

    def _usher_gone(self, usher: asyncio.Task[None]) -> None:
        """Hand a failure of the store to everybody who waits."""
        if self._usher is usher:
            self._usher = None
        failure = None if usher.cancelled() else usher.exception()
        if failure is not None:
            for lane, waiter in tuple(self._lanes.everybody()):
                self._lanes.remove(lane, waiter)
                if not waiter.done():
                    waiter.set_exception(failure)
        elif self._lanes and not usher.cancelled():
            self._call_usher()

    async def _serve(self) -> None:
        """Let those who wait through, one after the other, until nobody waits."""
        while self._lanes:
            self._freed.clear()
            if len(self._open) >= self._max_in_flight:
                await self._freed.wait()
                continue
            turn = await self._store.reserve(self._lanes.shortest)
            if turn.sent is not None:
                self._admit(turn.sent)
            elif turn.why is Why.FULL:
                await self._slot(turn)
            else:
                self._send_away(turn)
                await self._rest(turn.seconds)

    def _admit(self, sent: Sent) -> None:
        """Give leave to whoever's turn it is."""
        while self._lanes:
            waiter = self._lanes.take()
            if not waiter.done():
                waiter.set_result(self._let_through(sent))
                return
        self._finish(self._store.withdraw(sent))

    def _send_away(self, turn: Turn) -> None:
        """Send everybody away when the next turn of all is too far off; a line that moves may be long."""
        if turn.seconds <= self._longest_wait:
            return
        for lane, waiter in tuple(self._lanes.everybody()):
            if not waiter.done():
                self._lanes.remove(lane, waiter)
                waiter.set_exception(_rate_limited(turn.why, turn.seconds))

    async def _rest(self, seconds: float) -> None:
        """Let the time pass that the pace or a pause asks for, and count it."""
        if not self._lanes:
            return
        began = self._clock.now()
        self._given_back.clear()
        try:
            await self._either(self._given_back, seconds)
        finally:
            self._waited_seconds += max(0.0, self._clock.now() - began)

    async def _slot(self, turn: Turn) -> None:
        """Wait for an answer of our own; or, where other processes hold slots too, so long as the store says."""
        if not turn.seconds:
            await self._freed.wait()
            return
        await self._either(self._freed, turn.seconds)

    async def _either(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for an event, so many seconds at most."""
        happened = asyncio.ensure_future(event.wait())
        slept = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({happened, slept}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            happened.cancel()
            slept.cancel()


def _rate_limited(why: Why, seconds: float) -> errors.RateLimited:
    """Return the error that sends a call away for so many seconds."""
    reason = "The LMS asked for a pause" if why is Why.PAUSE else "Other calls are in line for this LMS"
    return errors.RateLimited(seconds, f"{reason}; this call may go in {seconds:.1f} s.")
