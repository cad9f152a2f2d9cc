"""`roster status`, the page Connections and the metrics say how the pace is known, why, and until when it waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.builders import a_job_of, a_row, open_ledger, raw_connection
from worker import bootstrap
from worker.cli.show import show_status
from worker.jobs.estimate import calls_left, time_left
from worker.ledger import jobs, key_value
from worker.ledger.database import now
from worker.metrics import JobMetrics
from worker.settings import Settings
from worker.web.pages.connections import views_of
from worker.web.pages.job_view import view_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def services(tmp_path: Path) -> Iterator[bootstrap.Services]:
    ledger = open_ledger(tmp_path)
    settings = Settings(
        files=str(tmp_path / "files"), connections={"north": raw_connection("tahdah", "http://127.0.0.1:9")}
    )
    services = bootstrap.Services(settings=settings, ledger=ledger, owner="")
    quota = {"kind": "fixed", "limit": 1.0, "calls": 1.0, "seconds": 60.0, "refill": 0.0, "left": 0.0}
    with ledger.write() as tx:
        key = bootstrap.pace_key(services.connection("north"))
        key_value.put(
            tx,
            key,
            {
                "at": now(),
                "rate": 1 / 60,
                "is_sure": True,
                "most_at_once": 0,
                "not_before": 0,
                "quota_until": now() + 50,
                "quotas": [{**quota, "frees": [now() + 50]}],
            },
        )
    yield services
    ledger.close()


def test_it_is_told_wherever_a_person_asks(services, capsys):
    job_id = a_job_of(services.ledger, a_row(2), a_row(3), connection="north")

    show_status(services, job_id, watch=False, as_json=False)
    (view,) = views_of(services)
    metrics = {sample.name: sample for each in JobMetrics(services).collect() for sample in each.samples}

    printed = capsys.readouterr().out
    assert "Pace: named: the LMS states 1 call per minute\n" in printed
    assert "the limit that the LMS states is used up" in printed
    assert view.pace.text == "named: the LMS states 1 call per minute"
    assert metrics["roster_pace_source"].labels["source"] == "named"
    assert metrics["roster_pace_waits_until_seconds"].value == pytest.approx(now() + 50, abs=30)


def test_in_json_the_status_is_the_summary_alone(services, capsys):
    job_id = a_job_of(services.ledger, a_row(2), connection="north")

    show_status(services, job_id, watch=False, as_json=True)

    assert "Pace" not in capsys.readouterr().out


def test_the_time_left_is_whole_windows_and_the_rest(services):
    job_id = a_job_of(services.ledger, a_row(2), a_row(3), connection="north")
    with services.ledger.read() as tx:
        job = jobs.find_job(tx, job_id)
        left = calls_left(services, tx, job)
        ahead = time_left(services, tx, job, left)

    assert ahead.seconds == pytest.approx(50 + (left.most - 1) * 60, abs=30)


def test_while_a_pace_is_still_searched_for_no_time_left_is_told(services):
    job_id = a_job_of(services.ledger, a_row(2), a_row(3), connection="north")
    record = {"at": now(), "rate": 40.0, "is_sure": False, "is_settled": False, "most_at_once": 0, "quotas": []}
    with services.ledger.write() as tx:
        key_value.put(tx, bootstrap.pace_key(services.connection("north")), record)
    with services.ledger.read() as tx:
        job = jobs.find_job(tx, job_id)
        ahead = time_left(services, tx, job, calls_left(services, tx, job))
        view = view_of(services, tx, job)
    metrics = {sample.name: sample for each in JobMetrics(services).collect() for sample in each.samples}

    assert (ahead.rate, ahead.seconds) == (40.0, None)
    assert view.ahead == ahead
    assert view.seconds_left is None
    assert "roster_seconds_left" not in metrics
