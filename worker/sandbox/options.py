"""What holds for every pretend LMS: how long answers take, quotas, faults. Each LMS has options of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.sandbox.faults import Rule
from worker.sandbox.quota import Quota


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the sandbox; frozen, so that a reset finds the same state again."""

    #: How long every answer takes, in seconds; the work is done half way.
    latency: float = 0.0
    #: The patience (seconds) of a gateway before the LMS: then it answers 504, and the work goes on. 0: none.
    gateway: float = 0.0
    #: What is newly written appears in look-ups and lists only after this time (seconds).
    lag: float = 0.0
    quotas: tuple[Quota, ...] = ()
    rules: tuple[Rule, ...] = ()
    #: Of the dice that `p=` rules throw.
    seed: int = 1
    #: Calls kept in the journal.
    journal_length: int = 10_000
    #: The options of each pretend LMS by its name; one that is not named has its defaults.
    systems: Mapping[str, Any] = field(default_factory=dict)
