"""The pace as arithmetic: leave for a call, and what its answer changes. Knows no storage, no waiting and no clock.

Every function takes the state and the time and returns a new state. `reserve` touches `Flow` alone and is a dozen
comparisons, so that a store for many processes can do the same in one atomic script.
"""

from __future__ import annotations

from dataclasses import replace

from worker.pace.estimator import growth, header_quota, refusals
from worker.pace.hints.response import Hints
from worker.pace.state import Bounds, Found, PaceState, Sent, Turn, Why

#: Lateness that may be made up when the rate was found out, in seconds: an event loop wakes late by about as much.
SLACK_SECONDS = 0.02

#: The headers' own rate is trusted to this share for so many bursts of refusals; then what was measured counts.
HEADER_SHARE = 0.9
TRUSTING_BURSTS = 8

#: Nobody asked for a call for so long: what was measured across the gap would be our idleness, not the limit.
IDLE_SECONDS = 2.0


def begin(bounds: Bounds, found: Found | None = None) -> PaceState:
    """Return the state before the first call, with what an earlier run had found out."""
    return settled(PaceState(found=found or Found()), bounds, 0.0)


def reserve(state: PaceState, now: float) -> tuple[PaceState, Turn]:
    """Give one call leave to go now, or say why not and when to ask again."""
    flow = state.flow
    if flow.not_before > now:
        return state, Turn(why=Why.PAUSE, seconds=flow.not_before - now)
    if flow.in_flight >= flow.allowed_in_flight:
        return state, Turn(why=Why.FULL)
    if flow.left < 1 and flow.left_until > now:
        return state, Turn(why=Why.PAUSE, seconds=flow.left_until - now)
    due = max(flow.next_at, now - flow.slack)
    if due > now:
        return state, Turn(why=Why.PACE, seconds=due - now)
    idle = flow.in_flight == 0 and now - max(flow.last_at, flow.not_before) > max(IDLE_SECONDS, 3 * flow.interval)
    sent = Sent(at=now, number=flow.sent + 1, abreast=flow.in_flight + 1)
    flow = replace(
        flow,
        next_at=due + flow.interval,
        in_flight=sent.abreast,
        sent=sent.number,
        last_at=now,
        left=flow.left - 1,
        fresh_from=now if idle else flow.fresh_from,
    )
    return replace(state, flow=flow), Turn(why=Why.GO, sent=sent)


def report(state: PaceState, bounds: Bounds, sent: Sent, hints: Hints | None, now: float) -> PaceState:
    """Take in the answer to a call that had leave; `hints` None when no answer came."""
    flow = replace(state.flow, in_flight=max(0, state.flow.in_flight - 1))
    counts = state.counts
    if hints is None:
        return replace(state, flow=flow, counts=replace(counts, lost=counts.lost + 1))
    found = growth.restarted(state.found, flow.fresh_from, counts.accepted)
    if hints.throttled:
        counts = replace(counts, refused=counts.refused + 1)
        found, not_before = refusals.refused(
            found,
            sent,
            hints,
            spent=1 / flow.interval if flow.interval else 0.0,
            taken=counts.accepted,
            out=state.flow.in_flight,
            not_before=flow.not_before,
            now=now,
        )
        flow = replace(flow, not_before=not_before)
    else:
        counts = replace(counts, accepted=counts.accepted + 1)
        busy = flow.interval > 0 and flow.next_at > now - 2 * flow.interval
        found = growth.accepted(found, sent, busy=busy, now=now)
    found, flow = header_quota.heeded(found, flow, sent, hints, now=now)
    return settled(PaceState(flow=flow, found=found, counts=counts), bounds, now)


def withdraw(state: PaceState, sent: Sent) -> PaceState:
    """Take back the leave of a call that was not made: its slot, and its turn when nobody was given a later one."""
    flow = state.flow
    last = flow.sent == sent.number
    return replace(
        state,
        flow=replace(
            flow,
            in_flight=max(0, flow.in_flight - 1),
            next_at=flow.next_at - flow.interval if last else flow.next_at,
            left=flow.left + 1,
        ),
    )


def rate_of(found: Found, bounds: Bounds) -> float:
    """Return the calls per second to spend; 0 when nobody set one or found one out."""
    found_out = (
        max(found.rate, HEADER_SHARE * found.header_level if found.bursts <= TRUSTING_BURSTS else 0.0)
        if found.rate
        else 0.0
    )
    known = [rate for rate in (found_out, found.header_rate) if rate > 0]
    if bounds.rate is not None:
        known.append(1 / bounds.rate.interval)
    return min(known, default=0.0)


def settled(state: PaceState, bounds: Bounds, now: float) -> PaceState:
    """Bring the part that `reserve` reads in line with what was found out."""
    found = state.found
    rate = rate_of(found, bounds)
    interval = 1 / rate if rate else 0.0
    slack = bounds.rate.slack if bounds.rate else SLACK_SECONDS
    allowed = growth.allowed_in_flight(found, bounds.max_in_flight, state.counts.accepted, now)
    flow = state.flow
    if (interval, slack, allowed) == (flow.interval, flow.slack, flow.allowed_in_flight):
        return state
    # A call that was due by a slower rate is due sooner by a faster one.
    next_at = min(flow.next_at, flow.last_at + interval) if interval < flow.interval else flow.next_at
    return replace(
        state, flow=replace(flow, next_at=next_at, interval=interval, slack=slack, allowed_in_flight=allowed)
    )
