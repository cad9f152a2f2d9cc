"""Limits that the LMS states, at the edges: tiny ones, none at all, and more than can be true."""

from __future__ import annotations

import pytest

from worker.pace.estimator import pace, quota_gate
from worker.pace.hints.response import Hints, read_hints
from worker.pace.state import LimiterState, Limits, PaceState, Quota, QuotaKind
from worker.pace.stores.fallback import LocalFallback

NOW = 1_700_000_000.0


def bucket(calls, **values):
    return Quota(limit=calls, calls=calls, seconds=10.0, kind=QuotaKind.BUCKET, left_at=NOW, **values)


@pytest.mark.parametrize("calls", [1.0, 1.5])
def test_a_bucket_that_holds_no_call_more_than_one_is_used_when_it_is_full(calls):
    flow = LimiterState(quotas=(bucket(calls, refill=0.1, margin=1.0, left=0.0),))

    wait = quota_gate.wait(flow, NOW)

    assert wait == pytest.approx(10 * calls)
    assert quota_gate.wait(flow, NOW + wait + 0.001) == 0


def test_a_process_alone_uses_its_share_of_a_bucket_of_as_many_calls_as_there_are_processes():
    limiter = LimiterState(quotas=(bucket(4.0, refill=4.0, margin=1.0, left=4.0),))
    alone = LocalFallback(PaceState(limiter=limiter), Limits(max_in_flight=8), sharers=4, now=NOW)

    assert alone.reserve(NOW + 5).grant is not None


def test_a_process_alone_leaves_others_no_more_than_its_share_of_what_they_take():
    window = Quota(limit=40, calls=40, seconds=1.0, kind=QuotaKind.SLIDING, stated_at=NOW, others=20.0, reserve=4.0)
    limiter = LimiterState(quotas=(window,))
    alone = LocalFallback(PaceState(limiter=limiter), Limits(max_in_flight=32), sharers=2, now=NOW)

    granted = 0
    while alone.reserve(NOW + 5).grant is not None:
        granted += 1
    assert granted == 8


@pytest.mark.parametrize("remaining", ["-1", "0", "100"])
def test_a_limit_of_minus_one_is_none(remaining):
    headers = {"X-RateLimit-Limit": "-1", "X-RateLimit-Remaining": remaining, "X-RateLimit-Reset": "60"}

    hints = read_hints(200, headers, "", now=NOW)

    assert (hints.limit, hints.remaining, hints.reset_in) == (None, None, None)


def test_an_lms_that_states_another_limit_with_every_answer_does_not_fill_the_memory():
    bounds = Limits(max_in_flight=8)
    state = pace.begin(bounds)
    for number in range(50):
        state, turn = pace.reserve(state, NOW + number)
        assert turn.grant is not None
        hints = Hints(limit=1000.0 + number, remaining=900.0, reset_in=3600.0)
        state = pace.report(state, bounds, turn.grant, hints, NOW + number + 0.1)

    assert len(state.limiter.quotas) == 8
    assert state.limiter.quotas[-1].limit == 1049.0


def test_an_answer_that_is_slower_than_its_reset_is_read():
    bounds = Limits(max_in_flight=8)
    state, first = pace.reserve(pace.begin(bounds), NOW)
    state = pace.report(state, bounds, first.grant, Hints(limit=10.0, remaining=9.0, reset_in=10.0), NOW + 0.1)
    state, second = pace.reserve(state, NOW + 9.9)

    state = pace.report(state, bounds, second.grant, Hints(limit=10.0, remaining=8.0, reset_in=0.0), NOW + 17.9)

    assert pace.reserve(state, NOW + 18)[1].grant is not None
