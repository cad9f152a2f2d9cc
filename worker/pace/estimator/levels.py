"""Which rate to go on with after a burst of refusals, and whether to hold it. Knows the cycle that it ended."""

from __future__ import annotations

from msgspec.structs import replace

from worker.pace.estimator import drain, fit
from worker.pace.estimator.growth import HOLD_SECONDS, LONGEST_HOLD_SECONDS, SURE_BURSTS
from worker.pace.state import Estimate, Grant

#: Share of a configured rate that is kept when the LMS refuses for the first time.
KNOWN_RATE_KEPT = 0.85
#: Slots that are kept after the first burst (a share), and accepted calls for each further slot.
SLOTS_KEPT = 0.75
CALLS_PER_SLOT = 4.0
#: Share of the level that a costly refusal shows which is used next: another refusal would cost about 4 % of half a
#: minute. One of a long cycle is held for COSTLY_HOLD_SECONDS.
BELOW_LEVEL = 0.955
COSTLY_HOLD_SECONDS = 60.0
#: Share of the rate that is kept when too few calls came before a refusal to measure anything: answers jitter.
FEW_KEEP = 0.93
#: Refused within SUDDEN seconds of a cycle, at less than 1/NO_RATE of a rate that held for PROVING seconds: that
#: was too many calls at once. The share FEWER of them is kept; with FEWEST_OUT or fewer in flight it was the rate
#: after all. Only limits of calls in flight that do not say so need these five.
SUDDEN = 0.3
NO_RATE = 2.0
PROVING = 1.0
FEWER = 0.75
FEWEST_OUT = 2


def next_level(found: Estimate, cycle: fit.Cycle, *, costly: bool, ago: float) -> Estimate:
    """Return what to go on with after a cycle; the call that ended it was sent `ago` seconds before."""
    lasted = max(fit.SHORTEST, cycle.seconds + cycle.pause)
    found = replace(found, cycle_seconds=lasted)
    if (
        found.in_flight_at_burst > FEWEST_OUT
        and cycle.seconds < SUDDEN
        and found.proven > NO_RATE * cycle.calls / lasted
    ):
        return _concurrency_lowered(found)
    if cycle.seconds >= PROVING:
        found = replace(found, proven=max(found.proven, (cycle.calls - found.first_calls) / cycle.seconds))
    if not costly:
        return _reduced(found, cycle)
    tried = drain.tried_at(cycle.tried, cycle.calls - cycle.late, cycle.seconds, ago)
    return _drained(found, replace(cycle, tried=tried))


def _concurrency_lowered(found: Estimate) -> Estimate:
    """Lower the calls at once: far more a second were accepted before, so that the rate is not to blame."""
    few = max(1, int(FEWER * found.most_in_flight))
    return replace(
        found,
        max_concurrency=few,
        most_in_flight=few,
        widen_at=found.cycle_from + COSTLY_HOLD_SECONDS,
        widen_hold_seconds=COSTLY_HOLD_SECONDS,
        proven=found.proven if few >= FEWEST_OUT else 0.0,
    )


def _drained(found: Estimate, cycle: fit.Cycle) -> Estimate:
    """Reduce to the rate at which the bucket was just empty, and stay a little below it: a refusal is costly."""
    if max(cycle.calls - cycle.late, cycle.seconds * cycle.tried) < drain.FEWEST_SURE:
        return replace(found, rate=FEW_KEEP * found.rate)
    level = drain.believed(cycle, first_calls=found.first_calls, first_seconds=found.first_seconds)
    enough = cycle.calls - cycle.late >= drain.FEWEST_SURE
    known = cycle.calls - cycle.late >= fit.ENOUGH_CALLS
    patience = min(LONGEST_HOLD_SECONDS, max(COSTLY_HOLD_SECONDS, 2 * found.hold_seconds)) if known else 0.0
    return replace(
        found,
        rate=BELOW_LEVEL * min(level, cycle.tried),
        ceiling=level,
        sure=enough,
        hold_seconds=patience,
        probe_at=found.cycle_from + patience,
        calls_per_slot=0.0 if enough else found.calls_per_slot,
    )


def _reduced(found: Estimate, cycle: fit.Cycle) -> Estimate:
    """Reduce to the rate that explains the refusals, and hold it when it is sure."""
    kept = fit.Measured(calls=found.measured_calls, seconds=found.measured_seconds)
    best = _not_too_low(found, cycle, fit.fitted(cycle, kept, first_calls=found.first_calls))
    sure = best.sure or (found.bursts >= SURE_BURSTS and cycle.seconds >= cycle.pause / 2)
    patience = HOLD_SECONDS
    if sure:
        again = min(LONGEST_HOLD_SECONDS, 2 * found.hold_seconds) if found.sure else HOLD_SECONDS
        patience = max(again, 2 * (cycle.seconds + cycle.pause))
    return replace(
        found,
        rate=best.rate,
        ceiling=best.ceiling,
        sure=sure,
        measured_calls=best.measured.calls,
        measured_seconds=best.measured.seconds,
        hold_seconds=patience,
        probe_at=found.cycle_from + patience,
        calls_per_slot=0.0 if sure else found.calls_per_slot,
    )


def _not_too_low(found: Estimate, cycle: fit.Cycle, best: fit.Fit) -> fit.Fit:
    """Raise a mean to what the end of a cycle tells: a small bucket overflowed while the rate was low."""
    if not best.exact or cycle.calls - cycle.late < fit.FEWEST_CALLS:
        return best
    level = drain.drained(cycle, first_calls=found.first_calls, first_seconds=found.first_seconds)
    rate = max(best.rate, min(level, fit.BELOW_TRIED * cycle.tried))
    return replace(best, rate=rate, ceiling=max(best.ceiling, level))


def first(found: Estimate, sent: Grant, calls: int, *, spent: float, not_before: float, now: float) -> Estimate:
    """Guess the rate from the first burst; it is at most about twice what the calls in flight came to."""
    seconds, pause = max(0.0, sent.at - found.cycle_from), not_before - sent.at
    started = next_cycle(found, sent, calls, not_before)
    window = pause >= fit.WINDOW_PAUSE
    if window and calls < fit.ENOUGH_CALLS and not found.cycle_seconds:
        # Somebody else may have used up most of the window before us: only the next one tells.
        return replace(started, bursts=0, cycle_calls=found.cycle_calls, cycle_seconds=pause)
    guess = fit.first_guess(calls, seconds, pause, costly=fit.is_costly(started))
    most = max(calls / max(fit.SHORTEST, seconds), 2 * sent.concurrency / max(fit.SHORTEST, now - sent.at))
    return replace(
        started,
        rate=min(spent, max(guess, KNOWN_RATE_KEPT * spent)) if spent else guess,
        ceiling=found.ceiling if found.sure else most,
        first_calls=calls,
        first_seconds=seconds,
        slots=max(2.0, SLOTS_KEPT * sent.concurrency),
        calls_per_slot=CALLS_PER_SLOT,
        cycle_seconds=pause if window else 0.0,
    )


def next_cycle(found: Estimate, sent: Grant, calls: int, not_before: float) -> Estimate:
    """Return what is known when the next cycle begins after one of `calls` accepted calls."""
    return replace(
        found,
        bursts=found.bursts + 1,
        refused_from=sent.at,
        cycle_from=not_before,
        window_from=found.cycle_from,
        cycle_calls=calls,
        accepted_before=found.accepted_before + calls,
        late_calls=0,
        most_in_flight=max(sent.concurrency, found.most_in_flight),
        single_refusals=0,
    )
