"""The figures of the simulation, in virtual time with seeded dice: the same on every machine."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest

from tests.benchmarks import pace_simulation as simulation
from tests.benchmarks.pace_simulation import AtOnce, Both, Bucket, Case, Log, NoLimit, Shared, Weighted, Window
from worker.pace.rate import Rate
from worker.pace.state import Estimate

WHOLE, FRACTION, NONE = "whole", "fraction", "none"
UNKNOWN_LIMITS = [
    Case(label="slow bucket", limit=Bucket(5, 5), latency=0.1, retry_after=FRACTION, seconds=30),
    Case(label="bucket", limit=Bucket(20, 20), latency=0.1, retry_after=WHOLE, seconds=30),
    Case(label="large bucket", limit=Bucket(20, 100), latency=0.3, retry_after=WHOLE, seconds=30),
    Case(label="small bucket, no time named", limit=Bucket(50, 5), latency=0.02, retry_after=NONE, seconds=30),
    Case(label="small bucket, fractions", limit=Bucket(50, 5), latency=0.1, retry_after=FRACTION, seconds=30),
    Case(label="small bucket, slow answers", limit=Bucket(20, 2), latency=0.3, retry_after=FRACTION, seconds=30),
    Case(label="small bucket, short run", limit=Bucket(20, 2), latency=0.05, retry_after=NONE, calls=400),
    Case(label="fast bucket", limit=Bucket(200, 200), latency=0.02, retry_after=WHOLE, seconds=30),
    Case(label="short run", limit=Bucket(20, 20), latency=0.05, retry_after=FRACTION, calls=400),
    Case(label="short windows", limit=Window(20, 1), latency=0.02, retry_after=FRACTION, seconds=30),
    Case(label="windows of 10 s", limit=Window(100, 10), latency=0.1, retry_after=FRACTION, seconds=45),
    Case(label="windows of a minute", limit=Window(120, 60), latency=0.1, retry_after=WHOLE, seconds=240),
    Case(label="a log of a minute", limit=Log(120, 60), latency=0.1, retry_after=WHOLE, seconds=240),
    Case(label="many a minute", limit=Window(600, 60), latency=0.1, retry_after=NONE, seconds=240),
    Case(label="a log, no time named", limit=Log(100, 10), latency=0.02, retry_after=NONE, seconds=45),
    Case(label="windows, no time named", limit=Window(100, 10), latency=0.3, retry_after=NONE, seconds=45),
    Case(label="minutes, no time named", limit=Window(120, 60), latency=0.1, retry_after=NONE, seconds=240),
    Case(label="many in a log of a minute", limit=Log(600, 60), latency=0.3, retry_after=NONE, seconds=240),
    Case(label="windows, headers", limit=Window(20, 1), latency=0.1, headers="ratelimit", seconds=30),
    Case(label="a log, headers", limit=Log(100, 10), latency=0.1, headers="ratelimit", seconds=45),
    Case(label="minutes, headers", limit=Window(120, 60), latency=0.1, headers="ratelimit", seconds=240),
    Case(
        label="bucket, headers",
        limit=Bucket(20, 20),
        latency=0.05,
        headers="ratelimit",
        seconds=30,
        max_in_flight=16,
    ),
    Case(label="three at once", limit=AtOnce(3, 0.1), latency=0.1, seconds=30, max_in_flight=16),
    Case(label="ten at once", limit=AtOnce(10, 0.3), latency=0.3, retry_after=NONE, seconds=30, max_in_flight=16),
]

STATED_ON_ALL = [
    Case(
        label=f"{name}, {headers}", limit=limit, latency=latency, headers=headers, retry_after=NONE, seconds=seconds
    )
    for headers in ("ratelimit", "x", "policy")
    for name, limit, latency, seconds in (
        ("40 a second", Window(40, 1), 0.05, 30),
        ("40 in any second", Log(40, 1), 0.02, 30),
        ("100 in 10 s", Window(100, 10), 0.1, 30),
        ("120 in any minute", Log(120, 60), 0.1, 240),
        ("500 in any hour", Log(500, 3600), 0.02, 7300),
        ("40/s, bucket of 40", Bucket(40, 40), 0.05, 30),
        ("10/s, bucket of 50", Bucket(10, 50), 0.05, 30),
    )
]
STATED_ON_REFUSALS = [
    Case(label=name, limit=limit, latency=0.05, headers="refusals", retry_after=NONE, seconds=seconds)
    for name, limit, seconds in (
        ("40 a second", Window(40, 1), 30),
        ("40 in any second", Log(40, 1), 30),
        ("100 in any 10 s", Log(100, 10), 60),
        ("600 a minute", Window(600, 60), 240),
    )
]

#: The commonest form in the wild: every refusal costs all callers a whole second. Left out, since they miss 85 %:
#: windows of 20 a second at 100 ms with some dice, taken for a small bucket; small buckets and quotas a second at
#: 300 ms (78 to 84 %), where the search takes 5 to 8 s of the 30; a bucket of one call (67 to 84 %), where jitter
#: alone causes refusals near its rate (at 300 ms, a client that knows the rate gets 80 %); and short runs of 200 to
#: 400 calls against small buckets (53 to 82 %): docs/decisions/0016.
WHOLE_SECONDS = [
    Case(label=f"{name}, {latency * 1000:.0f} ms", limit=limit, latency=latency, retry_after=WHOLE, seconds=seconds)
    for name, limit, latencies, seconds in (
        ("5/s burst 5", Bucket(5, 5), (0.02, 0.1), 30),
        ("20/s burst 20", Bucket(20, 20), (0.02, 0.1), 30),
        ("20/s burst 2", Bucket(20, 2), (0.02, 0.1), 30),
        ("50/s burst 5", Bucket(50, 5), (0.02, 0.1), 30),
        ("50/s burst 50", Bucket(50, 50), (0.02, 0.1), 30),
        ("window 20 per 1 s", Window(20, 1), (0.02,), 30),
        ("window 100 per 10 s", Window(100, 10), (0.02, 0.1), 45),
        ("log 20 per 1 s", Log(20, 1), (0.02, 0.1), 30),
    )
    for latency in latencies
]


@pytest.mark.parametrize("case", WHOLE_SECONDS, ids=lambda case: case.label)
def test_where_refusals_are_costly_few_are_needed_to_find_the_limit(case):
    results = [simulation.run(fresh(case, seed=seed)) for seed in range(1, 6)]

    # The mean of five dice: one unlucky refusal is 3 % of such a run.
    assert sum(result.used for result in results) / len(results) >= 0.85
    assert min(result.used for result in results) >= 0.8
    assert max(result.refusals for result in results) <= 0.05
    assert not any(result.early for result in results)


@pytest.mark.parametrize("case", STATED_ON_ALL, ids=lambda case: case.label)
def test_a_limit_that_all_answers_state_is_used_from_the_first_answer_on(case):
    result = simulation.run(fresh(case, skew=-7.3))

    assert result.used >= 0.95
    assert result.refusals <= 0.01


@pytest.mark.parametrize("headers", ["x", "policy"])
@pytest.mark.parametrize(
    ("limit", "others"),
    [(Bucket(40, 40), 8), (Bucket(40, 40), 24), (Window(40, 1), 8), (Window(200, 10), 12), (Log(200, 10), 4)],
    ids=str,
)
def test_what_others_take_of_a_stated_limit_is_left_to_them(limit, others, headers):
    case = Case(label="", limit=Shared(limit, others), headers=headers, retry_after=NONE, seconds=60)
    results = [simulation.run(fresh(case, seed=seed)) for seed in (1, 2)]

    assert min(result.used for result in results) >= 0.85
    assert sum(result.refusals for result in results) / len(results) <= 0.015


@pytest.mark.parametrize("headers", ["x", "policy"])
@pytest.mark.parametrize(
    "limits",
    [
        (Bucket(20, 20), Window(300, 60)),
        (Window(40, 1), Window(600, 30)),
        (Window(20, 1), Log(300, 30)),
        (Bucket(10, 10), Log(200, 60)),
    ],
    ids=str,
)
def test_of_two_stated_limits_the_stricter_decides_whichever_an_answer_states(limits, headers):
    result = simulation.run(
        Case(label="", limit=Both(deepcopy(limits)), headers=headers, retry_after=NONE, seconds=120)
    )

    assert result.used >= 0.84
    assert result.refusals <= 0.02


@pytest.mark.parametrize("headers", ["ratelimit", "x", "policy", "refusals"])
@pytest.mark.parametrize(
    ("limit", "seconds"), [(Weighted(10, 1), 30), (Weighted(40, 1), 30), (Weighted(100, 10), 60)]
)
def test_a_window_that_counts_the_one_before_in_part_is_recognized_and_used_evenly(limit, seconds, headers):
    case = Case(label="", limit=limit, latency=0.05, headers=headers, retry_after=NONE, seconds=seconds)
    results = [simulation.run(fresh(case, seed=seed)) for seed in (1, 2, 4)]

    assert min(result.used for result in results) >= 0.8
    assert sum(result.refusals for result in results[:2]) / 2 <= 0.042
    # Three times what is out at once, and no share: 10 a second are 300 calls in all.
    assert max(result.refused for result in results) <= 3 * 8


@pytest.mark.parametrize("headers", ["ratelimit", "x", "policy"])
@pytest.mark.parametrize(
    ("limit", "seconds"), [(Log(40, 1), 30), (Log(100, 10), 60), (Bucket(10, 50), 30)], ids=str
)
def test_sixteen_calls_that_arrive_in_any_order_do_not_make_a_bucket_of_a_sliding_window(limit, seconds, headers):
    case = Case(label="", limit=limit, headers=headers, retry_after=NONE, seconds=seconds, max_in_flight=16)
    result = simulation.run(fresh(case, seed=3, skew=0.41))

    assert result.used >= 0.93
    assert result.refusals <= 0.01


@pytest.mark.parametrize("most", [8, 16])
def test_slow_answers_that_arrive_in_any_order_are_no_evidence_of_others(most):
    case = Case(label="", limit=Log(40, 1), latency=0.15, headers="policy", retry_after=NONE, seconds=30)
    results = [simulation.run(fresh(replace(case, max_in_flight=most), seed=seed)) for seed in (1, 2)]

    assert min(result.used for result in results) >= 0.95
    assert max(result.refusals for result in results) <= 0.005


@pytest.mark.parametrize("headers", ["x", "policy"])
def test_a_stated_limit_that_is_twice_the_true_one_is_refused_once_at_most(headers):
    class Lying(Log):
        def arrive(self, at):
            verdict = super().arrive(at)
            return replace(verdict, limit=2 * verdict.limit)

    case = Case(label="", limit=Lying(40, 1), headers=headers, retry_after=NONE, seconds=30)
    result = simulation.run(fresh(case, skew=0.41))

    assert result.used >= 0.9
    assert result.refusals <= 0.003


def test_of_two_sliding_windows_the_one_that_is_seldom_stated_is_not_forgotten():
    limits = (Log(20, 1), Log(600, 60))
    for headers in ("x", "policy"):
        case = Case(label="", limit=Both(deepcopy(limits)), headers=headers, retry_after=NONE, seconds=120)
        result = simulation.run(case)

        assert result.used >= 0.95
        assert result.refusals <= 0.007


@pytest.mark.parametrize("most", [8, 16])
@pytest.mark.parametrize(
    "limits",
    [(Log(20, 1), Log(600, 60)), (Window(20, 1), Log(300, 30))],
    ids=str,
)
def test_of_two_limits_that_only_refusals_state_the_longer_window_is_found_at_its_first_refusal(limits, most):
    case = Case(label="", limit=Both(deepcopy(limits)), headers="refusals", retry_after=NONE, seconds=120)
    result = simulation.run(replace(case, max_in_flight=most, skew=0.41, seed=3))

    assert result.used >= 0.98
    assert result.refusals <= 0.013


@pytest.mark.parametrize("limit", [Log(40, 1), Bucket(40, 40)], ids=str)
def test_what_others_take_of_a_limit_that_only_refusals_state_is_found_out_and_given_back(limit):
    case = Case(label="", limit=Shared(limit, 8), headers="refusals", retry_after=NONE, seconds=60)
    results = [simulation.run(fresh(case, seed=seed, skew=0.41)) for seed in (1, 2, 3)]

    assert min(result.used for result in results) >= 0.75
    assert max(result.refusals for result in results) <= 0.04


def test_a_window_that_others_fill_too_is_not_believed_to_be_longer_than_it_is():
    case = Case(label="", limit=Shared(Log(40, 1), 12), headers="refusals", retry_after=NONE, seconds=60)

    assert min(simulation.run(fresh(case, seed=seed)).used for seed in (6, 7, 8)) >= 0.75


@pytest.mark.parametrize(("limit", "seconds"), [(Log(120, 60), 180), (Log(100, 10), 40)], ids=str)
def test_sixteen_calls_that_are_out_make_no_fixed_window_of_a_sliding_one_that_only_refusals_state(limit, seconds):
    case = Case(label="", limit=limit, headers="refusals", retry_after=NONE, seconds=seconds, max_in_flight=16)
    results = [simulation.run(fresh(case, seed=seed)) for seed in (1, 2)]

    assert min(result.used for result in results) >= 0.9
    assert max(result.refused for result in results) <= 24


@pytest.mark.parametrize("headers", ["ratelimit", "x", "policy"])
def test_a_small_bucket_that_whole_seconds_make_a_slow_window_of_is_not_believed_to_be_one(headers):
    case = Case(label="", limit=Bucket(40, 4), headers=headers, retry_after=NONE, seconds=30)

    assert simulation.run(case).used >= 0.9


@pytest.mark.parametrize("case", STATED_ON_REFUSALS, ids=lambda case: case.label)
def test_a_limit_that_only_refusals_state_is_used_from_the_first_refusal_on(case):
    result = simulation.run(fresh(case, skew=0.41))

    assert result.used >= 0.93
    assert result.refusals <= 0.04


@pytest.mark.parametrize("latency", [0.2, 0.3])
@pytest.mark.parametrize("calls", [20, 30])
def test_slow_answers_do_not_hide_how_long_a_sliding_window_is_that_only_refusals_state(calls, latency):
    case = Case(label="", limit=Log(calls, 2), latency=latency, headers="refusals", retry_after=NONE, seconds=30)
    results = [simulation.run(fresh(case, seed=seed, skew=0.41)) for seed in (1, 2, 3)]

    assert min(result.used for result in results) >= 0.84
    assert sum(result.used for result in results) / len(results) >= 0.89


@pytest.mark.parametrize("latency", [0.2, 0.3])
def test_slow_answers_do_not_hide_how_long_a_fixed_window_is_that_only_refusals_state(latency):
    # It ends at whole seconds of the server's clock: the reset that it states is no later than the true one.
    limit = Window(20, 2, phase=0.205)
    case = Case(label="", limit=limit, latency=latency, headers="refusals", retry_after=NONE, seconds=30)
    results = [simulation.run(fresh(case, seed=seed, skew=0.41)) for seed in (2, 5, 6)]

    assert min(result.used for result in results) >= 0.9
    # Four times what is out at once: each burst of refused calls is no longer than that.
    assert max(result.refused for result in results) <= 4 * 8


@pytest.mark.parametrize("retry_after", [WHOLE, FRACTION, NONE])
@pytest.mark.parametrize("most", [3, 10])
def test_too_many_at_once_is_distinguished_from_too_fast_when_the_lms_does_not_say(most, retry_after):
    limit = AtOnce(most, 0.02, "slow down")
    case = Case(label="", limit=limit, latency=0.02, retry_after=retry_after, seconds=30, max_in_flight=16)
    results = [simulation.run(fresh(case, seed=seed)) for seed in range(1, 6)]

    # Not 85 %: with whole seconds the search for a rate takes 5 s before it is proven to be none (81 and 84 %).
    assert sum(result.used for result in results) / len(results) >= 0.75


@pytest.mark.parametrize("case", UNKNOWN_LIMITS, ids=lambda case: case.label)
def test_an_unknown_limit_is_found_and_used(case):
    result = simulation.run(fresh(case))

    assert result.used >= 0.85
    assert result.refusals <= 0.05
    assert result.early == 0
    assert result.most_in_flight <= case.max_in_flight


@pytest.mark.parametrize("seed", range(2, 6))
@pytest.mark.parametrize("case", UNKNOWN_LIMITS, ids=lambda case: case.label)
def test_with_another_seed_it_is_nearly_as_good_and_a_named_time_is_always_kept(case, seed):
    result = simulation.run(fresh(case, seed=seed))

    assert result.used >= 0.75
    assert result.refusals <= 0.08
    assert result.early == 0


@pytest.mark.parametrize(("latency", "loss"), [(0.005, 0.15), (0.05, 0.15)])
def test_without_a_limit_the_pace_hardly_hinders(latency, loss):
    result = simulation.run(Case(label="", limit=NoLimit(), latency=latency, calls=1000))

    assert result.used >= 1 - loss


def test_a_level_held_too_low_is_raised_without_overshooting_the_limit():
    result = simulation.run(Case(label="", limit=Window(20, 1), latency=0.1, calls=2000))

    assert result.used >= 0.85
    assert result.found.rate == pytest.approx(20, abs=1.5)


def test_a_known_rate_is_used_to_98_percent_without_a_refusal():
    known = Rate(calls=20, per_seconds=1)
    result = simulation.run(
        Case(label="", limit=Window(20, 1), latency=0.1, jitter=0.02, rate=known, seconds=60, max_in_flight=8)
    )

    assert result.refused == 0
    assert result.accepted >= 0.98 * 20 * 60


def test_a_remembered_rate_spares_the_second_run_the_search():
    remembered = Estimate(rate=19.5, ceiling=19.5, sure=True, calls_per_slot=0.0, probe_at=simulation.START + 20)
    limit = Bucket(20, 5)
    result = simulation.run(Case(label="", limit=limit, latency=0.1, calls=300, found=remembered))

    assert result.refused == 0
    assert result.used >= 0.93


def fresh(case, *, seed=1, skew=0.0):
    """Return the case with its limit unused, since limits remember."""
    return replace(case, limit=deepcopy(case.limit), seed=seed, skew=skew)
