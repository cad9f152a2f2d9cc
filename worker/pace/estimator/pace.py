"""The pace as arithmetic: granting a call, and what its answer changes. Knows no storage, no waiting and no clock.

Every function takes the state and the time and returns a new state. `reserve` touches `LimiterState` alone and is a
dozen comparisons, so that a store for many processes can do the same in one atomic script.
"""

from __future__ import annotations

from msgspec.structs import replace

from worker.pace.estimator import growth, quota_gate, refusals, server_clock, stated
from worker.pace.hints.response import Hints
from worker.pace.state import Decision, Estimate, Grant, LimiterState, Limits, PaceState, Quota, Reason

#: Lateness that may be made up when the rate was measured, in seconds: an event loop wakes late by about as much.
SLACK_SECONDS = 0.02

#: Without a call for this long (seconds), what is measured across the gap would be idleness, not the limit. No
#: simulated run is idle.
IDLE_SECONDS = 2.0


def begin(
    bounds: Limits, found: Estimate | None = None, quotas: tuple[Quota, ...] = (), not_before: float = 0.0
) -> PaceState:
    """Return the state before the first call, with what an earlier run had found."""
    flow = LimiterState(quotas=quotas, not_before=not_before)
    return synchronized(PaceState(estimate=found or Estimate(), limiter=flow), bounds, 0.0)


def reserve(state: PaceState, now: float) -> tuple[PaceState, Decision]:
    """Grant one call now, or return why not and when to ask again."""
    flow = state.limiter
    if flow.not_before > now:
        return state, Decision(reason=Reason.PAUSE, seconds=flow.not_before - now)
    if flow.in_flight >= flow.allowed_in_flight:
        return state, Decision(reason=Reason.FULL)
    stated_wait = quota_gate.wait(flow, now)
    if stated_wait > 0:
        return state, Decision(reason=Reason.QUOTA, seconds=stated_wait)
    due = max(flow.next_at, now - flow.slack)
    if due > now:
        return state, Decision(reason=Reason.PACE, seconds=due - now)
    sent = Grant(at=now, number=flow.sent + 1, concurrency=flow.in_flight + 1)
    return replace(state, limiter=_with(flow, sent, due)), Decision(reason=Reason.GO, grant=sent)


def _with(flow: LimiterState, sent: Grant, due: float) -> LimiterState:
    """Return the state with a call that goes now and was due at this time."""
    since = sent.at - max(flow.last_at, flow.not_before)
    idle = flow.in_flight == 0 and since > max(IDLE_SECONDS, 3 * flow.interval)
    return replace(
        flow,
        next_at=due + flow.interval,
        in_flight=sent.concurrency,
        sent=sent.number,
        last_at=sent.at,
        history=(*flow.history[-stated.HISTORY + 1 :], sent.at),
        fresh_from=sent.at if idle else flow.fresh_from,
    )


def report(state: PaceState, bounds: Limits, sent: Grant, hints: Hints | None, now: float) -> PaceState:
    """Apply the answer to a granted call; `hints` is None when no answer came."""
    flow = replace(state.limiter, in_flight=max(0, state.limiter.in_flight - 1))
    counts = state.counts
    if hints is None:
        return replace(state, limiter=flow, counts=replace(counts, lost=counts.lost + 1))
    found = server_clock.read(state.estimate, sent.at, now, hints.date)
    hints = _exact_wait(found, hints, now)
    refused = hints.throttled
    counts = replace(counts, refused=counts.refused + refused, accepted=counts.accepted + (not refused))
    flow = stated.learn(found, flow, sent, hints, refused=counts.refused, now=now)
    if flow.quotas and not hints.concurrency:
        if hints.throttled and hints.retry_after is not None:
            flow = replace(flow, not_before=max(flow.not_before, now + hints.retry_after))
        elif found.max_concurrency and not hints.throttled:
            found = growth.accepted(found, sent, busy=False, now=now)
    else:
        found, flow = _searched(replace(state, estimate=found, limiter=flow), sent, hints, now)
    return synchronized(PaceState(limiter=flow, estimate=found, counts=counts), bounds, now)


def _searched(state: PaceState, sent: Grant, hints: Hints, now: float) -> tuple[Estimate, LimiterState]:
    """Search for the pace where the LMS states no limit; `state` counts the answer neither way yet."""
    flow, taken = state.limiter, state.counts.accepted
    found = growth.cycle_reset(state.estimate, flow.fresh_from, taken)
    if not hints.throttled:
        busy = flow.interval > 0 and flow.next_at > now - 2 * flow.interval
        return growth.accepted(found, sent, busy=busy, now=now), flow
    found, not_before = refusals.refused(
        found,
        sent,
        hints,
        spent=1 / flow.interval if flow.interval else 0.0,
        taken=taken,
        out=flow.in_flight + 1,
        not_before=flow.not_before,
        now=now,
    )
    return found, replace(flow, not_before=not_before)


def _exact_wait(found: Estimate, hints: Hints, now: float) -> Hints:
    """Return the hints with a wait that was named as a date measured by the server's clock."""
    if hints.retry_after is None or hints.retry_at is None or hints.date is None:
        return hints
    return replace(hints, retry_after=max(0.0, server_clock.at_the_latest(found, hints.retry_at) - now))


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
            history=stated.without(flow.history, sent.at),
        ),
    )


def known_rate(state: PaceState, bounds: Limits) -> float:
    """Return the calls per second that are possible in the long run; 0 when nothing is known of them."""
    quotas = state.limiter.quotas
    stated = [quota.refill or quota.calls / quota.seconds for quota in quotas if quota.refill or quota.seconds]
    spent = _rate(state, bounds)
    return min([*stated, spent] if spent else stated, default=0.0)


def _rate(state: PaceState, bounds: Limits) -> float:
    """Return the calls per second to spend evenly; 0 for none. Stated quotas are spent as they are left."""
    known = [state.estimate.rate] if state.estimate.rate > 0 and not state.limiter.quotas else []
    if bounds.rate is not None:
        known.append(1 / bounds.rate.interval)
    return min(known, default=0.0)


def synchronized(state: PaceState, bounds: Limits, now: float) -> PaceState:
    """Update the part that `reserve` reads from what was measured."""
    found = state.estimate
    rate = _rate(state, bounds)
    interval = 1 / rate if rate else 0.0
    slack = bounds.rate.slack if bounds.rate else SLACK_SECONDS
    most = bounds.max_in_flight
    if state.limiter.quotas:
        allowed = min(most, found.max_concurrency or most)
    else:
        allowed = growth.allowed_in_flight(found, most, state.counts.accepted, now)
    flow = state.limiter
    if (interval, slack, allowed) == (flow.interval, flow.slack, flow.allowed_in_flight):
        return state
    # A call that was due by a slower rate is due sooner by a faster one.
    next_at = min(flow.next_at, flow.last_at + interval) if interval < flow.interval else flow.next_at
    return replace(
        state, limiter=replace(flow, next_at=next_at, interval=interval, slack=slack, allowed_in_flight=allowed)
    )
