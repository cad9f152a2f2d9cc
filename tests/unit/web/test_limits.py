"""So many calls a minute, at once or spread."""

from __future__ import annotations

from worker.web import limits
from worker.web.limits import RequestRateLimit


def test_a_minutes_calls_may_come_at_once_and_then_one_by_one() -> None:
    bucket = RequestRateLimit(60)

    assert [bucket.seconds_to_wait("ana", 0.0) for _ in range(60)] == [0.0] * 60
    assert bucket.seconds_to_wait("ana", 0.0) == 1.0
    assert bucket.seconds_to_wait("ana", 0.5) == 0.5
    assert bucket.seconds_to_wait("ana", 1.0) == 0.0
    assert bucket.seconds_to_wait("ana", 1.0) == 1.0


def test_one_clients_calls_are_not_anothers() -> None:
    bucket = RequestRateLimit(10)
    for _ in range(10):
        bucket.seconds_to_wait("ana", 0.0)

    assert bucket.seconds_to_wait("ana", 0.0) > 0
    assert bucket.seconds_to_wait("bea", 0.0) == 0


def test_clients_that_were_away_longest_are_forgotten_first() -> None:
    bucket = RequestRateLimit(10)
    for number in range(limits.MAX_CLIENTS + 5):
        bucket.seconds_to_wait(str(number), 0.0)

    assert len(bucket._buckets) == limits.MAX_CLIENTS
    assert "4" not in bucket._buckets
