from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from worker.pace.estimator import pace
from worker.pace.rate import Rate, parse_rate
from worker.pace.state import Limits


@pytest.mark.parametrize(
    ("text", "calls", "per_seconds"),
    [
        ("20/second", 20, 1),
        ("20/s", 20, 1),
        ("100/minute", 100, 60),
        ("100/min", 100, 60),
        ("1000/hour", 1000, 3600),
        ("1,000 per hour", 1000, 3600),
        ("500/5s", 500, 5),
        ("200 / 5 seconds", 200, 5),
        ("0.5/s", 0.5, 1),
        ("10000/day", 10000, 86400),
    ],
)
def test_a_rate_is_read_in_the_forms_people_write(text, calls, per_seconds):
    assert parse_rate(text) == Rate(calls=calls, per_seconds=per_seconds)


@pytest.mark.parametrize("text", ["", "20", "20/fortnight", "-1/s", "0/s", "20/0s", "fast", "20/ms", "1e9/s"])
def test_a_text_that_is_not_a_rate_is_refused(text):
    with pytest.raises(ValueError, match="rate"):
        parse_rate(text)


def test_the_message_on_a_wrong_rate_names_the_forms():
    with pytest.raises(ValueError, match="20/second, 100/minute, 1000/hour"):
        parse_rate("as fast as you can")


@given(
    calls=st.integers(1, 500),
    per_seconds=st.sampled_from((1.0, 5.0, 60.0)),
    gaps=st.lists(st.floats(0, 3), min_size=1, max_size=50),
)
def test_no_stretch_ever_holds_more_calls_than_the_rate(calls, per_seconds, gaps):
    rate = Rate(calls=calls, per_seconds=per_seconds)
    state = pace.begin(Limits(max_in_flight=10_000, rate=rate))
    state = _with_room(state)
    sent, now = [], 1_700_000_000.0
    for gap in gaps:
        now += gap
        for _ in range(30):
            state, turn = pace.reserve(state, now)
            if turn.grant is None:
                now += turn.seconds + 1e-6
            else:
                sent.append(now)
    for place, first in enumerate(sent):
        within = sum(1 for at in sent[place:] if at < first + per_seconds - 1e-3)
        assert within <= max(1, calls)


def test_a_rate_is_used_to_98_percent():
    rate = Rate(calls=20, per_seconds=1)
    state = _with_room(pace.begin(Limits(max_in_flight=8, rate=rate)))
    now, sent = 1_700_000_000.0, 0
    while now < 1_700_000_060:
        state, turn = pace.reserve(state, now)
        if turn.grant is None:
            now += turn.seconds + 0.004
        sent += turn.grant is not None

    assert sent >= 0.98 * 20 * 60


def test_calls_and_seconds_must_be_above_zero():
    for calls, seconds in ((0, 1), (1, 0), (math.inf, 1), (1, math.nan)):
        with pytest.raises(ValueError, match="above 0"):
            Rate(calls=calls, per_seconds=seconds)


def _with_room(state):
    return replace(state, limiter=replace(state.limiter, allowed_in_flight=10**9))
