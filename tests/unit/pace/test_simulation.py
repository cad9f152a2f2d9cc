"""The figures of the simulation, in virtual time with seeded dice: the same on every machine."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest

from tests.benchmarks import pace_simulation as simulation
from tests.benchmarks.pace_simulation import AtOnce, Bucket, Case, Log, NoLimit, Window
from worker.pace.rate import Rate
from worker.pace.state import Found

WHOLE, FRACTION, NONE = "whole", "fraction", "none"
UNKNOWN_LIMITS = [
    Case(label="slow bucket", limit=Bucket(5, 5), latency=0.1, retry_after=FRACTION, seconds=30),
    Case(label="bucket", limit=Bucket(20, 20), latency=0.1, retry_after=WHOLE, seconds=30),
    Case(label="large bucket", limit=Bucket(20, 100), latency=0.3, retry_after=WHOLE, seconds=30),
    Case(label="small bucket, no time named", limit=Bucket(50, 5), latency=0.02, retry_after=NONE, seconds=30),
    Case(label="small bucket, fractions", limit=Bucket(50, 5), latency=0.1, retry_after=FRACTION, seconds=30),
    Case(label="fast bucket", limit=Bucket(200, 200), latency=0.02, retry_after=WHOLE, seconds=30),
    Case(label="short run", limit=Bucket(20, 20), latency=0.05, retry_after=FRACTION, calls=400),
    Case(label="short windows", limit=Window(20, 1), latency=0.02, retry_after=FRACTION, seconds=30),
    Case(label="windows of 10 s", limit=Window(100, 10), latency=0.1, retry_after=FRACTION, seconds=45),
    Case(label="windows of a minute", limit=Window(120, 60), latency=0.1, retry_after=WHOLE, seconds=240),
    Case(label="a log of a minute", limit=Log(120, 60), latency=0.1, retry_after=WHOLE, seconds=240),
    Case(label="many a minute", limit=Window(600, 60), latency=0.1, retry_after=NONE, seconds=240),
    Case(label="windows, headers", limit=Window(20, 1), latency=0.1, headers=True, seconds=30),
    Case(label="a log, headers", limit=Log(100, 10), latency=0.1, headers=True, seconds=45),
    Case(label="minutes, headers", limit=Window(120, 60), latency=0.1, headers=True, seconds=240),
    Case(label="bucket, headers", limit=Bucket(20, 20), latency=0.05, headers=True, seconds=30, max_in_flight=16),
    Case(label="three at once", limit=AtOnce(3, 0.1), latency=0.1, seconds=30, max_in_flight=16),
    Case(label="ten at once", limit=AtOnce(10, 0.3), latency=0.3, retry_after=NONE, seconds=30, max_in_flight=16),
]


@pytest.mark.parametrize("case", UNKNOWN_LIMITS, ids=lambda case: case.label)
def test_a_limit_that_nobody_knows_is_found_out_and_used(case):
    result = simulation.run(fresh(case))

    assert result.used >= 0.85
    assert result.refusals <= 0.05
    assert result.early == 0
    assert result.most_in_flight <= case.max_in_flight


@pytest.mark.parametrize("seed", range(2, 6))
@pytest.mark.parametrize("case", UNKNOWN_LIMITS, ids=lambda case: case.label)
def test_with_other_dice_it_is_nearly_as_good_and_a_named_time_is_always_kept(case, seed):
    result = simulation.run(fresh(case, seed=seed))

    assert result.used >= 0.75
    assert result.refusals <= 0.08
    assert result.early == 0


@pytest.mark.parametrize(("latency", "loss"), [(0.005, 0.15), (0.05, 0.15)])
def test_without_a_limit_the_pace_hardly_hinders(latency, loss):
    result = simulation.run(Case(label="", limit=NoLimit(), latency=latency, calls=1000))

    assert result.used >= 1 - loss


def test_a_known_rate_is_used_to_98_percent_without_a_refusal():
    known = Rate(calls=20, per_seconds=1)
    result = simulation.run(
        Case(label="", limit=Window(20, 1), latency=0.1, jitter=0.02, rate=known, seconds=60, max_in_flight=8)
    )

    assert result.refused == 0
    assert result.accepted >= 0.98 * 20 * 60


def test_what_is_remembered_spares_the_second_run_the_search():
    remembered = Found(rate=19.5, ceiling=19.5, sure=True, calls_per_slot=0.0, probe_at=simulation.START + 20)
    limit = Bucket(20, 5)
    result = simulation.run(Case(label="", limit=limit, latency=0.1, calls=300, found=remembered))

    assert result.refused == 0
    assert result.used >= 0.93


def fresh(case, *, seed=1):
    """Return the case with its limit unused, since limits remember."""
    return replace(case, limit=deepcopy(case.limit), seed=seed)
