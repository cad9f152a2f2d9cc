"""What is known of the pace of one credential: small frozen values that go through JSON. Knows no arithmetic.

`LimiterState` is all that granting a call reads and writes: a store for many processes keeps it as one small record
and changes it in one atomic step. `Estimate` is what was measured: it changes only when an answer comes in, by
compare and set of the whole state. Times are unix seconds of the store's clock. Each answer replaces several of
these values, and a `msgspec.Struct` is copied ten times as quickly as a dataclass.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import msgspec

from worker.pace.rate import Rate


class Reason(enum.StrEnum):
    """Why a call may go, or may not go yet."""

    GO = "go"
    #: The rate does not allow it yet.
    PACE = "pace"
    #: The LMS asked for a pause.
    PAUSE = "pause"
    #: By what the LMS states the quota is used up.
    QUOTA = "quota"
    #: All slots are in use; an answer, not the time, lets the next one go.
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the connection's settings allow; never exceeded, whatever is measured."""

    max_in_flight: int
    rate: Rate | None = None

    def __post_init__(self) -> None:
        if self.max_in_flight < 1:
            raise ValueError(f"max_in_flight must be 1 or more, not {self.max_in_flight}.")


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A call that may go: when, its number (from 1), and how many calls are in flight, itself included."""

    at: float
    number: int
    concurrency: int


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request for a permit: `sent` when the call may go now, else when to ask again."""

    reason: Reason
    seconds: float = 0.0
    grant: Grant | None = None


class QuotaKind(enum.StrEnum):
    """How a quota counts calls, as far as the answers have shown."""

    #: A window, fixed or sliding; the next one tells.
    UNKNOWN = "unknown"
    #: Windows one after the other: at a reset all earlier calls are forgotten.
    FIXED = "fixed"
    #: The calls of the last `seconds`.
    SLIDING = "sliding"
    #: A bucket that fills at a rate.
    BUCKET = "bucket"


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that the LMS states in its headers. Times are unix seconds of the store's clock."""

    #: As the headers state it; it names the quota among several. 0 when they state only what is left.
    limit: float
    #: How many calls it allows in how many seconds, as far as the answers have shown.
    calls: float
    seconds: float = 0.0
    kind: QuotaKind = QuotaKind.UNKNOWN
    #: When an answer last stated it; 0 while it is only remembered from an earlier run.
    stated_at: float = 0.0

    #: Calls sent up to here no longer count. The next reset, at the latest, and the one that was stated first.
    since: float = 0.0
    until: float = 0.0
    #: By how many seconds the reset may be earlier: it is stated in whole seconds, of a clock that is not ours.
    rounding: float = 1.0
    first_until: float = 0.0
    #: Whether the first call after the reset goes alone: a reset that our own calls tell is not certain.
    alone: bool = True
    #: Calls that others have taken; and how many more they may take before the next answer, which stay unused.
    others: float = 0.0
    reserve: float = 0.0
    #: In a window: seconds for which a call counts longer, since answers jitter, and their share of the jitter.
    #: In a bucket: calls that stay in it.
    margin: float = 0.0
    margin_share: float = 0.5

    #: Calls left when the call with the number `number` was answered, at `left_at`.
    left: float = 0.0
    left_at: float = 0.0
    number: int = 0
    #: Calls a second that flow into a bucket; whether that is certain, as with a weighted counter.
    refill: float = 0.0
    is_even: bool = False
    #: Calls that are neither ours nor left, as far as the order in which ours arrive does not explain them; and
    #: where a slow fall of them began. Of a bucket: what is left and all calls before; it rises with what flows in.
    gap: float = 0.0
    gap_before: float = 0.0
    gap_at: float = 0.0

    #: By how many calls the load that is counted missed what the answers said, and those of weighted counters.
    misses: tuple[float, ...] = ()

    #: Bursts of refusals in a row; those that our calls do not explain; how often it was no bucket after all.
    refused: int = 0
    unexplained: int = 0
    no_bucket: int = 0
    #: When a little more than it is known to allow was last tried, where only refusals state it.
    tried_at: float = 0.0
    #: When the last refused call was sent, and up to when refusals belong to the same burst.
    full_at: float = 0.0
    burst_until: float = 0.0


