"""How long to pause when the LMS names no time, and what the pauses tell of its windows. Knows times alone."""

from __future__ import annotations

from worker.pace.estimator.fit import WINDOW_PAUSE
from worker.pace.state import Estimate, Grant

#: Pauses that the LMS does not name, in seconds: the first, and the longest (a limit of safety).
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 60.0
#: Lengths that windows have, in seconds: people choose round numbers.
ROUND = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)
#: A window is over this much later than by its length: seconds for the way of a call, and a share of the length.
LATE_SECONDS = 0.1
LATE_SHARE = 0.01
#: A probe is moved to the end of a round window when that changes its pause by no more than these factors.
MOVED = (0.6, 1.7)


def until(found: Estimate, now: float) -> float:
    """Return until when to pause after a refusal that named no time."""
    pause = found.own_pause or FIRST_PAUSE
    if not found.probing:
        return now + pause
    # A bucket would have taken the first probe: it is a window, and how long one lasts may be known.
    end = found.window_from + _over(found.window)
    if found.window and now < end <= now + LONGEST_PAUSE:
        return end
    ends = (found.window_from + _over(length) for length in ROUND)
    least, most = MOVED
    return min(
        (end for end in ends if least * pause <= end - now <= most * pause),
        key=lambda end: abs(end - now - pause),
        default=now + pause,
    )


def window(found: Estimate, sent: Grant) -> float:
    """Return how long a window lasts, now that a probe was accepted; as before when the pause was a short one."""
    pause = sent.at - found.refused_from
    if pause < WINDOW_PAUSE:
        return found.window
    lasted = sent.at - found.window_from
    return min(
        (length for length in ROUND if 0 <= lasted - length <= 2 * (_over(length) - length)),
        default=min(lasted, found.window or lasted),
    )


def _over(length: float) -> float:
    """Return after how many seconds a window of this length is surely over."""
    return length * (1 + LATE_SHARE) + LATE_SECONDS
