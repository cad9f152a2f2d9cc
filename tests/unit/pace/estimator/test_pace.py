from __future__ import annotations

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from worker.pace.estimator import pace
from worker.pace.hints.response import Hints
from worker.pace.rate import Rate
from worker.pace.state import Estimate, Limits, PaceState, Reason
from worker.pace.stores.persistence import from_memory, to_memory

NOW = 1_700_000_000.0
DAY = 86400.0
waits = st.one_of(st.none(), st.floats(0, 100))
answers = st.one_of(
    st.none(),
    st.just(Hints()),
    st.builds(Hints, throttled=st.just(True), concurrency=st.booleans(), retry_after=waits),
    st.builds(
        Hints,
        limit=st.floats(0, 1000),
        remaining=st.floats(-5, 1000),
        reset_in=st.floats(0, 100),
        window=st.one_of(st.none(), st.floats(0, 100)),
    ),
)
moves = st.lists(st.tuples(st.floats(0, 5), st.integers(1, 12), answers), max_size=60)
rates = st.one_of(st.none(), st.builds(Rate, calls=st.integers(1, 300), per_seconds=st.sampled_from((1.0, 60.0))))


#: A refusal that names no seconds at all, and another at the very same moment.
AT_ONCE = [
    (0.0, 1, None),
    (1.0, 1, Hints()),
    (0.0, 3, Hints(throttled=True, retry_after=0.0)),
    (0.0, 1, Hints()),
    (0.0, 1, Hints(throttled=True)),
]


@settings(max_examples=150, deadline=None)
@given(moves=moves, most=st.integers(1, 32), rate=rates)
@example(moves=AT_ONCE, most=11, rate=None)
def test_no_history_breaks_an_invariant(moves, most, rate):
    bounds = Limits(max_in_flight=most, rate=rate)
    state, now, out, not_before = pace.begin(bounds), NOW, [], 0.0
    for gap, tries, hints in moves:
        now += gap
        for _ in range(tries):
            state, turn = pace.reserve(state, now)
            if turn.grant is None:
                assert turn.reason is Reason.FULL or turn.seconds > 0
                continue
            out.append(turn.grant)
            assert now >= not_before, "a call went out before the time the LMS had named"
            assert len(out) == turn.grant.concurrency <= most
        if out:
            sent = out.pop(0)
            state = pace.report(state, bounds, sent, hints, now)
            if hints and hints.throttled and hints.retry_after is not None:
                not_before = max(not_before, now + hints.retry_after)
        assert state.limiter.in_flight == len(out)
        assert 1 <= state.limiter.allowed_in_flight <= most
        if rate is not None:
            assert state.limiter.interval >= rate.interval * 0.999


def test_calls_begin_few_at_once_and_rise_with_clean_answers():
    bounds = Limits(max_in_flight=8)
    state, now = pace.begin(bounds), NOW
    assert state.limiter.allowed_in_flight == 2

    for _ in range(100):
        state, turn = pace.reserve(state, now)
        state = pace.report(state, bounds, turn.grant, Hints(), now + 0.005)
        now += 0.005

    assert state.limiter.allowed_in_flight == 8
    assert state.limiter.interval == 0


def test_one_burst_of_refusals_is_one_signal():
    bounds = Limits(max_in_flight=8)
    state, sent = _going(bounds, calls=100, out=6)
    for call in sent:
        state = pace.report(state, bounds, call, Hints(throttled=True), NOW + 1.1)

    assert state.estimate.bursts == 1
    assert state.counts.refused == 6


def test_too_many_at_once_lowers_the_calls_in_flight_and_leaves_the_rate():
    bounds = Limits(max_in_flight=8)
    state, sent = _going(bounds, calls=100, out=6)
    for call in sent[:2]:
        state = pace.report(state, bounds, call, Hints(throttled=True, concurrency=True), NOW + 1.1)

    assert state.limiter.allowed_in_flight == 4
    assert state.estimate.rate == 0


def test_a_refusal_without_a_time_pauses_and_then_lets_one_call_go_ahead():
    bounds = Limits(max_in_flight=8)
    state, sent = _going(bounds, calls=100, out=4)
    for call in sent:
        state = pace.report(state, bounds, call, Hints(throttled=True), NOW + 1.1)

    assert state.limiter.not_before > NOW + 1.1
    assert state.limiter.allowed_in_flight == 1


def test_a_wait_of_hours_does_not_slow_what_comes_after_it():
    bounds = Limits(max_in_flight=8)
    state, sent = _going(bounds, calls=100, out=1)
    state = pace.report(state, bounds, sent[0], Hints(throttled=True, retry_after=DAY), NOW + 1.1)

    assert state.limiter.not_before == NOW + 1.1 + DAY
    assert state.estimate.rate == 0


def test_a_lost_answer_frees_its_slot_and_teaches_nothing():
    bounds = Limits(max_in_flight=8)
    state, sent = _going(bounds, calls=10, out=1)
    after = pace.report(state, bounds, sent[0], None, NOW + 20)

    assert after.limiter.in_flight == 0
    assert after.estimate == state.estimate


def test_a_call_that_was_not_made_frees_its_grant():
    bounds = Limits(max_in_flight=8, rate=Rate(calls=1, per_seconds=10))
    before = pace.begin(bounds)
    state, turn = pace.reserve(before, NOW)
    state = pace.withdraw(state, turn.grant)

    assert pace.reserve(state, NOW)[1].reason is Reason.GO


def test_what_held_is_where_the_next_run_begins():
    state = PaceState(estimate=Estimate(rate=20.0, max_concurrency=3))
    memory = json.loads(json.dumps(to_memory(state, now=NOW)))
    found = from_memory(memory, now=NOW + 3600)

    assert (found.rate, found.max_concurrency, found.sure) == (20.0, 3, True)
    assert pace.begin(Limits(max_in_flight=8), found).limiter.interval == 0.05


def test_an_old_memory_is_trusted_less_and_a_very_old_one_not_at_all():
    memory = to_memory(PaceState(estimate=Estimate(rate=20.0)), now=NOW)
    stale = from_memory(memory, now=NOW + 5 * DAY)

    assert stale.rate < 20
    assert not stale.sure
    assert from_memory(memory, now=NOW + 60 * DAY) == Estimate()


def test_a_memory_that_cannot_be_read_says_nothing():
    for data in (
        {},
        {"at": "x", "rate": 1, "most_at_once": 0},
        {"at": NOW, "rate": float("nan"), "most_at_once": 0},
    ):
        assert from_memory(data, now=NOW) == Estimate()


def _going(bounds, *, calls, out):
    """Return a state after so many clean answers within a second, and calls that are still out."""
    state, sent = pace.begin(bounds), []
    for step in range(calls):
        state, turn = pace.reserve(state, NOW + step / calls)
        state = pace.report(state, bounds, turn.grant, Hints(), NOW + step / calls)
    for _ in range(out):
        state, turn = pace.reserve(state, NOW + 1)
        sent.append(turn.grant)
    return state, sent