class LimiterState(msgspec.Struct, frozen=True, kw_only=True):
    """What granting a call reads and writes."""

    #: When the next call is due by the rate; as far as `slack` in the past may be made up.
    next_at: float = 0.0
    in_flight: int = 0
    sent: int = 0
    last_at: float = 0.0
    #: When calls were first asked for after an idle time.
    fresh_from: float = 0.0
    #: When the last calls were sent that were not refused, oldest first.
    history: tuple[float, ...] = ()
    #: From here on set by answers alone.
    not_before: float = 0.0
    #: Seconds between calls; 0 is no rate.
    interval: float = 0.0
    slack: float = 0.0
    allowed_in_flight: int = 1
    #: The limits that the LMS states.
    quotas: tuple[Quota, ...] = ()


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What the answers have taught. A *cycle* runs from the end of one pause to the next refusal."""

    #: Calls per second that are believed to hold; 0 while nothing was ever refused.
    rate: float = 0.0
    #: The rate is measured well enough to be held; otherwise it ramps up.
    sure: bool = False
    #: Rate at which the LMS last refused; 0 when there is none to mind.
    ceiling: float = 0.0
    ramped_at: float = 0.0
    #: When the held rate is next tried from above, and how long to hold it after the next failure.
    probe_at: float = 0.0
    hold_seconds: float = 0.0

    #: When the first call of the last burst of refusals went out, and when the cycle began after it.
    refused_from: float = 0.0
    cycle_from: float = 0.0
    #: Accepted calls of all time when the cycle began: what came since is the cycle's.
    accepted_before: int = 0
    #: Rate at the beginning of the cycle, and how long the last one took with its pause.
    cycle_calls: float = 0.0
    cycle_seconds: float = 0.0
    #: Accepted calls since the last burst that had been sent before the cycle began.
    late_calls: int = 0
    #: Most calls in flight when the first of a burst was sent, calls in flight when the last burst came back, and
    #: calls per second that held for a while.
    most_in_flight: int = 0
    in_flight_at_burst: int = 0
    proven: float = 0.0
    #: Refusals of calls sent before this time belong to a burst that was answered already.
    answered_until: float = 0.0
    #: How often the LMS began to refuse.
    bursts: int = 0
    #: Calls that the LMS took before it first refused, and in which time: they bound the size of its bucket.
    first_calls: float = 0.0
    first_seconds: float = 0.0
    #: Calls and seconds of the cycles that were measured from an empty bucket to an empty bucket, older ones faded.
    measured_calls: float = 0.0
    measured_seconds: float = 0.0

    #: Length of the next pause that the LMS does not name; after it one call goes ahead alone.
    own_pause: float = 0.0
    probing: bool = False
    #: When the window of the last burst began; how long windows last where nobody names a time (0: none seen).
    window_from: float = 0.0
    window: float = 0.0
    #: The end of the last pause was named in whole seconds: up to one too late.
    rounded: bool = False
    #: Refusals since `single_refusals_from`, while the rate is held.
    single_refusals: int = 0
    single_refusals_from: float = 0.0
    #: When the last one that stood alone went out, and accepted calls of all time then.
    backed_off_at: float = 0.0
    backed_off_accepted: int = 0

    #: Slots at the beginning of a cycle, and accepted calls for each further slot; 0: all at once.
    slots: float = 2.0
    calls_per_slot: float = 15.0
    #: Most calls at once, where the LMS said that there are too many; 0 when it did not.
    max_concurrency: int = 0
    widen_at: float = 0.0
    widen_hold_seconds: float = 0.0

    #: The server's clock less ours, in seconds, at least and at most; the same until an answer carries a Date.
    clock_low: float = 0.0
    clock_high: float = 0.0
    #: Shortest and longest time from a call to its answer, in seconds; older ones faded.
    shortest_trip: float = 0.0
    longest_trip: float = 0.0


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Answers so far."""

    accepted: int = 0
    refused: int = 0
    lost: int = 0


class PaceState(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of the pace of one credential."""

    limiter: LimiterState = msgspec.field(default_factory=LimiterState)
    estimate: Estimate = msgspec.field(default_factory=Estimate)
    counts: Counts = msgspec.field(default_factory=Counts)
