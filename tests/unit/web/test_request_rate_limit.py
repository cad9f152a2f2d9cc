"""The limit of requests per minute of a client, in a burst or spread."""

from __future__ import annotations

from worker.web import limits
from worker.web.limits import RequestRateLimit


def test_the_requests_of_a_minute_may_come_in_a_burst_and_then_one_by_one() -> None:
    bucket = RequestRateLimit(60)

    assert [bucket.seconds_to_wait("ana", 0.0) for _ in range(60)] == [0.0] * 60
    assert bucket.seconds_to_wait("ana", 0.0) == 1.0
    assert bucket.seconds_to_wait("ana", 0.5) == 0.5
    assert bucket.seconds_to_wait("ana", 1.0) == 0.0
    assert bucket.seconds_to_wait("ana", 1.0) == 1.0


def test_the_requests_of_one_client_do_not_count_for_another() -> None:
    bucket = RequestRateLimit(10)
    for _ in range(10):
        bucket.seconds_to_wait("ana", 0.0)

    assert bucket.seconds_to_wait("ana", 0.0) > 0
    assert bucket.seconds_to_wait("bea", 0.0) == 0


def test_the_least_recently_seen_clients_are_forgotten_first() -> None:
    bucket = RequestRateLimit(10)
    for number in range(limits.MAX_CLIENTS + 5):
        bucket.seconds_to_wait(str(number), 0.0)

    assert len(bucket._buckets) == limits.MAX_CLIENTS
    assert "4" not in bucket._buckets
