from __future__ import annotations

import math
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.pace.hints.response import NO_HINTS, read_hints

NOW = 1_700_000_000.0


def read(status=429, headers=None, body=""):
    return read_hints(status, headers or {}, body, now=NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3),
        ("0", 0),
        ("1.5", 1.5),
        ("299.9971", 299.998),
        (" 7 ", 7),
        ("NaN", None),
        ("inf", None),
        ("-3", None),
        ("soon", None),
        ("", None),
        ("99999999999", None),
        ("86400", 86400),
        ("3, 4", None),
    ],
)
def test_retry_after_is_a_number_of_seconds_never_rounded_down(text, seconds):
    assert read(headers={"Retry-After": text}).retry_after == seconds


def test_a_date_is_measured_against_the_answers_own_clock():
    skewed = NOW - 3600
    headers = {"Date": formatdate(skewed, usegmt=True), "Retry-After": formatdate(skewed + 30, usegmt=True)}
    assert read(headers=headers).retry_after == 30


def test_a_date_without_a_date_header_is_measured_against_our_clock_and_rounded_up():
    hints = read_hints(429, {"retry-after": formatdate(NOW + 30, usegmt=True)}, "", now=NOW + 0.4)
    assert hints.retry_after == 30


def test_a_date_gone_by_is_no_wait():
    assert read(headers={"Retry-After": formatdate(NOW - 30, usegmt=True)}).retry_after == 0


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ('{"retryAfter": 12}', 12),
        ('{"error": {"retry_after": 2.5}}', 2.5),
        ("Rate limit is exceeded. Try again in 60 seconds.", 60),
        ("Request was throttled. Expected available in 1 second.", 1),
        ("Please wait at least 2 minutes", 120),
        ("retry after 500 ms", 0.5),
        ("try again later", None),
    ],
)
def test_a_body_may_name_the_wait(body, seconds):
    assert read(body=body).retry_after == seconds


def test_the_header_goes_before_the_body():
    assert read(headers={"Retry-After": "3"}, body='{"retryAfter": 12}').retry_after == 3


@pytest.mark.parametrize(
    ("status", "headers", "body", "throttled"),
    [
        (429, {}, "", True),
        (403, {}, "403 Forbidden (Rate Limit Exceeded)", True),
        (403, {"X-Rate-Limit-Remaining": "0.0"}, "", True),
        (403, {"X-Rate-Limit-Remaining": "412.7"}, "no permission", False),
        (403, {}, "You may not do this", False),
        (401, {"Retry-After": "3"}, "too many requests", False),
        (503, {"Retry-After": "3"}, "", True),
        (503, {}, "Too many requests", True),
        (503, {}, "Service Unavailable", False),
        (503, {"Retry-After": "whenever"}, "", False),
        (200, {}, '{"error":"rate_limit_exceeded","ok":false}', True),
        (200, {}, '{"name": "The quota of throttles"}', False),
        (500, {}, "quota", False),
    ],
)
def test_a_refusal_is_recognised_by_status_headers_and_words(status, headers, body, throttled):
    assert read(status, headers, body).throttled is throttled


def test_too_many_at_once_is_distinguished_from_too_many_in_a_time():
    assert read(body="Too many concurrent requests").concurrency
    assert read(body="Only 3 simultaneous calls allowed").concurrency
    assert not read(body="Too many requests").concurrency


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("30", 30),
        (str(int(NOW) + 30), 30),
        (str((int(NOW) + 30) * 1000), 30),
        ("2023-11-14T22:13:50Z", 30),
        (str(int(NOW) - 30), 0),
        ("-1", None),
        ("nonsense", None),
        ("900000", None),
    ],
)
def test_the_unit_of_a_reset_is_recognised_by_its_size_and_beside_a_limit_it_is_no_wait(reset, seconds):
    headers = {"X-RateLimit-Limit": "120", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    hints = read(headers=headers)
    assert (hints.limit, hints.remaining, hints.reset_in, hints.retry_after) == (120, 0, seconds, None)


def test_a_reset_is_not_a_wait_where_there_is_a_retry_after():
    headers = {"Retry-After": "2", "RateLimit-Remaining": "0", "RateLimit-Reset": "50"}
    assert read(headers=headers).retry_after == 2


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"RateLimit": '"default";r=0;t=30'}, (None, 0, 30, None)),
        ({"RateLimit": '"default";r=50;t=30', "RateLimit-Policy": '"default";q=100;w=60'}, (100, 50, 30, 60)),
        ({"RateLimit": '"burst";r=9;t=1, "daily";r=2;t=400'}, (None, 2, 400, None)),
        ({"RateLimit-Policy": "10;w=1, 50;w=60, 5000;w=3600"}, (50, None, None, 60)),
        ({"RateLimit-Limit": "100, 100;w=60", "RateLimit-Remaining": "7", "RateLimit-Reset": "9"}, (100, 7, 9, 60)),
        ({"X-Rate-Limit-Remaining": "699.5"}, (None, 699.5, None, None)),
        ({"x-ratelimit-minute-remaining": "3", "x-ratelimit-day-remaining": "900"}, (None, 3, None, None)),
        ({"RateLimit": "limit=10, remaining=4, reset=5"}, (10, 4, 5, None)),
    ],
)
def test_the_families_of_headers_are_read_and_the_tightest_policy_taken(headers, expected):
    hints = read(200, headers)
    assert (hints.limit, hints.remaining, hints.reset_in, hints.window) == expected


def test_an_answer_that_does_not_mention_limits_gives_no_hints():
    assert read(200, {"Content-Type": "application/json"}, "{}") is NO_HINTS


words = st.one_of(st.text(max_size=40), st.floats().map(str), st.integers().map(str), st.datetimes().map(str))
names = st.sampled_from(
    [
        "Retry-After",
        "Date",
        "RateLimit",
        "RateLimit-Policy",
        "RateLimit-Reset",
        "RateLimit-Remaining",
        "RateLimit-Limit",
        "X-RateLimit-Limit",
        "X-RateLimit-Reset",
        "X-Rate-Limit-Remaining",
    ]
)


@given(status=st.integers(100, 599), headers=st.dictionaries(names, words), body=words, now=st.floats(0, 2e9))
def test_no_answer_can_break_the_reader_and_no_number_is_absurd(status, headers, body, now):
    hints = read_hints(status, headers, body, now=now)
    for wait in (hints.retry_after, hints.reset_in):
        assert wait is None or 0 <= wait <= 7 * 86400
    for number in (hints.limit, hints.remaining, hints.window):
        assert number is None or math.isfinite(number)


@pytest.mark.parametrize(("header", "seconds"), [("30", 30), (str(int(NOW) + 30), 30)])
def test_a_reset_alone_is_the_wait_that_a_refusal_asks_for(header, seconds):
    assert read(headers={"RateLimit-Reset": header}).retry_after == seconds


def test_times_by_the_servers_clock_are_kept_as_it_states_them():
    date = formatdate(NOW - 3600, usegmt=True)
    hints = read(headers={"Date": date, "X-RateLimit-Limit": "5", "X-RateLimit-Reset": str(int(NOW) - 3570)})
    assert (hints.date, hints.reset_at, hints.reset_in) == (NOW - 3600, NOW - 3570, 30)
    assert read(headers={"Date": date, "Retry-After": date}).retry_at == NOW - 3600
    assert read(headers={"Date": date, "Retry-After": "7"}).retry_at is None
