"""Beat reads the queue to see whether its last message waits; what else is in it does not stop it."""

from __future__ import annotations

import json

import pytest

from worker.runtime.beat import _task_of


@pytest.mark.parametrize(
    "message", [b"", b"not json", b"[1]", b"null", b"{}", b'{"headers": 3}', b"\xff\xfe", b"[" * 100_000]
)
def test_a_malformed_message_is_of_no_task(message):
    assert _task_of(message) == ""


def test_a_message_of_celery_is_of_its_task():
    assert _task_of(json.dumps({"headers": {"task": "roster.sweep"}}).encode()) == "roster.sweep"
