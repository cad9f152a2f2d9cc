"""Learn from refusals: when nobody calls, which rate holds, how many calls at once. Changes no clock, asks nobody.

Calls that were out when the first refusal came back are refused too: one burst is one signal. A *cycle* ends with
a burst and began after a pause; fit.py says what its length and its accepted calls tell of the rate.
"""

from __future__ import annotations

from dataclasses import replace

from worker.pace import fit
from worker.pace.hints import Hints
from worker.pace.learning import LONGEST_PATIENCE, PATIENCE, SURE_BURSTS
from worker.pace.state import Found, Sent

#: A wait above this is a quota used up or an outage, and says nothing of the rate at which to go on, in seconds.
LONG_WAIT = 90.0
#: Refusals within a second that are more than jitter while a sure rate is held (celery.md §8).
JITTER = 3
#: Share of a sure rate to which a refusal that stands alone takes it, at least and at most.
EASED = (0.85, 0.98)
#: Share of a rate that somebody or a header named that is kept when the LMS refuses for the first time.
KNOWN_FALL = 0.85
#: Slots that are kept after the first burst (a share), and accepted calls for each further slot.
SLOTS_KEPT = 0.75
CALLS_PER_SLOT = 4.0
#: Pauses that the LMS does not name, in seconds: the first, and the longest.
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 60.0


def refused(
    found: Found, sent: Sent, hints: Hints, *, spent: float, taken: int, out: int, not_before: float, now: float
) -> tuple[Found, float]:
    """Take in a refusal; return what is known now, and the time before which nobody calls.

    So far `taken` calls were accepted and `out` are in flight; `spent` calls per second (0: no rate) were made.
    """
    if hints.retry_after is not None:
        not_before = max(not_before, now + hints.retry_after)
    if hints.concurrency:
        return _fewer_at_once(found, sent, out, now), not_before
    if sent.at < found.answered_until:
        return replace(found, cycle_from=max(found.cycle_from, not_before)), not_before
    if hints.retry_after is None:
        return _unnamed(found, sent, spent=spent, taken=taken, not_before=not_before, now=now)
    found = replace(found, answered_until=now, crept_at=now)
    if hints.retry_after > LONG_WAIT:
        return replace(found, cycle_from=not_before, refused_from=not_before, accepted_before=taken), not_before
    return _measured(found, sent, spent, taken, not_before), not_before


def _unnamed(
    found: Found, sent: Sent, *, spent: float, taken: int, not_before: float, now: float
) -> tuple[Found, float]:
    """Take in a refusal that names no time: alone it eases a sure rate; else a pause of our own, then a probe."""
    if found.sure:
        again = now - found.lone_from <= 1
        found = replace(found, lone=found.lone + 1 if again else 1, lone_from=found.lone_from if again else now)
        if found.lone < JITTER:
            return _eased(found, sent, taken), not_before
    pause = found.own_pause or FIRST_PAUSE
    not_before = max(not_before, now + pause)
    found = replace(found, answered_until=now, crept_at=now, own_pause=min(LONGEST_PAUSE, 2 * pause), probing=True)
    return _measured(found, sent, spent, taken, not_before), not_before


def _eased(found: Found, sent: Sent, taken: int) -> Found:
    """Go a little slower: to what was taken in this cycle, within limits."""
    calls, seconds = taken - found.accepted_before, sent.at - found.cycle_from
    rate = calls / seconds if seconds > 0 and calls else found.rate
    least, most = EASED
    return replace(found, rate=min(most * found.rate, max(least * found.rate, rate)))


def _fewer_at_once(found: Found, sent: Sent, out: int, now: float) -> Found:
    """Take one slot away for each call of a burst that was one too many of `out`; the rate is not to blame."""
    if sent.at < found.answered_until and found.most_at_once:
        return replace(found, most_at_once=max(1, found.most_at_once - 1))
    patience = min(LONGEST_PATIENCE, 2 * found.widen_patience) if found.most_at_once else PATIENCE
    fewer = max(1, out - 1)
    return replace(found, most_at_once=fewer, widen_at=now + patience, widen_patience=patience, answered_until=now)


def _measured(found: Found, sent: Sent, spent: float, taken: int, not_before: float) -> Found:
    """Measure the rate from the cycle that this refusal ends, and begin the next."""
    calls, seconds = taken - found.accepted_before, max(0.0, sent.at - found.cycle_from)
    pause = not_before - sent.at
    if calls < 1:
        return _still_the_same_pause(found, not_before)
    if not found.bursts and pause >= fit.WINDOW_PAUSE and calls < fit.ENOUGH_CALLS and not found.cycle_seconds:
        # Somebody else may have used up most of the window before us: only the next one tells.
        return replace(
            found, cycle_from=not_before, refused_from=sent.at, accepted_before=taken, cycle_seconds=pause
        )
    cycle = replace(
        found,
        bursts=found.bursts + 1,
        refused_from=sent.at,
        cycle_from=not_before,
        cycle_seconds=seconds + found.cycle_from - found.refused_from,
        cycle_calls=calls,
        accepted_before=taken,
        lone=0,
    )
    if found.bursts:
        return _fallen(cycle, spent or found.rate, calls, seconds, max(0.0, found.cycle_from - found.refused_from))
    guess = fit.first_guess(calls, seconds, pause)
    return replace(
        cycle,
        rate=min(spent, max(guess, KNOWN_FALL * spent)) if spent else guess,
        first_calls=calls,
        first_seconds=seconds,
        slots=max(2.0, SLOTS_KEPT * sent.abreast),
        calls_per_slot=CALLS_PER_SLOT,
        cycle_seconds=pause if pause >= fit.WINDOW_PAUSE else 0.0,
    )


def _still_the_same_pause(found: Found, not_before: float) -> Found:
    """Make the pause longer that was too short; after the first burst its length tells more of the rate."""
    rate = found.rate
    if found.bursts == 1:
        rate = min(rate, fit.first_guess(found.first_calls, found.first_seconds, not_before - found.refused_from))
    return replace(found, cycle_from=not_before, probing=True, rate=rate)


def _fallen(found: Found, tried: float, calls: int, seconds: float, pause: float) -> Found:
    """Fall to the rate that explains the refusals, and hold it when it is sure."""
    kept = fit.Measured(calls=found.measured_calls, seconds=found.measured_seconds)
    best = fit.fitted(
        fit.Cycle(calls=calls, seconds=seconds, pause=pause, tried=tried, bursts=found.bursts),
        kept,
        first_calls=found.first_calls,
    )
    sure = best.sure or (found.bursts >= SURE_BURSTS and seconds >= pause / 2)
    patience = PATIENCE
    if sure:
        again = min(LONGEST_PATIENCE, 2 * found.patience) if found.sure else PATIENCE
        patience = max(again, 2 * (seconds + pause))
    return replace(
        found,
        rate=best.rate,
        ceiling=best.ceiling,
        sure=sure,
        measured_calls=best.measured.calls,
        measured_seconds=best.measured.seconds,
        patience=patience,
        probe_at=found.cycle_from + patience,
        calls_per_slot=0.0 if sure else found.calls_per_slot,
    )
