"""The pace as arithmetic: granting a call, and what its answer changes. Knows no storage, no waiting and no clock.

Every function takes the state and the time and returns a new state. `reserve` touches `LimiterState` alone and is a
dozen comparisons, so that a store for many processes can do the same in one atomic script.
"""

from __future__ import annotations

from dataclasses import replace

from worker.pace.estimator import growth, header_quota, refusals
from worker.pace.hints.response import Hints
from worker.pace.state import Decision, Estimate, Grant, Limits, PaceState, Reason

#: Lateness that may be made up when the rate was measured, in seconds: an event loop wakes late by about as much.
SLACK_SECONDS = 0.02

#: Share of the headers' own rate that is used for the first TRUSTING_BURSTS bursts; then what was measured counts.
HEADER_SHARE = 0.9
TRUSTING_BURSTS = 8

#: Without a call for this long (seconds), what is measured across the gap would be idleness, not the limit.
IDLE_SECONDS = 2.0


def begin(bounds: Limits, found: Estimate | None = None) -> PaceState:
    """Return the state before the first call, with what an earlier run had measured."""
    return synchronized(PaceState(estimate=found or Estimate()), bounds, 0.0)


def reserve(state: PaceState, now: float) -> tuple[PaceState, Decision]:
    """Grant one call now, or return why not and when to ask again."""
    flow = state.limiter
    if flow.not_before > now:
        return state, Decision(reason=Reason.PAUSE, seconds=flow.not_before - now)
    if flow.in_flight >= flow.allowed_in_flight:
        return state, Decision(reason=Reason.FULL)
    if flow.left < 1 and flow.left_until > now:
        return state, Decision(reason=Reason.PAUSE, seconds=flow.left_until - now)
    due = max(flow.next_at, now - flow.slack)
    if due > now:
        return state, Decision(reason=Reason.PACE, seconds=due - now)
    idle = flow.in_flight == 0 and now - max(flow.last_at, flow.not_before) > max(IDLE_SECONDS, 3 * flow.interval)
    sent = Grant(at=now, number=flow.sent + 1, concurrency=flow.in_flight + 1)
    flow = replace(
        flow,
        next_at=due + flow.interval,
        in_flight=sent.concurrency,
        sent=sent.number,
        last_at=now,
        left=flow.left - 1,
        fresh_from=now if idle else flow.fresh_from,
    )
    return replace(state, limiter=flow), Decision(reason=Reason.GO, grant=sent)


def report(state: PaceState, bounds: Limits, sent: Grant, hints: Hints | None, now: float) -> PaceState:
    """Apply the answer to a granted call; `hints` is None when no answer came."""
    flow = replace(state.limiter, in_flight=max(0, state.limiter.in_flight - 1))
    counts = state.counts
    if hints is None:
        return replace(state, limiter=flow, counts=replace(counts, lost=counts.lost + 1))
    found = growth.cycle_reset(state.estimate, flow.fresh_from, counts.accepted)
    if hints.throttled:
        counts = replace(counts, refused=counts.refused + 1)
        found, not_before = refusals.refused(
            found,
            sent,
            hints,
            spent=1 / flow.interval if flow.interval else 0.0,
            taken=counts.accepted,
            out=state.limiter.in_flight,
            not_before=flow.not_before,
            now=now,
        )
        flow = replace(flow, not_before=not_before)
    else:
        counts = replace(counts, accepted=counts.accepted + 1)
        busy = flow.interval > 0 and flow.next_at > now - 2 * flow.interval
        found = growth.accepted(found, sent, busy=busy, now=now)
    found, flow = header_quota.apply_headers(found, flow, sent, hints, now=now)
    return synchronized(PaceState(limiter=flow, estimate=found, counts=counts), bounds, now)


def withdraw(state: PaceState, sent: Grant) -> PaceState:
    """Cancel an unused grant: free the slot; rewind the schedule if no later call was granted."""
    flow = state.limiter
    last = flow.sent == sent.number
    return replace(
        state,
        limiter=replace(
            flow,
            in_flight=max(0, flow.in_flight - 1),
            next_at=flow.next_at - flow.interval if last else flow.next_at,
            left=flow.left + 1,
        ),
    )


def rate_of(found: Estimate, bounds: Limits) -> float:
    """Return the calls per second to spend; 0 when none is configured or measured."""
    found_out = (
        max(found.rate, HEADER_SHARE * found.header_level if found.bursts <= TRUSTING_BURSTS else 0.0)
        if found.rate
        else 0.0
    )
    known = [rate for rate in (found_out, found.header_rate) if rate > 0]
    if bounds.rate is not None:
        known.append(1 / bounds.rate.interval)
    return min(known, default=0.0)


def synchronized(state: PaceState, bounds: Limits, now: float) -> PaceState:
    """Update the part that `reserve` reads from what was measured."""
    found = state.estimate
    rate = rate_of(found, bounds)
    interval = 1 / rate if rate else 0.0
    slack = bounds.rate.slack if bounds.rate else SLACK_SECONDS
    allowed = growth.allowed_in_flight(found, bounds.max_in_flight, state.counts.accepted, now)
    flow = state.limiter
    if (interval, slack, allowed) == (flow.interval, flow.slack, flow.allowed_in_flight):
        return state
    # A call that was due by a slower rate is due sooner by a faster one.
    next_at = min(flow.next_at, flow.last_at + interval) if interval < flow.interval else flow.next_at
    return replace(
        state, limiter=replace(flow, next_at=next_at, interval=interval, slack=slack, allowed_in_flight=allowed)
    )
