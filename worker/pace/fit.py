"""Which rate explains when an LMS refused. Knows numbers alone.

Token buckets, fixed windows and sliding logs all look, from outside, like a bucket of b calls that is filled at
r a second (a window of Q calls in W seconds: b = Q, r = Q / W), and a refusal says that the bucket is empty. So of
a cycle with P seconds of pause, then T seconds of calls at a rate s with A accepted until the next refusal:

    A = min(b, r · P) + r · T,    hence    A / (P + T) ≤ r ≤ A / T,    and about r ≤ s.

The lower bound is exact when the bucket did not overflow in the pause: in a short pause, or when the cycle took far
fewer calls than the bucket held at first. Numbers without a source were chosen with the simulation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: A pause of so many seconds is the rest of a window: a bucket's next call comes sooner.
WINDOW_PAUSE = 3.0
#: So many accepted calls measure a rate well enough.
ENOUGH_CALLS = 20
#: Fewer accepted calls than this measure nothing by themselves.
FEWEST_CALLS = 3
#: The shortest time that is measured, in seconds.
SHORTEST = 0.02
#: The smallest bucket keeps so many calls, or what flows in within so many seconds, over a pause.
KEPT_CALLS = 4.4
KEPT_SECONDS = 0.12
#: A cycle that took less than this share of what the bucket held at first found it not refilled.
REFILLED = 0.7
#: Exact cycles before the last count for so much less, each.
FADE = 0.5
#: Shares of the tried rate that are kept when the bucket may have overflowed, by the number of bursts; the first
#: where the lower bound is below `WIDE` of it.
FALL_TO = (0.75, 0.75, 0.82, 0.85, 0.92, 0.95)
WIDE = 0.6
#: A lower bound above this share of what was tried leaves little to find out.
TIGHT = 0.85
#: A rate that was refused is tried at this share of it at most.
BELOW_TRIED = 0.97
#: A rate that rose by less than this share in a cycle was even.
FLAT = 0.02
#: A pause of at least so many seconds is dear, and short of a window's.
DEAR = 0.9
#: After a first burst within a dear pause the guess is this share of its calls, as if they were a quota per pause.
FIRST_BELOW = 0.95
#: The first refusal of a quota a second comes after at least this share of it, and in a later cycle's last second
#: as many calls as at first were accepted, give or take this share.
QUOTA_SHARE = 0.8
SAME_QUOTA = 0.08
#: What may be a quota is believed to be at least this share of the rate tried: in a short cycle, and in a long one
#: among the first few.
LEAST_SHORT = 0.66
LEAST_LONG = 0.9
OPTIMISTIC_BURSTS = 3
#: A bucket holds at least what flows in within so many seconds; and about so much of a call is left at a refusal.
SMALLEST = 0.1
REMAINDER = 0.85
#: A cycle's rate began at no less than this share of where it ended.
SLOWEST_BEGIN = 0.05
HALVINGS = 30
#: Fewer accepted calls than this make no level sure.
FEWEST_SURE = 5
#: Seconds that a cycle must last to be sure of anything.
LONG_ENOUGH = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Calls and seconds of exact cycles, older ones faded."""

    calls: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """`calls` accepted in `seconds` at the rate `tried`, after `pause`; ended by the so-manieth of the `bursts`."""

    calls: int
    seconds: float
    pause: float
    tried: float
    bursts: int
    #: Accepted calls, not among `calls`, that were sent before the pause was over.
    late: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The rate to go on with, the rate not to pass soon, and whether they are good enough to be held."""

    rate: float
    ceiling: float
    sure: bool
    measured: Measured


def first_guess(calls: float, seconds: float, pause: float) -> float:
    """Guess the rate from the first refusal: the mean by ratio of what it is at least and at most.

    After a pause of `WINDOW_PAUSE` and more, the least is the rate.
    """
    least = max(calls, 1.0) / max(SHORTEST, seconds + pause)
    most = max(calls, 1.0) / max(SHORTEST, seconds)
    if is_dear(pause) and seconds < pause:
        return FIRST_BELOW * max(calls, 1.0) / pause
    return least if pause >= WINDOW_PAUSE else math.sqrt(least * most)


def fitted(cycle: Cycle, kept: Measured, *, first_calls: float) -> Fit:
    """Return the rate that explains a cycle, given what exact cycles measured and what the LMS took at first."""
    least = cycle.calls / max(SHORTEST, cycle.seconds + cycle.pause)
    exact = least * cycle.pause <= KEPT_CALLS or cycle.pause <= KEPT_SECONDS
    if exact:
        lasted = FADE * kept.seconds + max(SHORTEST, cycle.seconds + cycle.pause)
        kept = Measured(calls=FADE * kept.calls + cycle.calls, seconds=lasted)
    rate, ceiling = _rate(cycle, least, kept if exact else None, first_calls)
    tight = least >= TIGHT * cycle.tried and cycle.calls >= ENOUGH_CALLS
    return Fit(
        rate=min(rate, BELOW_TRIED * cycle.tried),
        ceiling=ceiling,
        sure=(exact and kept.calls >= ENOUGH_CALLS) or (tight and cycle.seconds + cycle.pause >= LONG_ENOUGH),
        measured=kept,
    )


def is_dear(pause: float) -> bool:
    """Return whether a refusal costs much for what it tells: about a second, which the LMS rounded up."""
    return DEAR <= pause < WINDOW_PAUSE


def believed(cycle: Cycle, *, first_calls: float, first_seconds: float) -> float:
    """Return the level of a dear cycle: a small bucket's; of what may be a quota not much below what was tried.

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

    The first refusal says b = first_calls - r * first_seconds. The pause left min(b, r * pause); the calls rose
    evenly from s0 to s1 = `tried`, (s0 + s1) / 2 = calls / seconds, and took what they were above r. Solved by
    halving.
    """
    least, most = cycle.calls / max(SHORTEST, cycle.seconds + cycle.pause), cycle.tried
    for _ in range(HALVINGS):
        rate = (least + most) / 2
        bucket = max(1.0, SMALLEST * rate, first_calls - rate * first_seconds)
        if _left(cycle, rate, bucket) > REMAINDER:
            most = rate
        else:
            least = rate
    return most


def _begun(cycle: Cycle) -> float:
    """Return the rate at which a cycle began that rose evenly to what was tried."""
    taken = (cycle.calls - cycle.late) / max(SHORTEST, cycle.seconds)
    return min(cycle.tried, max(SLOWEST_BEGIN * cycle.tried, 2 * taken - cycle.tried))


def _left(cycle: Cycle, rate: float, bucket: float) -> float:
    """Return what a bucket filled at `rate` holds at the end of a cycle."""
    seconds = max(SHORTEST, cycle.seconds)
    begun = _begun(cycle)
    held = min(bucket, max(0.0, rate * cycle.pause - cycle.late))
    if begun >= rate or cycle.tried - begun < FLAT * cycle.tried:
        return held + rate * seconds - (cycle.calls - cycle.late)
    slope = (cycle.tried - begun) / seconds
    held = min(bucket, held + (rate - begun) ** 2 / (2 * slope))
    return held - (cycle.tried - rate) ** 2 / (2 * slope)


def _rate(cycle: Cycle, least: float, exact: Measured | None, first_calls: float) -> tuple[float, float]:
    """Return the rate and the ceiling that the cycle speaks for."""
    quick = cycle.seconds < cycle.pause / 2
    window = cycle.pause >= WINDOW_PAUSE
    if exact is not None and exact.calls >= FEWEST_CALLS:
        rate = exact.calls / exact.seconds
        return rate, rate if exact.calls >= ENOUGH_CALLS else cycle.tried
    if window and quick and cycle.calls >= ENOUGH_CALLS:
        return least, least
    if quick and not window and FEWEST_CALLS < cycle.calls < REFILLED * first_calls:
        return least, least
    if quick or window:
        return math.sqrt(least * cycle.tried), cycle.tried
    step = 0 if least < WIDE * cycle.tried else min(cycle.bursts, len(FALL_TO) - 1)
    return max(least, FALL_TO[step] * cycle.tried), cycle.tried
