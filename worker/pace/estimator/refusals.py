"""Learn from refusals: how long to pause, which rate holds, how many calls at once. Pure.

Calls that were out when the first refusal came back are refused too: one burst is one signal. A *cycle* ends with
a burst and began after a pause; fit.py says what its length and its accepted calls tell of the rate.
"""

from __future__ import annotations

from msgspec.structs import replace

from worker.pace.estimator import concurrency, drain, fit, levels, windows
from worker.pace.hints.response import Hints
from worker.pace.state import Estimate, Grant

#: A wait above this is a quota used up or an outage, and says nothing of the rate at which to go on, in seconds.
LONG_WAIT = 90.0
#: Refusals within a second that are more than jitter while a sure rate is held.
JITTER = 3
#: Share of a sure rate that a single refusal leaves, at least and at most.
BACK_OFF = (0.85, 0.98)
#: Shares of the first guess, and of the most that it can be, kept when every call that was out was refused.
GUESS_KEEPS = 0.55
CEILING_KEEPS = 0.13


def refused(
    found: Estimate, sent: Grant, hints: Hints, *, spent: float, taken: int, out: int, not_before: float, now: float
) -> tuple[Estimate, float]:
    """Apply a refusal; return the estimate, and the time before which no call may go.

    So far `taken` calls were accepted and `out` are in flight; `spent` calls per second (0: no rate) were made.
    """
    if hints.retry_after is not None:
        not_before = max(not_before, now + hints.retry_after)
    if hints.concurrency:
        return concurrency.lower_concurrency(found, sent, out, now), not_before
    if sent.at < found.answered_until:
        return _one_more_of_burst(found, sent, not_before), not_before
    # A call that was sent first may arrive last.
    found = replace(found, in_flight_at_burst=max(sent.concurrency, out))
    if hints.retry_after is None:
        return _without_retry_after(found, sent, spent=spent, taken=taken, not_before=not_before, now=now)
    found = replace(found, answered_until=now, ramped_at=now)
    if hints.retry_after > LONG_WAIT:
        return replace(found, cycle_from=not_before, refused_from=not_before, accepted_before=taken), not_before
    rounded = hints.retry_after == int(hints.retry_after)
    return _measured(
        found, sent, spent=spent, taken=taken, not_before=not_before, now=now, rounded=rounded
    ), not_before


def _one_more_of_burst(found: Estimate, sent: Grant, not_before: float) -> Estimate:
    """Apply one more refusal of a burst: the more of the first one, the farther the rate was above the limit."""
    cycle_from = max(found.cycle_from, not_before)
    if found.bursts != 1 or not fit.is_costly(replace(found, cycle_from=cycle_from)):
        return replace(found, cycle_from=cycle_from)
    rate, ceiling = (keeps ** (1 / sent.concurrency) for keeps in (GUESS_KEEPS, CEILING_KEEPS))
    return replace(found, cycle_from=cycle_from, rate=rate * found.rate, ceiling=ceiling * found.ceiling)


def _without_retry_after(
    found: Estimate, sent: Grant, *, spent: float, taken: int, not_before: float, now: float
) -> tuple[Estimate, float]:
    """Apply a refusal without Retry-After: a single one backs off a sure rate; else pause, then probe."""
    if found.sure and not found.probing:
        again = now - found.single_refusals_from <= 1
        found = replace(
            found,
            single_refusals=found.single_refusals + 1 if again else 1,
            single_refusals_from=found.single_refusals_from if again else now,
        )
        if found.single_refusals < JITTER:
            return _backed_off(found, sent, taken), not_before
    not_before = max(not_before, windows.until(found, now))
    pause = found.own_pause or windows.FIRST_PAUSE
    found = replace(
        found, answered_until=now, ramped_at=now, probing=True, own_pause=min(windows.LONGEST_PAUSE, 2 * pause)
    )
    return _measured(found, sent, spent=spent, taken=taken, not_before=not_before, now=now), not_before


def _backed_off(found: Estimate, sent: Grant, taken: int) -> Estimate:
    """Back off a little: to the rate accepted since the LMS last refused, within limits."""
    least, most = BACK_OFF
    eased = replace(found, rate=most * found.rate, ceiling=found.rate, probe_at=sent.at + found.hold_seconds)
    if found.single_refusals > 1:
        return eased
    rate = min(eased.rate, max(least * found.rate, _accepted_rate(found, sent, taken)))
    return replace(eased, rate=rate, backed_off_at=sent.at, backed_off_accepted=taken)


def _accepted_rate(found: Estimate, sent: Grant, taken: int) -> float:
    """Return the rate at which calls were accepted since the last refusal."""
    since, before, pause = found.cycle_from, found.accepted_before, found.cycle_from - found.refused_from
    if found.backed_off_at > since:
        since, before, pause = found.backed_off_at, found.backed_off_accepted, 0.0
    calls, seconds = taken - before, sent.at - since
    if calls < drain.FEWEST_SURE:
        return levels.FEW_KEEP * found.rate
    if 0 < seconds < fit.LONG_ENOUGH and found.rate * pause > fit.KEPT_CALLS:
        # The pause weighs too much: a quota does not fill in it as a bucket does.
        return calls / seconds
    return drain.refilled(calls, seconds, pause, bucket=found.first_calls - found.rate * found.first_seconds)


def _measured(
    found: Estimate, sent: Grant, *, spent: float, taken: int, not_before: float, now: float, rounded: bool = False
) -> Estimate:
    """Measure the rate from the cycle that this refusal ends, and begin the next."""
    calls, seconds = taken - found.accepted_before, max(0.0, sent.at - found.cycle_from)
    dear = fit.is_costly(found)
    found = replace(found, rounded=rounded)
    # Calls from before the pause may be accepted while a probe is out; only the probe tells that it was over.
    if calls - (found.late_calls if found.probing else 0) < 1:
        return _pause_extended(found, not_before)
    if not found.bursts:
        return levels.first(found, sent, calls, spent=spent, not_before=not_before, now=now)
    ended = _ended_cycle(found, calls, seconds, spent=spent, not_before=not_before)
    following = levels.next_cycle(found, sent, calls, not_before)
    return levels.next_level(following, ended, costly=dear, ago=now - sent.at)


def _ended_cycle(found: Estimate, calls: int, seconds: float, *, spent: float, not_before: float) -> fit.Cycle:
    """Return the cycle that a refusal has ended; `calls` of it were accepted in `seconds`."""
    pause = max(0.0, found.cycle_from - found.refused_from)
    return fit.Cycle(
        calls=calls,
        seconds=seconds,
        pause=pause,
        tried=spent or found.rate,
        bursts=found.bursts + 1,
        late=found.late_calls,
        span=not_before - found.cycle_from if pause >= fit.WINDOW_PAUSE else 0.0,
    )


def _pause_extended(found: Estimate, not_before: float) -> Estimate:
    """Make the pause longer that was too short; after the first burst its length tells more of the rate."""
    rate, pause = found.rate, not_before - found.refused_from
    if found.bursts == 1:
        rate = min(
            rate, fit.first_guess(found.first_calls, found.first_seconds, pause, costly=fit.is_costly(found))
        )
    elif pause >= fit.WINDOW_PAUSE:
        rate = min(rate, (found.cycle_calls + found.late_calls) / max(fit.SHORTEST, not_before - found.window_from))
    cycle_seconds = not_before - found.window_from if pause >= fit.WINDOW_PAUSE else found.cycle_seconds
    return replace(found, cycle_from=not_before, probing=True, rate=rate, cycle_seconds=cycle_seconds)
