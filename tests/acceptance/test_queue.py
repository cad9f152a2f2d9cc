"""The queue: the same roster gives the same report, whoever dies meanwhile."""

from __future__ import annotations

import base64
import re

import pytest

from tests.conftest import FIRST_NAME, LAST_NAME

PEOPLE = 45


@pytest.mark.parametrize("system", ["north", "kmi"])
def test_a_submitted_roster_ends_as_a_roster_that_is_run(sandbox, office, queue, people, system):
    lms = sandbox(latency=0.005)
    desk = office(lms, system, batch_size=10)
    line = queue(desk)
    line.worker(processes=2)
    rows = people(PEOPLE, login_name=lambda number: f"login{number}")
    rows.append({"email": "nobody", "course_id": "58"})
    desk.roster("roster.csv", rows)

    (result,) = line.ended(line.submit("roster.csv"))

    assert result.counts == {"registered": PEOPLE, "invalid": 1}
    assert result.state == "completed_with_errors"
    assert (desk.folder / "reports" / "roster.results.xlsx").exists()


def test_nothing_personal_is_in_redis_in_flower_or_in_a_log(sandbox, office, queue):
    lms = sandbox(latency=0.02)
    desk = office(lms, batch_size=10)
    line = queue(desk)
    desk.people("roster.csv", PEOPLE)
    job = line.submit("roster.csv")
    waiting = _everything_in(line.redis())
    worker = line.worker()
    line.until(lambda: lms.calls() > 5, "a call")
    under_way = _everything_in(line.redis())
    line.ended(job)

    seen = waiting + under_way + _everything_in(line.redis()) + worker.log.read_text("utf-8")
    assert "roster.register" in seen
    assert not re.search(f"{FIRST_NAME}|{LAST_NAME}|example.com|sandbox-token", seen, re.IGNORECASE)


def _everything_in(redis):
    """Return every key and value as text, the bodies of messages among them."""
    read = {
        b"string": redis.get,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"hash": redis.hgetall,
        b"set": redis.smembers,
        b"zset": lambda key: redis.zrange(key, 0, -1),
        b"none": lambda _: "",  # it went while we looked
    }
    text = "\n".join(f"{key!r} {read[redis.type(key)](key)!r}" for key in redis.scan_iter())
    bodies = re.findall(r'"body": "([A-Za-z0-9+/=]+)"', text)
    return "\n".join([text, *(base64.b64decode(body).decode() for body in bodies)])
