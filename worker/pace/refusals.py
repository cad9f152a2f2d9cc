"""Learn from refusals: when nobody calls, which rate holds, how many calls at once. Changes no clock, asks nobody.

Calls that were out when the first refusal came back are refused too: one burst is one signal. A *cycle* ends with
a burst and began after a pause; fit.py says what its length and its accepted calls tell of the rate.
"""

from __future__ import annotations

from dataclasses import replace

from worker.pace import fit, quotas
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
#: Share of the level that a dear refusal shows with which to go on: the next one would cost about 4 % of half a
#: minute. Levels that differ by less than this share are the same one, which is then held for so many seconds.
BELOW_LEVEL = 0.945
SAME_LEVEL = 0.1
DEAR_PATIENCE = 60.0
#: A level above this share of what was tried may be a quota's after a short cycle; the next cycle tells.
NOT_SURE_ABOVE = 0.7
#: Share of the rate kept when a dear refusal came too soon to tell more than that answers jitter.
JITTER_KEEPS = 0.88
#: Shares of the first guess, and of the most that it can be, kept when every call that was out was refused.
GUESS_KEEPS = 0.55
CEILING_KEEPS = 0.13
#: Refused within so many seconds of a cycle, at less than one in so many of a rate that held for so many seconds:
#: that was too many calls at once. This share of them goes on; at fewer than so many it was the rate after all.
SUDDEN = 0.3
NO_RATE = 2.0
PROVING = 1.0
FEWER = 0.75
FEWEST_OUT = 2


def refused(
    found: Found, sent: Sent, hints: Hints, *, spent: float, taken: int, out: int, not_before: float, now: float
) -> tuple[Found, float]:
    """Take in a refusal; return what is known now, and the time before which nobody calls.

    So far `taken` calls were accepted and `out` are in flight; `spent` calls per second (0: no rate) were made.
    """
    if hints.retry_after is not None:
        not_before = max(not_before, now + hints.retry_after)
    if hints.concurrency:
        return quotas.fewer_at_once(found, sent, out, now), not_before
    if sent.at < found.answered_until:
        return _one_more(found, sent, not_before), not_before
    if hints.retry_after is None:
        return _unnamed(found, sent, spent=spent, taken=taken, not_before=not_before, now=now)
    found = replace(found, answered_until=now, crept_at=now)
    if hints.retry_after > LONG_WAIT:
        return replace(found, cycle_from=not_before, refused_from=not_before, accepted_before=taken), not_before
    return _measured(found, sent, spent=spent, taken=taken, not_before=not_before, now=now), not_before


def _one_more(found: Found, sent: Sent, not_before: float) -> Found:
    """Take in one more refusal of a burst: the more of the first one, the farther the rate was above the limit."""
    cycle_from = max(found.cycle_from, not_before)
    if found.bursts != 1 or not fit.is_dear(cycle_from - found.refused_from):
        return replace(found, cycle_from=cycle_from)
    rate, ceiling = (keeps ** (1 / sent.abreast) for keeps in (GUESS_KEEPS, CEILING_KEEPS))
    return replace(found, cycle_from=cycle_from, rate=rate * found.rate, ceiling=ceiling * found.ceiling)


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
    return _measured(found, sent, spent=spent, taken=taken, not_before=not_before, now=now), not_before


def _eased(found: Found, sent: Sent, taken: int) -> Found:
    """Go a little slower: to what was taken in this cycle, within limits."""
    calls, seconds = taken - found.accepted_before, sent.at - found.cycle_from
    rate = calls / seconds if seconds > 0 and calls else found.rate
    least, most = EASED
    rate = min(most * found.rate, max(least * found.rate, rate))
    return replace(found, rate=rate, ceiling=found.rate, probe_at=sent.at + found.patience)


def _measured(found: Found, sent: Sent, *, spent: float, taken: int, not_before: float, now: float) -> Found:
    """Measure the rate from the cycle that this refusal ends, and begin the next."""
    calls, seconds = taken - found.accepted_before, max(0.0, sent.at - found.cycle_from)
    if calls < 1:
        return _still_the_same_pause(found, not_before)
    if not found.bursts:
        return _first(found, sent, calls, spent=spent, not_before=not_before, now=now)
    pause = max(0.0, found.cycle_from - found.refused_from)
    ended = fit.Cycle(
        calls=calls,
        seconds=seconds,
        pause=pause,
        tried=spent or found.rate,
        bursts=found.bursts + 1,
        late=found.late_calls,
    )
    begun = replace(_begun(found, sent, calls, not_before), cycle_seconds=seconds + pause)
    if seconds < SUDDEN and found.proven > NO_RATE * calls / (seconds + pause):
        return _must_be_fewer(begun)
    if seconds >= PROVING:
        begun = replace(begun, proven=max(found.proven, (calls - found.first_calls) / seconds))
    if found.header_level or not fit.is_dear(pause):
        return _fallen(begun, ended)
    tried = fit.tried_at(ended.tried, calls - ended.late, seconds, now - sent.at)
    return _drained(begun, replace(ended, tried=tried))


