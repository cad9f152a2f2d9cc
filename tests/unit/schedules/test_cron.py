from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import UsageError
from worker.schedules.cron import check_cron, check_zone, machine_zone, next_run, runs

DUBLIN = "Europe/Dublin"
ZONES = [DUBLIN, "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kolkata", "UTC", "Pacific/Apia"]
MOMENTS = st.floats(min_value=1_700_000_000, max_value=1_900_000_000)


def due(line: str, zone: str, start: str, count: int) -> list[str]:
    first = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone)).timestamp()
    times = itertools.islice(runs(line, zone, first), count)
    return [datetime.fromtimestamp(at, ZoneInfo(zone)).isoformat(timespec="minutes") for at in times]


def test_a_weekday_line_skips_the_weekend() -> None:
    assert due("0 2 * * 1-5", DUBLIN, "2026-11-27T03:00", 2) == ["2026-11-30T02:00+00:00", "2026-12-01T02:00+00:00"]


def test_a_time_that_daylight_saving_skips_is_due_once_right_after_the_gap() -> None:
    assert due("30 1 * * *", DUBLIN, "2026-03-28T12:00", 2) == ["2026-03-29T02:00+01:00", "2026-03-30T01:30+01:00"]
    assert due("*/20 1 * * *", DUBLIN, "2026-03-29T00:00", 2) == [
        "2026-03-29T02:00+01:00",
        "2026-03-30T01:00+01:00",
    ]
    assert due("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00", 1) == ["2026-04-24T01:00+03:00"]


def test_a_time_in_a_gap_of_half_an_hour_is_due_right_after_it() -> None:
    assert due("0 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", 1) == ["2026-10-04T02:30+11:00"]


def test_a_time_that_occurs_twice_is_due_once() -> None:
    assert due("30 1 * * *", DUBLIN, "2026-10-24T12:00", 2) == ["2026-10-25T01:30+01:00", "2026-10-26T01:30+00:00"]
    assert due("30 */2 * * *", "Europe/Berlin", "2026-10-25T00:00", 3)[1:] == [
        "2026-10-25T02:30+02:00",
        "2026-10-25T04:30+01:00",
    ]


def test_after_the_first_of_two_it_is_not_due_again_in_the_second() -> None:
    second = datetime(2026, 10, 25, 1, 10, tzinfo=ZoneInfo(DUBLIN), fold=1).timestamp()
    at = next_run("45 1 * * *", DUBLIN, second)
    assert datetime.fromtimestamp(at, ZoneInfo(DUBLIN)).isoformat() == "2026-10-26T01:45:00+00:00"


def test_an_hourly_line_follows_elapsed_time() -> None:
    start = datetime(2026, 10, 24, 22, tzinfo=ZoneInfo(DUBLIN)).timestamp()
    times = list(itertools.islice(runs("15 * * * *", DUBLIN, start), 8))
    assert {later - earlier for earlier, later in itertools.pairwise(times)} == {3600}


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 59), st.integers(0, 23), st.sampled_from(ZONES), MOMENTS)
def test_a_daily_line_is_due_once_on_every_day_whatever_the_clocks_do(
    minute: int, hour: int, zone: str, after: float
) -> None:
    times = list(itertools.islice(runs(f"{minute} {hour} * * *", zone, after), 400))
    days = [datetime.fromtimestamp(at, ZoneInfo(zone)).date() for at in times]

    assert all(later - earlier == timedelta(days=1) for earlier, later in itertools.pairwise(days))
    for at in times:
        there = datetime.fromtimestamp(at, ZoneInfo(zone))
        wanted = there.replace(hour=hour, minute=minute, fold=0)
        shown = datetime.fromtimestamp(wanted.timestamp(), ZoneInfo(zone))
        is_on_the_clock = (shown.hour, shown.minute) == (hour, minute)
        assert (there.hour, there.minute, there.fold) == (hour, minute, 0) or not is_on_the_clock


@settings(deadline=None)
@given(
    st.sampled_from(
        ["* * * * *", "*/7 * * * *", "5,35 */3 * * *", "0 2 * * 1-5", "59 23 L * *", "0 0 29 2 *", "@weekly"]
    ),
    st.sampled_from(ZONES),
    MOMENTS,
)
def test_runs_are_later_than_asked_for_rise_and_do_not_depend_on_where_one_begins(
    line: str, zone: str, after: float
) -> None:
    times = list(itertools.islice(runs(line, zone, after), 6))

    assert times == sorted(set(times))
    assert times[0] > after
    assert [next_run(line, zone, at) for at in times[:-1]] == times[1:]


@settings(deadline=None, max_examples=400)
@given(st.text(st.sampled_from("0123456789*/,-L#MONW @"), max_size=24))
def test_any_line_is_either_refused_in_plain_words_or_due(line: str) -> None:
    try:
        check_cron(line)
    except UsageError:
        return
    assert next_run(line, "UTC", 0.0) > 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 25 * * *", "'25' is not a valid hour (0-23"),
        ("60 1 * * *", "'60' is not a valid minute"),
        ("0 1 * * MONDAY", "'MONDAY' is not a valid day of the week"),
        ("0 1 * 13 *", "'13' is not a valid month"),
        ("0 1 * *", "has 4 fields; it needs five"),
        ("0 0 1 * * *", "has 6 fields; it needs five"),
        ("0 2 30 2 *", "a day that does not exist"),
        ("@sometimes", "not one of @hourly, @daily"),
    ],
)
def test_a_wrong_line_is_reported_with_the_field_that_is_wrong(line: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_cron(line)
    assert said in str(raised.value)


def test_a_wrong_zone_is_reported_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match=r"did you mean Europe/Dublin\?"):
        check_zone("Europe/Dublim")
    with pytest.raises(UsageError):
        check_zone("../../etc/passwd")


def test_the_machine_says_its_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Apia")
    assert machine_zone() == "Pacific/Apia"
