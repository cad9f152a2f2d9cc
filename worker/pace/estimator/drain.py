"""Estimate the rate from a cycle that a costly refusal ended: the bucket model. Knows numbers alone."""

from __future__ import annotations

from worker.pace.estimator.fit import LONG_ENOUGH, REFILLED, SHORTEST, Cycle

#: A rate that rose by less than this share in a cycle was even: its slope is no divisor.
FLAT = 0.02
#: The first refusal of a quota a second comes after at least this share of it, and in a later cycle's last second
#: as many calls as at first were accepted, give or take this share.
QUOTA_SHARE = 0.8
SAME_QUOTA = 0.08
#: What may be a quota is believed to be at least this share of the rate tried: in a short cycle, and in a long one
#: among the first few.
LEAST_SHORT = 0.66
LEAST_LONG = 0.9
OPTIMISTIC_BURSTS = 3
#: A bucket holds at least what flows in within this time (seconds).
SMALLEST = 0.1
HALVINGS = 30
#: Fewer accepted calls than this make no level sure.
FEWEST_SURE = 5


def refilled(calls: int, seconds: float, pause: float, *, bucket: float) -> float:
    """Return the rate of an even cycle from an empty bucket to an empty one, whose pause could fill the bucket."""
    return max(calls / max(SHORTEST, seconds + pause), (calls - max(1.0, bucket)) / max(SHORTEST, seconds))


def believed(cycle: Cycle, *, first_calls: float, first_seconds: float) -> float:
    """Estimate the sustainable rate after a costly refusal: bucket model, floored near the tried rate for a quota.

    A quota is not saved up, so that a bucket of its size explains its refusals by too low a rate.
    """
    rate = drained(cycle, first_calls=first_calls, first_seconds=first_seconds)
    calls = cycle.calls - cycle.late
    if first_calls < QUOTA_SHARE * rate * max(1.0, first_seconds) or calls < REFILLED * first_calls:
        return rate
    if first_seconds <= 1 and abs(_last_second(cycle) - first_calls) <= max(1.5, SAME_QUOTA * first_calls):
        rate = max(rate, first_calls)
    least = LEAST_SHORT
    if cycle.bursts <= OPTIMISTIC_BURSTS and cycle.seconds >= LONG_ENOUGH:
        least = LEAST_LONG
    return min(cycle.tried, max(rate, least * cycle.tried))


def _last_second(cycle: Cycle) -> float:
    """Return how many calls were accepted in the last second of a cycle that rose evenly."""
    if cycle.seconds <= 1:
        return cycle.calls - cycle.late
    return cycle.tried - (cycle.tried - _begun(cycle)) / cycle.seconds / 2


def tried_at(spent: float, calls: int, seconds: float, ago: float) -> float:
    """Return the rate when the refused call went out, `ago` seconds before `spent`, of a rate that rose evenly.

    s1 = spent - slope * ago, with slope = 2 * (s1 - calls / seconds) / seconds.
    """
    seconds = max(SHORTEST, seconds)
    share = 2 * ago / seconds
    return min(spent, (spent + share * calls / seconds) / (1 + share))


def drained(cycle: Cycle, *, first_calls: float, first_seconds: float) -> float:
    """Return the rate r at which the bucket was empty just when the cycle ended; `tried` bounds it from above.

    The first refusal says b = first_calls - r * first_seconds. The pause added r * pause to what the refusal had
    left of a call, up to b; the calls rose evenly from s0 to s1 = `tried`, (s0 + s1) / 2 = calls / seconds, and
    took what they were above r. Solved by halving.
    """
    least, most = cycle.calls / max(SHORTEST, cycle.seconds + cycle.pause), cycle.tried
    for _ in range(HALVINGS):
        rate = (least + most) / 2
        bucket = max(1.0, SMALLEST * rate, first_calls - rate * first_seconds)
        if _left(cycle, rate, bucket) > _remainder(cycle, rate):
            most = rate
        else:
            least = rate
    return most


def _remainder(cycle: Cycle, rate: float) -> float:
    """Return what is left of a call at a refusal: each call before it took 1 - rate / tried more than flowed in."""
    return (1 + rate / cycle.tried) / 2


def _begun(cycle: Cycle) -> float:
    """Return the rate at which a cycle began that rose evenly to what was tried."""
    taken = (cycle.calls - cycle.late) / max(SHORTEST, cycle.seconds)
    return min(cycle.tried, max(0.0, 2 * taken - cycle.tried))


def _left(cycle: Cycle, rate: float, bucket: float) -> float:
    """Return what a bucket filled at `rate` holds at the end of a cycle."""
    seconds = max(SHORTEST, cycle.seconds)
    begun = _begun(cycle)
    held = min(bucket, max(0.0, _remainder(cycle, rate) + rate * cycle.pause - cycle.late))
    if begun >= rate or cycle.tried - begun < FLAT * cycle.tried:
        return held + rate * seconds - (cycle.calls - cycle.late)
    slope = (cycle.tried - begun) / seconds
    held = min(bucket, held + (rate - begun) ** 2 / (2 * slope))
    return held - (cycle.tried - rate) ** 2 / (2 * slope)
