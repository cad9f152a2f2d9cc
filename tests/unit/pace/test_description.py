"""What is kept of a pace between runs, how it is told to people, and how long calls take at it."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace

import pytest

from tests.benchmarks import pace_simulation as simulation
from tests.benchmarks.pace_simulation import AtOnce, Bucket, Case, Log, Window
from worker.pace import forecast
from worker.pace.description import Source, describe
from worker.pace.estimator import pace
from worker.pace.rate import parse_rate
from worker.pace.state import Limits
from worker.pace.stores import persistence

NOW = simulation.START


def record_after(case, *, calls=200):
    """Return what a run remembers, as it went through the ledger, and when it ended."""
    last = []
    simulation.run(replace(case, calls=calls), watch=lambda *moment: last.append(moment))
    state, now = last[-1]
    return json.loads(json.dumps(persistence.to_memory(state, now=now))), now


def case_of(limit, headers="ratelimit", **values):
    return Case(label="", limit=limit, headers=headers, retry_after="none", latency=0.05, **values)


@pytest.mark.parametrize(
    ("stored", "configured", "source", "why"),
    [
        ({}, None, Source.GUESSED, "refused no call"),
        ({"rate": 4.0, "is_sure": False}, None, Source.GUESSED, "still searched for"),
        ({"rate": 4.0}, None, Source.MEASURED, "when the LMS refused calls"),
        ({"rate": 4.0}, "3/second", Source.NAMED, "`rate` in the configuration"),
        (
            {"quotas": [{"kind": "fixed", "calls": 1000, "seconds": 3600, "refill": 0}]},
            None,
            Source.NAMED,
            "1,000 calls per hour",
        ),
        (
            {"quotas": [{"kind": "bucket", "calls": 50, "seconds": 5, "refill": 10}]},
            None,
            Source.NAMED,
            "50 calls, refilled at 10 a second",
        ),
        ({"rate": "broken", "quotas": None}, None, Source.GUESSED, "refused no call"),
    ],
)
def test_how_a_pace_is_known_is_one_of_three_words_with_its_reason(stored, configured, source, why):
    found = describe(stored, parse_rate(configured) if configured else None, now=NOW)

    assert found.source is source
    assert why in found.text
    assert found.text.startswith(f"{source}: ")
    assert found.waits_until is None


def test_a_pace_that_waits_says_until_when_and_for_what():
    paused = describe({"not_before": NOW + 30, "quota_until": NOW + 5}, None, now=NOW)
    used_up = describe({"not_before": NOW - 30, "quota_until": NOW + 5}, None, now=NOW)

    assert (paused.waits_until, paused.waits_for) == (NOW + 30, "the LMS asked for a pause")
    assert (used_up.waits_until, used_up.waits_for) == (NOW + 5, "the limit that the LMS states is used up")


@pytest.mark.parametrize("limit", [Window(40, 1), Log(40, 1), Bucket(10, 50)])
def test_a_stated_limit_is_remembered_and_the_next_run_begins_with_it(limit):
    stored, now = record_after(case_of(deepcopy(limit)))
    quotas = persistence.quotas_from_memory(stored, now=now)
    result = simulation.run(case_of(deepcopy(limit), quotas=quotas, seconds=20))

    assert [quota.limit for quota in quotas] == [limit.burst if isinstance(limit, Bucket) else 40]
    assert result.used >= 0.9
    assert result.refusals <= 0.01


@pytest.mark.parametrize("headers", ["ratelimit", "refusals"])
def test_a_remembered_limit_that_is_too_high_is_found_out_within_one_window(headers):
    stored, now = record_after(case_of(Window(100, 10), headers))
    quotas = persistence.quotas_from_memory(stored, now=now)
    result = simulation.run(case_of(Window(40, 10), headers, quotas=quotas, seconds=60))

    assert result.refused <= 3 * 8
    assert result.used >= 0.9


def test_a_remembered_limit_that_is_too_low_is_found_out_by_the_first_answer_that_states_another():
    stored, now = record_after(case_of(Window(40, 10)))
    result = simulation.run(
        case_of(Window(100, 10), quotas=persistence.quotas_from_memory(stored, now=now), seconds=60)
    )

    assert result.used >= 0.93


@pytest.mark.parametrize(
    "stored", [{}, {"at": NOW}, {"at": NOW, "quotas": [{"kind": "none"}]}, {"at": NOW - 90 * 86400, "quotas": []}]
)
def test_a_memory_that_is_old_or_cannot_be_read_holds_no_limit(stored):
    assert persistence.quotas_from_memory(stored, now=NOW) == ()


def test_the_time_left_is_that_of_stated_limits_else_by_the_rate_and_never_less_than_a_pause():
    window = {"kind": "fixed", "calls": 10, "seconds": 60, "left": 0, "frees": [NOW + 30]}

    assert forecast.seconds_left(20, 5, [window], not_before=0, now=NOW) == pytest.approx(90)
    assert forecast.seconds_left(5, 5, [window], not_before=NOW + 100, now=NOW) == pytest.approx(100)
    assert forecast.seconds_left(20, 5, [], not_before=NOW + 7, now=NOW) == pytest.approx(11)


@pytest.mark.parametrize(
    "limit", [Window(40, 1), Window(100, 10), Window(600, 60), Log(600, 60), Bucket(20, 100), Log(100, 10)]
)
def test_at_every_tenth_of_a_job_the_forecast_is_right_to_a_tenth_of_its_duration(limit):
    calls, seen = 2000, []

    def watch(state, now):
        done = state.counts.accepted
        if done % (calls // 10) == 0 and 0 < done < calls and len(seen) < done * 10 // calls:
            quotas = persistence.to_memory(state, now=now)["quotas"]
            seen.append(now + forecast.seconds_for(calls - done, quotas, now=now))

    result = simulation.run(case_of(limit, calls=calls), watch=watch)

    assert len(seen) == 9
    for end in seen:
        assert abs(end - (simulation.START + result.seconds)) <= 0.1 * result.seconds


@pytest.mark.parametrize(
    ("limit", "headers", "retry_after"),
    [
        (Window(40, 1), "", "whole"),
        (Log(600, 60), "", "whole"),
        (Bucket(20, 100), "", "none"),
        (AtOnce(3, 0.05), "", "fraction"),
        (Log(600, 60), "refusals", "none"),
        (Bucket(40, 4), "refusals", "none"),
    ],
)
def test_the_forecast_is_as_good_where_refusals_alone_show_the_limit_once_it_is_known(limit, headers, retry_after):
    calls, tenths, seen = 2000, set(), []

    def watch(state, now):
        done = state.counts.accepted
        if calls > done > 0 == done % (calls // 10) and done not in tenths:
            tenths.add(done)
            if state.estimate.sure or state.estimate.max_concurrency or state.limiter.quotas:
                rate = pace.known_rate(state, bounds) or done / (now - simulation.START)
                quotas = persistence.to_memory(state, now=now)["quotas"]
                pause = state.limiter.not_before
                seen.append(now + forecast.seconds_left(calls - done, rate, quotas, not_before=pause, now=now))

    bounds = Limits(max_in_flight=16)
    case = Case(label="", limit=limit, headers=headers, retry_after=retry_after, calls=calls, max_in_flight=16)
    result = simulation.run(case, watch=watch)

    assert len(seen) >= 3
    for end in seen:
        assert abs(end - (simulation.START + result.seconds)) <= 0.1 * result.seconds


@pytest.mark.parametrize("retry_after", ["fraction", "whole", "none"])
@pytest.mark.parametrize("limit", [Window(40, 1), Window(600, 60)], ids=str)
def test_while_an_unstated_limit_is_still_searched_for_no_time_is_forecast(limit, retry_after):
    calls, seen = 2000, {}

    def watch(state, now):
        done = state.counts.accepted
        if calls > done > 0 == done % (calls // 10) and done not in seen and state.counts.refused:
            stored = persistence.to_memory(state, now=now)
            seconds = forecast.seconds_left(
                calls - done, stored["rate"], (), not_before=state.limiter.not_before, now=now
            )
            seen[done] = now + seconds if stored["is_settled"] else None

    case = case_of(deepcopy(limit), "", calls=calls)
    result = simulation.run(replace(case, retry_after=retry_after), watch=watch)
    forecasts = [end for end in seen.values() if end is not None]

    assert forecasts
    for end in forecasts:
        assert abs(end - (simulation.START + result.seconds)) <= 0.1 * result.seconds
