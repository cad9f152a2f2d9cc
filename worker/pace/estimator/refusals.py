"""Learn from refusals: when nobody calls, which rate holds, how many calls at once. Changes no clock, asks nobody.

Calls that were out when the first refusal came back are refused too: one burst is one signal. A *cycle* ends with
a burst and began after a pause; fit.py says what its length and its accepted calls tell of the rate.
"""

from __future__ import annotations

from dataclasses import replace

from worker.pace.estimator import drain, fit, header_quota, levels, windows
from worker.pace.hints.response import Hints
from worker.pace.state import Found, Sent

#: A wait above this is a quota used up or an outage, and says nothing of the rate at which to go on, in seconds.
LONG_WAIT = 90.0
#: Refusals within a second that are more than jitter while a sure rate is held (celery.md §8).
JITTER = 3
#: Share of a sure rate to which a refusal that stands alone takes it, at least and at most.
EASED = (0.85, 0.98)
#: Share of it that is kept when too few calls came before to measure anything: a bucket of one call and jitter.
FEW_KEEP = 0.93
#: Shares of the first guess, and of the most that it can be, kept when every call that was out was refused.
GUESS_KEEPS = 0.55
CEILING_KEEPS = 0.13


def refused(
    found: Found, sent: Sent, hints: Hints, *, spent: float, taken: int, out: int, not_before: float, now: float
) -> tuple[Found, float]:
    """Take in a refusal; return what is known now, and the time before which nobody calls.

    So far `taken` calls were accepted and `out` are in flight; `spent` calls per second (0: no rate) were made.
    """
    if hints.retry_after is not None:
        not_before = max(not_before, now + hints.retry_after)
    if hints.concurrency:
        return header_quota.fewer_at_once(found, sent, out, now), not_before
    if sent.at < found.answered_until:
        return _one_more(found, sent, not_before), not_before
    # A call that was sent first may arrive last.
    found = replace(found, out=max(sent.abreast, out))
    if hints.retry_after is None:
        return _unnamed(found, sent, spent=spent, taken=taken, not_before=not_before, now=now)
    found = replace(found, answered_until=now, crept_at=now)
    if hints.retry_after > LONG_WAIT:
        return replace(found, cycle_from=not_before, refused_from=not_before, accepted_before=taken), not_before
    rounded = hints.retry_after == int(hints.retry_after)
    return _measured(
        found, sent, spent=spent, taken=taken, not_before=not_before, now=now, rounded=rounded
    ), not_before


def _one_more(found: Found, sent: Sent, not_before: float) -> Found:
    """Take in one more refusal of a burst: the more of the first one, the farther the rate was above the limit."""
    cycle_from = max(found.cycle_from, not_before)
    if found.bursts != 1 or not fit.is_dear(replace(found, cycle_from=cycle_from)):
        return replace(found, cycle_from=cycle_from)
    rate, ceiling = (keeps ** (1 / sent.abreast) for keeps in (GUESS_KEEPS, CEILING_KEEPS))
    return replace(found, cycle_from=cycle_from, rate=rate * found.rate, ceiling=ceiling * found.ceiling)


def _unnamed(
    found: Found, sent: Sent, *, spent: float, taken: int, not_before: float, now: float
) -> tuple[Found, float]:
    """Take in a refusal that names no time: alone it eases a sure rate; else a pause of our own, then a probe."""
    if found.sure and not found.probing:
        again = now - found.lone_from <= 1
        found = replace(found, lone=found.lone + 1 if again else 1, lone_from=found.lone_from if again else now)
        if found.lone < JITTER:
            return _eased(found, sent, taken), not_before
    not_before = max(not_before, windows.until(found, now))
    pause = found.own_pause or windows.FIRST_PAUSE
    found = replace(
        found, answered_until=now, crept_at=now, probing=True, own_pause=min(windows.LONGEST_PAUSE, 2 * pause)
    )
    return _measured(found, sent, spent=spent, taken=taken, not_before=not_before, now=now), not_before


def _eased(found: Found, sent: Sent, taken: int) -> Found:
    """Go a little slower: to what was taken since the LMS last refused, within limits."""
    least, most = EASED
    eased = replace(found, rate=most * found.rate, ceiling=found.rate, probe_at=sent.at + found.patience)
    if found.lone > 1:
        return eased
    rate = min(eased.rate, max(least * found.rate, _taken_since(found, sent, taken)))
    return replace(eased, rate=rate, eased_at=sent.at, eased_taken=taken)


def _taken_since(found: Found, sent: Sent, taken: int) -> float:
    """Return the rate at which calls were taken since the last refusal, which left nothing."""
    since, before, pause = found.cycle_from, found.accepted_before, found.cycle_from - found.refused_from
    if found.eased_at > since:
        since, before, pause = found.eased_at, found.eased_taken, 0.0
    calls, seconds = taken - before, sent.at - since
    if calls < drain.FEWEST_SURE:
        return FEW_KEEP * found.rate
    if 0 < seconds < fit.LONG_ENOUGH and found.rate * pause > fit.KEPT_CALLS:
        # The pause weighs too much: a quota does not fill in it as a bucket does.
        return calls / seconds
    return drain.refilled(calls, seconds, pause, bucket=found.first_calls - found.rate * found.first_seconds)


def _measured(
    found: Found, sent: Sent, *, spent: float, taken: int, not_before: float, now: float, rounded: bool = False
) -> Found:
    """Measure the rate from the cycle that this refusal ends, and begin the next."""
    calls, seconds = taken - found.accepted_before, max(0.0, sent.at - found.cycle_from)
    dear = fit.is_dear(found)
    found = replace(found, rounded=rounded)
    # Calls from before the pause may be accepted while a probe is out; only the probe tells that it was over.
    if calls - (found.late_calls if found.probing else 0) < 1:
        return _still_the_same_pause(found, not_before)
    if not found.bursts:
        return levels.first(found, sent, calls, spent=spent, not_before=not_before, now=now)
    pause = max(0.0, found.cycle_from - found.refused_from)
    ended = fit.Cycle(
        calls=calls,
        seconds=seconds,
        pause=pause,
        tried=spent or found.rate,
        bursts=found.bursts + 1,
        late=found.late_calls,
        span=not_before - found.cycle_from if pause >= fit.WINDOW_PAUSE else 0.0,
    )
    return levels.next_level(levels.begun(found, sent, calls, not_before), ended, dear=dear, ago=now - sent.at)


def _still_the_same_pause(found: Found, not_before: float) -> Found:
    """Make the pause longer that was too short; after the first burst its length tells more of the rate."""
    rate, pause = found.rate, not_before - found.refused_from
    if found.bursts == 1:
        rate = min(rate, fit.first_guess(found.first_calls, found.first_seconds, pause, dear=fit.is_dear(found)))
    elif pause >= fit.WINDOW_PAUSE:
        rate = min(rate, (found.cycle_calls + found.late_calls) / max(fit.SHORTEST, not_before - found.window_from))
    cycle_seconds = not_before - found.window_from if pause >= fit.WINDOW_PAUSE else found.cycle_seconds
    return replace(found, cycle_from=not_before, probing=True, rate=rate, cycle_seconds=cycle_seconds)
