"""Grow while nothing is refused: few calls at once at first, then more; a rate that ramps up until it is sure.

Handles answers that are no refusals; refusals are in refusals.py, too many calls at once in concurrency.py.
Numbers without a source were chosen with tests/benchmarks/pace_simulation.py.
"""

from __future__ import annotations

import math
from typing import Any

from msgspec.structs import replace

from worker.pace.estimator import fit, windows
from worker.pace.state import Estimate, Grant

#: Growth of a rate that is not sure, in e-folds per second, by the number of bursts of refusals so far.
RAMP_PER_SECOND = (0.25, 0.25, 0.14, 0.08)
#: The same while the rate was measured on a handful of calls, and in slow windows, there per window.
RAMP_FEW_CALLS = 0.8
FEW_CALLS = 5
#: After this many bursts the rate is as sure as it gets.
SURE_BURSTS = 2
RAMP_PER_WINDOW = 0.1
#: Growth of a sure rate below this share of the refused rate: per second, divided by the pause (seconds) that the
#: next refusal would cost, and less where there are few calls a second.
BELOW_CEILING = 0.92
APPROACH = 0.022
MANY_PER_SECOND = 20.0
#: Where a refusal is costly: the same share, since the level was calculated; growth of a sure rate; seconds in
#: which the search would reach what was refused, by the number of bursts; its growth at least, and more of it with
#: every second without a refusal.
COSTLY_BELOW = 0.98
COSTLY_APPROACH = 0.003
SEARCH_SECONDS = (3.0, 3.0, 6.0)
SLOWEST_SEARCH = 0.04
SEARCH_FASTER = 0.01
#: How far above the ceiling a rate that is tried from above must get for the ceiling to be gone.
CEILING_GONE = 1.06
#: Seconds a sure rate is held before it is tried from above; twice as long after each failure, up to the longest,
#: which is longer than simulated runs.
HOLD_SECONDS = 20.0
LONGEST_HOLD_SECONDS = 300.0
#: Growth of the slots by time: this share more of them per second of a cycle.
SLOTS_PER_SECOND = 0.4
#: With this many accepted calls, one slot more; with twice as many, four: no limit shows soon enough to be bold.
BOLD_AFTER_CALLS = 60.0
#: A connection that allows more calls at once than this starts bolder, by the ratio.
BASE_CONCURRENCY = 10.0
#: Length of a pause that the LMS does not name: this many calls of the rate, within these seconds.
PAUSE_CALLS = 3.6
SHORTEST_PAUSE = 0.1
LONGEST_FIRST_PAUSE = 0.5


def cycle_reset(found: Estimate, fresh_from: float, taken: int) -> Estimate:
    """Start a new cycle when no calls were asked for before `fresh_from`."""
    if fresh_from <= found.cycle_from:
        return found
    return replace(found, cycle_from=fresh_from, refused_from=fresh_from, accepted_before=taken)


def allowed_in_flight(found: Estimate, most: int, taken: int, now: float) -> int:
    """Return how many calls may be out at once: more with every one of the `taken`, up to `most`."""
    if found.max_concurrency:
        most = min(most, found.max_concurrency)
    if found.probing:
        return 1
    if found.calls_per_slot:
        seconds, calls = max(0.0, now - found.cycle_from), taken - found.accepted_before
        boldness = 1.0 if found.bursts else max(1.0, most / BASE_CONCURRENCY)
        slots = found.slots + calls / found.calls_per_slot + (calls / BOLD_AFTER_CALLS) ** 2
        most = min(most, int(boldness * slots * (1 + SLOTS_PER_SECOND * seconds)))
    return max(1, most)


def accepted(found: Estimate, sent: Grant, *, busy: bool, now: float) -> Estimate:
    """Learn from an answer that was no refusal; `busy` when the rate, and nothing else, holds the calls back."""
    changes: dict[str, Any] = {}
    if found.probing and sent.at >= found.cycle_from:
        wait = PAUSE_CALLS / found.rate if found.rate else 0.0
        changes |= {
            "probing": False,
            "window": windows.window(found, sent),
            "own_pause": min(LONGEST_FIRST_PAUSE, max(SHORTEST_PAUSE, wait)),
        }
    if found.max_concurrency and now >= found.widen_at and sent.concurrency >= found.max_concurrency:
        changes |= {"max_concurrency": found.max_concurrency + 1, "widen_at": now + found.widen_hold_seconds}
    if found.bursts and sent.at < found.cycle_from:
        changes["late_calls"] = found.late_calls + 1
    if found.rate:
        changes["ramped_at"] = now
        if busy and sent.at >= found.cycle_from:
            changes |= _ramped_up(found, now)
    return replace(found, **changes) if changes else found


def _ramped_up(found: Estimate, now: float) -> dict[str, Any]:
    """Return the rate a little higher, unless it is to be held."""
    below = found.rate < (COSTLY_BELOW if fit.is_costly(found) else BELOW_CEILING) * found.ceiling
    if found.sure and now < found.probe_at and not below:
        return {}
    growth = COSTLY_APPROACH if fit.is_costly(found) else APPROACH
    if not found.sure:
        growth = _ramp(found, now)
    elif below:
        growth = min(_approach(found), _ramp(found, now))
    rate = found.rate * math.exp(growth * min(1.0, max(0.0, now - found.ramped_at)))
    if found.sure and rate > CEILING_GONE * found.ceiling:
        return {"rate": rate, "sure": False, "ceiling": 0.0, "hold_seconds": HOLD_SECONDS, "probe_at": now}
    return {"rate": rate}


def _approach(found: Estimate) -> float:
    """Return the growth of a sure rate that is below what was refused: slow where a refusal is costly."""
    if fit.is_costly(found):
        return COSTLY_APPROACH
    pause = max(SHORTEST_PAUSE, found.cycle_from - found.refused_from)
    return APPROACH / pause * min(1.0, found.rate / MANY_PER_SECOND)


def _ramp(found: Estimate, now: float) -> float:
    """Return the growth of a rate that is not sure: less after each burst, and less for a slow window."""
    if found.cycle_seconds >= fit.WINDOW_PAUSE:
        return RAMP_PER_WINDOW / found.cycle_seconds
    if fit.is_costly(found) and found.bursts:
        return _search(found, now)
    if found.cycle_calls < FEW_CALLS and found.bursts <= SURE_BURSTS:
        return RAMP_FEW_CALLS
    return RAMP_PER_SECOND[min(found.bursts, len(RAMP_PER_SECOND) - 1)]


def _search(found: Estimate, now: float) -> float:
    """Return the growth that would reach the refused rate in `SEARCH_SECONDS`; more when no refusal comes."""
    seconds = SEARCH_SECONDS[min(found.bursts, len(SEARCH_SECONDS) - 1)]
    begun = found.probe_at if found.cycle_from < found.probe_at <= now else found.cycle_from
    least = SLOWEST_SEARCH + SEARCH_FASTER * (now - begun)
    return max(least, math.log(max(1.0, found.ceiling / found.rate)) / seconds)
