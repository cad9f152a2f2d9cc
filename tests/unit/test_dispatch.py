"""While the broker is away nothing of a job is lost, and no job stops."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery, Task
from redis.exceptions import ConnectionError as RedisConnectionError

from worker import dispatch


class Register(Task):
    name = "roster.register"

    def run(self) -> None: ...


def test_progress_that_cannot_be_shown_since_the_broker_went_away_is_no_error(own_redis: Any) -> None:
    task = Celery(broker=f"{own_redis.connection_url}/0").register_task(Register())
    task.push_request(id="1", hostname="w0@here")
    progress = dispatch.Progress(task)
    progress(1, 3)
    own_redis.stop()
    with pytest.raises(RedisConnectionError):
        task.send_event("task-registering", retry=False, result="")

    progress(2, 3)

    assert progress.text == "2 of 3 rows of the job processed"
