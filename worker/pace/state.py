"""What is known of the pace of one credential: small frozen values that go through JSON. Knows no arithmetic.

`Flow` is all that giving leave to a call reads and writes: a store for many processes keeps it as one small record
and changes it in one atomic step. `Found` is what was found out: it changes only when an answer comes in, by
comparing and setting the whole state. Times are unix seconds of the store's clock.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from worker.pace.rate import Rate


class Why(enum.StrEnum):
    """Why a call may go, or may not go yet."""

    GO = "go"
    #: Its turn by the rate is yet to come.
    PACE = "pace"
    #: The LMS asked for a pause, or its headers say that the quota is used up.
    PAUSE = "pause"
    #: As many calls are out as may be; an answer, not the time, lets the next one go.
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the connection's settings allow: never passed, whatever is found out."""

    max_in_flight: int
    rate: Rate | None = None

    def __post_init__(self) -> None:
        if self.max_in_flight < 1:
            raise ValueError(f"max_in_flight must be 1 or more, not {self.max_in_flight}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A call that has leave: when, as which (counted from 1), and with how many out, itself included."""

    at: float
    number: int
    abreast: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The answer to a request for leave: `sent` when the call may go now, else when to ask again."""

    why: Why
    seconds: float = 0.0
    sent: Sent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What giving leave reads and writes."""

    #: When the next call is due by the rate; as far as `slack` in the past may be made up.
    next_at: float = 0.0
    in_flight: int = 0
    sent: int = 0
    last_at: float = 0.0
    #: When calls began to be asked for again after nobody had asked for a while.
    fresh_from: float = 0.0
    #: Calls left until `left_until` by the LMS's own headers.
    left: float = 0.0
    left_until: float = 0.0
    #: From here on set by answers alone.
    not_before: float = 0.0
    #: Seconds between calls; 0 is no rate.
    interval: float = 0.0
    slack: float = 0.0
    allowed_in_flight: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the answers have taught. A *cycle* runs from the end of one pause to the next refusal."""

    #: Calls per second that are thought to hold; 0 while nothing was ever refused.
    rate: float = 0.0
    #: The rate is measured well enough to be held; otherwise it creeps up.
    sure: bool = False
    #: Rate at which the LMS last refused; 0 when there is none to mind.
    ceiling: float = 0.0
    crept_at: float = 0.0
    #: When the held rate is next tried from above, and how long to hold it after the next failure.
    probe_at: float = 0.0
    patience: float = 0.0

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
    #: Most calls that were out when the first of a burst went out, calls that were out when the last burst came
    #: back, and calls per second that surely held for a while.
    most_out: int = 0
    out: int = 0
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
    #: Refusals since `lone_from`, while the rate is held.
    lone: int = 0
    lone_from: float = 0.0
    #: When the last one that stood alone went out, and accepted calls of all time then.
    eased_at: float = 0.0
    eased_taken: int = 0

    #: Slots at the beginning of a cycle, and accepted calls for each further slot; 0: all at once.
    slots: float = 2.0
    calls_per_slot: float = 15.0
    #: Most calls at once, where the LMS said that there are too many; 0 when it did not.
    most_at_once: int = 0
    widen_at: float = 0.0
    widen_patience: float = 0.0

    #: Calls per second by the LMS's headers (0: no rate for now), the longest time to a reset, and when last seen.
    header_rate: float = 0.0
    header_level: float = 0.0
    header_window: float = 0.0
    header_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Answers so far."""

    accepted: int = 0
    refused: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceState:
    """All that is known of the pace of one credential."""

    flow: Flow = field(default_factory=Flow)
    found: Found = field(default_factory=Found)
    counts: Counts = field(default_factory=Counts)

    def to_json(self) -> dict[str, Any]:
        """Return the state as numbers and booleans in small dictionaries."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the state that `to_json` wrote."""
        return cls(flow=Flow(**data["flow"]), found=Found(**data["found"]), counts=Counts(**data["counts"]))
