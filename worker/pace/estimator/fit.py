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

import msgspec

from worker.pace.state import Estimate

#: A pause of this length (seconds) is the rest of a window: a bucket's next call comes sooner.
WINDOW_PAUSE = 3.0
#: Accepted calls that measure a rate well enough.
ENOUGH_CALLS = 20
#: Fewer accepted calls than this measure nothing by themselves.
FEWEST_CALLS = 3
#: The shortest time that is measured, in seconds.
SHORTEST = 0.02
#: The calls that the smallest bucket keeps over a pause.
KEPT_CALLS = 4.4
#: A cycle that took less than this share of what the bucket held at first found it not refilled.
REFILLED = 0.7
#: Weight of each earlier exact cycle.
FADE = 0.5
#: Shares of the tried rate that are kept when the bucket may have overflowed, by the number of bursts; the first
#: where the lower bound is below `WIDE` of it.
FALL_TO = (0.75, 0.75, 0.82, 0.85, 0.92, 0.95)
WIDE = 0.6
#: A rate above this multiple of what was accepted in a window was tried for a part of it only.
OVERFLOWN = 1.3
#: Share of the level of a window at which it is held.
HELD = 0.98
#: A rate that was refused is tried at this share of it at most.
BELOW_TRIED = 0.97
#: A pause from this length (seconds) up to that of a window makes a refusal costly.
COSTLY_SECONDS = 0.9
#: After a first burst within a costly pause the guess is this share of its calls, as if they were a quota per
#: pause.
FIRST_BELOW = 0.95
#: Seconds that a cycle must last to be sure of anything.
LONG_ENOUGH = 2.0


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Calls and seconds of exact cycles, older ones faded."""

    calls: float
    seconds: float


class Cycle(msgspec.Struct, frozen=True, kw_only=True):
    """`calls` accepted in `seconds` at the rate `tried`, after `pause`; ended by refusal burst number `bursts`."""

    calls: int
    seconds: float
    pause: float
    tried: float
    bursts: int
    #: Accepted calls, not among `calls`, that were sent before the pause was over.
    late: int = 0
    #: Seconds from the beginning of one window to the beginning of the next; 0 where there are no windows to see.
    span: float = 0.0


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """The rate to go on with, the rate not to pass soon, and whether they are good enough to be held."""

    rate: float
    ceiling: float
    sure: bool
    measured: Measured
    #: The rate is a mean of cycles in whose pauses a bucket of common size did not overflow.
    exact: bool = False


def first_guess(calls: float, seconds: float, pause: float, *, costly: bool) -> float:
    """Guess the rate from the first refusal: the mean by ratio of what it is at least and at most.

    After a pause of `WINDOW_PAUSE` and more, the least is the rate.
    """
    least = max(calls, 1.0) / max(SHORTEST, seconds + pause)
    most = max(calls, 1.0) / max(SHORTEST, seconds)
    if costly and seconds < pause:
        return FIRST_BELOW * max(calls, 1.0) / pause
    return least if pause >= WINDOW_PAUSE else math.sqrt(least * most)


def fitted(cycle: Cycle, kept: Measured, *, first_calls: float) -> Fit:
    """Return the rate that explains a cycle, given what exact cycles measured and what the LMS took at first."""
    if cycle.span and (cycle.seconds <= cycle.pause or cycle.tried <= OVERFLOWN * cycle.calls / cycle.span):
        return _spanned(cycle, kept)
    least = cycle.calls / max(SHORTEST, cycle.seconds + cycle.pause)
    exact = least * cycle.pause <= KEPT_CALLS
    if exact:
        lasted = FADE * kept.seconds + max(SHORTEST, cycle.seconds + cycle.pause)
        kept = Measured(calls=FADE * kept.calls + cycle.calls, seconds=lasted)
    rate, ceiling = _rate(cycle, least, kept if exact else None, first_calls)
    return Fit(
        rate=min(rate, BELOW_TRIED * cycle.tried),
        ceiling=ceiling,
        sure=exact and kept.calls >= ENOUGH_CALLS,
        measured=kept,
        exact=exact,
    )


def _spanned(cycle: Cycle, kept: Measured) -> Fit:
    """Return the rate of a cycle that is a window, from its beginning to the next one's."""
    kept = Measured(calls=FADE * kept.calls + cycle.calls, seconds=FADE * kept.seconds + cycle.span)
    level = kept.calls / kept.seconds
    return Fit(
        rate=min(HELD * level, BELOW_TRIED * cycle.tried),
        ceiling=level,
        sure=kept.calls >= ENOUGH_CALLS or kept.seconds >= LONG_ENOUGH,
        measured=kept,
    )


def is_costly(found: Estimate) -> bool:
    """Return whether a refusal costs much for what it tells: about a second, which the LMS rounded up."""
    pause = found.cycle_from - found.refused_from
    return found.rounded and COSTLY_SECONDS <= pause < WINDOW_PAUSE


def _rate(cycle: Cycle, least: float, exact: Measured | None, first_calls: float) -> tuple[float, float]:
    """Return the rate and the ceiling that the cycle speaks for."""
    quick = cycle.seconds < cycle.pause / 2
    window = cycle.pause >= WINDOW_PAUSE
    if exact is not None and exact.calls >= FEWEST_CALLS:
        return _mean(exact, cycle.tried)
    if exact is not None and quick and not window:
        # At most one call more than was taken flowed in, and a call tried too early is cheap.
        return min((exact.calls + 1) / exact.seconds, math.sqrt(least * cycle.tried)), cycle.tried
    if quick and (cycle.calls >= ENOUGH_CALLS if window else FEWEST_CALLS < cycle.calls < REFILLED * first_calls):
        return least, least
    if quick or window:
        return math.sqrt(least * cycle.tried), cycle.tried
    step = 0 if least < WIDE * cycle.tried else min(cycle.bursts, len(FALL_TO) - 1)
    return max(least, FALL_TO[step] * cycle.tried), cycle.tried


def _mean(exact: Measured, tried: float) -> tuple[float, float]:
    """Return the rate and the ceiling that exact cycles speak for."""
    rate = exact.calls / exact.seconds
    if exact.calls < ENOUGH_CALLS:
        return rate, tried
    # Within a second or two it may have been a quota, of which this mean says too little.
    return rate, rate if exact.seconds >= LONG_ENOUGH else max(rate, (rate + tried) / 2)
