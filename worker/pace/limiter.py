"""The rate limiter of a credential: gives each call a permit, and learns from its answer. Knows asyncio.

Gaps of the pace and short pauses are waited for here. A permit that is more than `longest_wait` away raises
`RateLimited`, so that the row goes back to the ledger and the slot is free for other work.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from worker import errors
from worker.pace.estimator.pace import known_rate
from worker.pace.hints.response import Hints
from worker.pace.priority_queue import FairQueue
from worker.pace.rate import Clock, Rate, SystemClock
from worker.pace.state import Decision, Grant, Reason
from worker.pace.stores import persistence
from worker.pace.stores.memory import PaceStore, Pending


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """A permit for one call; `RateLimiter.release` or `RateLimiter.cancel` takes it back, once."""

    grant: Grant
    #: Unique within a limiter; a store that was emptied may give the number of a call twice.
    serial: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceSnapshot:
    """The pace for people: calls per second (None when nothing limits it), calls in flight, unix seconds."""

    rate: float | None
    in_flight: int
    allowed_in_flight: int
    not_before: float
    #: Seconds in which calls waited for the pace or a pause, and not for an answer.
    waited_seconds: float
    refused: int
    accepted: int
    is_measured: bool


class RateLimiter:
    """Gives permits at the pace of a credential, to the shortest job first."""

    def __init__(
        self, store: PaceStore, *, max_in_flight: int, longest_wait: float = 5.0, clock: Clock | None = None
    ) -> None:
        self._store = store
        self._max_in_flight = max_in_flight
        self._longest_wait = longest_wait
        self._clock = clock or SystemClock()
        self._waiters: FairQueue[asyncio.Future[Permit]] = FairQueue()
        self._open: set[int] = set()
        self._serials = itertools.count()
        self._is_reserving = False
        self._dispatcher: asyncio.Task[None] | None = None
        self._slot_freed = asyncio.Event()
        self._cancelled = asyncio.Event()
        self._unfinished: set[asyncio.Task[None]] = set()
        self._waited_seconds = 0.0

    async def acquire(self, queue: str = "", rows_left: int = 0) -> Permit:
        """Wait for a permit for one call. Raises RateLimited when it is more than `longest_wait` away.

        `queue` names the job; calls of the job with the fewest `rows_left` go first.
        """
        permit = await self._permit_at_once(rows_left)
        if permit is not None:
            return permit
        waiter: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self._waiters.add(queue, waiter, rows_left)
        self._start_dispatcher()
        try:
            return await waiter
        except asyncio.CancelledError:
            self._abandon(queue, waiter)
            raise

    def release(self, permit: Permit, hints: Hints | None) -> None:
        """Return a permit with what the answer said; None when no answer came."""
        self._close_permit(permit)
        self._finish_report(self._store.report(permit.grant, hints))

    def cancel(self, permit: Permit) -> None:
        """Return a permit whose call was not made, for the next call to use."""
        self._close_permit(permit)
        self._finish_report(self._store.withdraw(permit.grant), then=self._cancelled.set)

    @property
    def longest_wait(self) -> float:
        """Return the longest pause that is waited for here, in seconds."""
        return self._longest_wait

    @property
    def configured_rate(self) -> Rate | None:
        """Return the rate that the configuration sets."""
        return self._store.limits.rate

    @property
    def clock(self) -> Clock:
        """Return the clock that waits use."""
        return self._clock

    def to_memory(self) -> dict[str, Any]:
        """Return what is kept between runs: the rate that held, and the time before which no call may go."""
        state = self._store.state
        return {**persistence.to_memory(state, now=self._store.now()), "not_before": state.limiter.not_before}

    def snapshot(self) -> PaceSnapshot:
        """Return the pace as it is now."""
        state = self._store.state
        return PaceSnapshot(
            rate=known_rate(state, self._store.limits) or None,
            in_flight=state.limiter.in_flight,
            allowed_in_flight=min(self._max_in_flight, state.limiter.allowed_in_flight),
            not_before=state.limiter.not_before,
            waited_seconds=self._waited_seconds,
            refused=state.counts.refused,
            accepted=state.counts.accepted,
            is_measured=state.estimate.rate > 0 or bool(state.limiter.quotas),
        )

    async def flush(self) -> None:
        """Write pending reports to the store; call it before the event loop stops."""
        if self._unfinished:
            await asyncio.wait(self._unfinished)

    async def close(self) -> None:
        """Cancel all waiting calls and write pending reports to the store."""
        if self._dispatcher is not None:
            self._dispatcher.cancel()
            await asyncio.wait([self._dispatcher])
        for lane, waiter in tuple(self._waiters.items()):
            self._waiters.remove(lane, waiter)
            waiter.cancel()
        await self.flush()

    async def _permit_at_once(self, rows_left: int) -> Permit | None:
        """Return a permit where no other call waits and the pace allows one now."""
        is_full = len(self._open) >= self._max_in_flight
        if self._waiters or self._is_reserving or self._dispatcher is not None or is_full:
            return None
        self._is_reserving = True
        try:
            turn = await self._store.reserve(rows_left)
        finally:
            self._is_reserving = False
        return None if turn.grant is None else self._open_permit(turn.grant)

    def _close_permit(self, permit: Permit) -> None:
        if permit.serial not in self._open:
            raise ValueError(f"The permit of call {permit.grant.number} was returned already.")
        self._open.discard(permit.serial)

    def _open_permit(self, sent: Grant) -> Permit:
        permit = Permit(grant=sent, serial=next(self._serials))
        self._open.add(permit.serial)
        return permit

    def _abandon(self, lane: str, waiter: asyncio.Future[Permit]) -> None:
        """Take a cancelled call out of its queue, or return the permit that it had just got."""
        self._waiters.remove(lane, waiter)
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self._close_permit(waiter.result())
            self._finish_report(self._store.withdraw(waiter.result().grant))
        if not self._waiters and self._dispatcher is not None:
            self._dispatcher.cancel()
            self._dispatcher = None

    def _finish_report(self, unfinished: Pending, then: Callable[[], None] = lambda: None) -> None:
        """Finish a report, then signal that a slot may be free."""
        if unfinished is None:
            self._slot_freed.set()
            then()
            return
        task = asyncio.get_running_loop().create_task(unfinished)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        task.add_done_callback(lambda _: self._slot_freed.set())
        task.add_done_callback(lambda _: then())

    def _start_dispatcher(self) -> None:
        if self._dispatcher is None:
            self._dispatcher = asyncio.get_running_loop().create_task(self._dispatch())
            self._dispatcher.add_done_callback(self._dispatcher_ended)

    def _dispatcher_ended(self, usher: asyncio.Task[None]) -> None:
        """Raise a failure of the store in all waiting calls."""
        if self._dispatcher is usher:
            self._dispatcher = None
        failure = None if usher.cancelled() else usher.exception()
        if failure is not None:
            for lane, waiter in tuple(self._waiters.items()):
                self._waiters.remove(lane, waiter)
                if not waiter.done():
                    waiter.set_exception(failure)
        elif self._waiters and not usher.cancelled():
            self._start_dispatcher()

    async def _dispatch(self) -> None:
        """Give permits to the waiting calls, one at a time, until none waits."""
        while self._waiters:
            self._slot_freed.clear()
            if len(self._open) >= self._max_in_flight:
                await self._slot_freed.wait()
                continue
            turn = await self._store.reserve(self._waiters.shortest)
            if turn.grant is not None:
                self._grant(turn.grant)
            elif turn.reason is Reason.FULL:
                await self._wait_for_slot(turn)
            else:
                self._reject_waiters(turn)
                await self._wait_for_pace(turn.seconds)

    def _grant(self, sent: Grant) -> None:
        """Give the permit to the next waiting call."""
        while self._waiters:
            waiter = self._waiters.take()
            if not waiter.done():
                waiter.set_result(self._open_permit(sent))
                return
        self._finish_report(self._store.withdraw(sent))

    def _reject_waiters(self, turn: Decision) -> None:
        """Reject all waiting calls when even the first permit is too far away; a long queue that moves is fine."""
        if turn.seconds <= self._longest_wait:
            return
        for lane, waiter in tuple(self._waiters.items()):
            if not waiter.done():
                self._waiters.remove(lane, waiter)
                waiter.set_exception(_rate_limited(turn.reason, turn.seconds))

    async def _wait_for_pace(self, seconds: float) -> None:
        """Wait for the pace or a pause, and count the time."""
        if not self._waiters:
            return
        began = self._clock.now()
        self._cancelled.clear()
        try:
            await self._wait_for_event(self._cancelled, seconds)
        finally:
            self._waited_seconds += max(0.0, self._clock.now() - began)

    async def _wait_for_slot(self, turn: Decision) -> None:
        """Wait for an answer of this process; where others hold slots too, for as long as the store says."""
        if not turn.seconds:
            await self._slot_freed.wait()
            return
        await self._wait_for_event(self._slot_freed, turn.seconds)

    async def _wait_for_event(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for an event, up to `seconds`."""
        happened = asyncio.ensure_future(event.wait())
        slept = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({happened, slept}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            happened.cancel()
            slept.cancel()


def _rate_limited(why: Reason, seconds: float) -> errors.RateLimited:
    """Return the error of a call that may go in `seconds`."""
    reason = {
        Reason.PAUSE: "The LMS asked for a pause",
        Reason.QUOTA: "The LMS states that its limit is used up",
    }.get(why, "Other calls of this LMS are queued")
    return errors.RateLimited(seconds, f"{reason}; this call may go in {seconds:.1f} s.")