def _begun(found: Found, sent: Sent, calls: int, not_before: float) -> Found:
    """Return what is known when the next cycle begins after one of so many accepted calls."""
    return replace(
        found,
        bursts=found.bursts + 1,
        refused_from=sent.at,
        cycle_from=not_before,
        cycle_calls=calls,
        accepted_before=found.accepted_before + calls,
        late_calls=0,
        most_out=max(sent.abreast, found.most_out),
        lone=0,
    )


def _first(found: Found, sent: Sent, calls: int, *, spent: float, not_before: float, now: float) -> Found:
    """Guess the rate from the first burst; it is at most about twice what the calls in flight came to."""
    seconds, pause = max(0.0, sent.at - found.cycle_from), not_before - sent.at
    begun = _begun(found, sent, calls, not_before)
    window = pause >= fit.WINDOW_PAUSE
    if window and calls < fit.ENOUGH_CALLS and not found.cycle_seconds:
        # Somebody else may have used up most of the window before us: only the next one tells.
        return replace(begun, bursts=0, cycle_calls=found.cycle_calls, cycle_seconds=pause)
    guess = fit.first_guess(calls, seconds, pause)
    most = max(calls / max(fit.SHORTEST, seconds), 2 * sent.abreast / max(fit.SHORTEST, now - sent.at))
    return replace(
        begun,
        rate=min(spent, max(guess, KNOWN_FALL * spent)) if spent else guess,
        ceiling=found.ceiling if found.sure else most,
        first_calls=calls,
        first_seconds=seconds,
        slots=max(2.0, SLOTS_KEPT * sent.abreast),
        calls_per_slot=CALLS_PER_SLOT,
        cycle_seconds=pause if window else 0.0,
    )


def _still_the_same_pause(found: Found, not_before: float) -> Found:
    """Make the pause longer that was too short; after the first burst its length tells more of the rate."""
    rate = found.rate
    if found.bursts == 1:
        rate = min(rate, fit.first_guess(found.first_calls, found.first_seconds, not_before - found.refused_from))
    return replace(found, cycle_from=not_before, probing=True, rate=rate)


def _must_be_fewer(found: Found) -> Found:
    """Lower the calls at once: far more a second were accepted before, so that the rate is not to blame."""
    few = max(1, int(FEWER * found.most_out))
    return replace(
        found,
        most_at_once=few,
        most_out=few,
        widen_at=found.cycle_from + DEAR_PATIENCE,
        widen_patience=DEAR_PATIENCE,
        proven=found.proven if few >= FEWEST_OUT else 0.0,
    )


def _drained(found: Found, cycle: fit.Cycle) -> Found:
    """Fall to the rate at which the bucket was just empty, and stay a little below it: the next refusal is dear."""
    if max(cycle.calls - cycle.late, cycle.seconds * cycle.tried) < fit.FEWEST_SURE:
        return replace(found, rate=JITTER_KEEPS * found.rate)
    level = fit.believed(cycle, first_calls=found.first_calls, first_seconds=found.first_seconds)
    enough = cycle.calls - cycle.late >= fit.FEWEST_SURE
    quota = found.first_calls >= fit.QUOTA_SHARE * level > fit.QUOTA_SHARE * NOT_SURE_ABOVE * cycle.tried
    sure = enough and not (quota and cycle.bursts <= SURE_BURSTS and cycle.seconds < fit.LONG_ENOUGH)
    again = found.sure and abs(level - found.ceiling) < SAME_LEVEL * found.ceiling
    patience = min(LONGEST_PATIENCE, max(DEAR_PATIENCE, 2 * found.patience)) if again else 0.0
    return replace(
        found,
        rate=BELOW_LEVEL * min(level, cycle.tried),
        ceiling=level if sure or not enough else cycle.tried,
        sure=sure,
        patience=patience,
        probe_at=found.cycle_from + patience,
        calls_per_slot=0.0 if enough else found.calls_per_slot,
    )


def _fallen(found: Found, cycle: fit.Cycle) -> Found:
    """Fall to the rate that explains the refusals, and hold it when it is sure."""
    kept = fit.Measured(calls=found.measured_calls, seconds=found.measured_seconds)
    best = fit.fitted(cycle, kept, first_calls=found.first_calls)
    sure = best.sure or (found.bursts >= SURE_BURSTS and cycle.seconds >= cycle.pause / 2)
    patience = PATIENCE
    if sure:
        again = min(LONGEST_PATIENCE, 2 * found.patience) if found.sure else PATIENCE
        patience = max(again, 2 * (cycle.seconds + cycle.pause))
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
