"""The page of a running job says what its time left rests on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.builders import a_job_of, a_row
from worker import bootstrap
from worker.cli.progress import time_left_text
from worker.ledger import jobs, key_value
from worker.ledger.database import now

if TYPE_CHECKING:
    from tests.unit.web.conftest import Browser

SEARCHED = {"rate": 40.0, "is_sure": False, "is_settled": False, "quotas": []}
WINDOW = {"kind": "fixed", "limit": 1.0, "calls": 1.0, "seconds": 60.0, "refill": 0.0, "left": 0.0}


async def time_left_of(browser: Browser, record: dict[str, object]) -> str:
    """Return the time left on the page of a running job, with this record of the pace; empty when there is none."""
    ledger = browser.services.ledger
    job_id = a_job_of(ledger, *(a_row(number) for number in range(2, 40)), connection="north")
    with ledger.write() as tx:
        jobs.begin_run(tx, job_id)
        jobs.add_calls(tx, job_id, {"create_candidate": 2})
        key_value.put(tx, bootstrap.pace_key(browser.services.connection("north")), {"at": now(), **record})
    page = await browser.get(f"/jobs/{job_id}")
    found = re.search(r"<dt>Time left</dt><dd>(.*?)</dd>", page)
    return found[1].strip() if found else ""


@pytest.mark.parametrize("record", [{}, {"rate": 0.0, "quotas": [], "is_settled": True}])
async def test_a_time_that_rests_on_no_limit_is_said_to_be_at_the_speed_so_far(browser, record):
    text = await time_left_of(browser, record)

    assert re.fullmatch(r"(about )?\d.* at the speed so far, if the LMS does not limit it", text)


async def test_a_time_by_a_known_limit_is_stated_alone(browser):
    quota = {**WINDOW, "frees": [now() + 50]}
    text = await time_left_of(browser, {"rate": 1 / 60, "is_settled": True, "quotas": [quota]})

    assert re.fullmatch(r"about [\d a-z]+", text)
    assert "speed" not in text


async def test_while_the_limit_is_searched_for_no_time_is_shown(browser):
    assert await time_left_of(browser, SEARCHED) == "not known yet: what the LMS allows is still being measured"


def test_the_bar_names_an_end_only_where_a_known_pace_says_it():
    unlimited = time_left_text(192, is_pace_known=False)
    assert unlimited == "0:03:12 left at the speed so far, if the LMS does not limit it"
    assert time_left_text(192, is_pace_known=True).startswith("done at about ")
