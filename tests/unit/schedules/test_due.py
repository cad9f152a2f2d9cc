"""A due run opens one job, with concurrent and crashing sweeps; a run that fails records why."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import ELSEWHERE, change_records, records_of
from worker.errors import StaleClaim
from worker.intake.options import Options
from worker.ledger import jobs, schedules, schema
from worker.ledger.database import now
from worker.model import JobState
from worker.schedules import due
from worker.schedules.due import GRACE_SECONDS, SETTLE_SECONDS, run_due

if TYPE_CHECKING:
    from pathlib import Path

    from worker.bootstrap import Services
    from worker.ledger.schedules import Schedule

ROSTER = "email,first_name,last_name,course_id\nana@example.org,Ana,Ní,58\n"


def a_schedule(services: Services, source: Path | str, **changes: Any) -> Schedule:
    values = {
        "name": "nightly",
        "cron": "0 2 * * *",
        "zone": "UTC",
        "source": str(source),
        "connection": "north",
        "options": asdict(Options()),
        "missed": "once",
        "next_at": now() - 1,
        "report_dir": "reports",
    }
    with services.ledger.write() as tx:
        schedules.add(tx, **{**values, **changes})
    return the(services)


def the(services: Services) -> Schedule:
    with services.ledger.read() as tx:
        (found,) = schedules.list_schedules(tx)
    return found


def look_twice(services: Services) -> None:
    """Look, let the file settle, look again."""
    run_due(services)
    found = the(services)
    if found.last_seen_file is not None:
        change_records(
            services.ledger,
            schema.schedule,
            last_seen_file={**found.last_seen_file, "at": now() - SETTLE_SECONDS - 1},
        )
    run_due(services)


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    path = tmp_path / "hr.csv"
    path.write_text(ROSTER)
    return path


def test_a_due_run_opens_a_job_and_the_next_one_is_due_later(services: Services, roster: Path) -> None:
    a_schedule(services, roster)

    look_twice(services)
    look_twice(services)

    (job,) = records_of(services.ledger, schema.job)
    assert (job.origin, job.driver, job.state, job.roster) == ("schedule:nightly", "queue", "uploaded", "hr.csv")
    assert the(services).next_at > now()
    assert (the(services).last_job_id, the(services).last_error) == (job.id, "")


def test_a_file_that_still_grows_is_waited_for(services: Services, roster: Path) -> None:
    a_schedule(services, roster)
    run_due(services)
    roster.write_text(ROSTER * 2)
    run_due(services)
    run_due(services)
    assert records_of(services.ledger, schema.job) == []

    look_twice(services)

    assert len(records_of(services.ledger, schema.job)) == 1


def test_a_run_fails_when_its_file_never_stops_growing(services: Services, roster: Path) -> None:
    a_schedule(services, roster)
    run_due(services)
    change_records(
        services.ledger,
        schema.schedule,
        last_seen_file={**(the(services).last_seen_file or {}), "first": now() - 3600},
    )
    roster.write_text(ROSTER * 2)

    run_due(services)

    assert "was still growing after 10 minutes" in the(services).last_error
    assert the(services).next_at > now()


def test_one_of_two_processes_that_run_a_schedule_opens_the_job(services: Services, roster: Path) -> None:
    run = a_schedule(services, roster)

    due._open_job(services, run)
    with pytest.raises(StaleClaim):
        due._open_job(services, run)
    roster.write_text(ROSTER * 2)
    with pytest.raises(StaleClaim):
        due._open_job(services, run)

    assert len(records_of(services.ledger, schema.job)) == 1


def test_a_run_that_another_process_fetches_is_left_to_it_and_taken_over_when_it_dies(
    services: Services, roster: Path
) -> None:
    run = a_schedule(services, roster)
    with services.ledger.write() as tx:
        assert schedules.claim(tx, run, ELSEWHERE)

    look_twice(services)
    assert records_of(services.ledger, schema.job) == []
    change_records(services.ledger, schema.schedule, lease_until=now() - 1)
    look_twice(services)

    assert len(records_of(services.ledger, schema.job)) == 1


@pytest.mark.parametrize(("missed", "count"), [("once", 1), ("skip", 0)])
def test_a_run_that_was_missed_is_caught_up_once_or_skipped(
    services: Services, roster: Path, missed: str, count: int
) -> None:
    a_schedule(services, roster, missed=missed, next_at=now() - 5 * 86_400)

    for _ in range(3):
        look_twice(services)

    assert len(records_of(services.ledger, schema.job)) == count
    assert the(services).next_at > now()
    assert ("missed" in the(services).last_error) == (missed == "skip")


def test_a_run_that_is_a_little_late_was_not_missed(services: Services, roster: Path) -> None:
    a_schedule(services, roster, missed="skip", next_at=now() - GRACE_SECONDS / 2)

    look_twice(services)

    assert len(records_of(services.ledger, schema.job)) == 1


@pytest.mark.parametrize(
    ("source", "changes", "said"),
    [
        ("nowhere.csv", {}, "does not exist"),
        ("folder:nowhere", {}, "does not exist"),
        ("sftp://user:secret@host/x.csv", {}, "paramiko"),
        ("hr.csv", {"connection": "west"}, "no connection 'west'"),
    ],
)
def test_a_run_that_fails_records_why_and_the_next_one_is_due(
    services: Services, roster: Path, source: str, changes: dict[str, Any], said: str
) -> None:
    a_schedule(services, roster if source == "hr.csv" else source, **changes)

    look_twice(services)

    assert said in the(services).last_error
    assert "secret" not in the(services).last_error
    assert the(services).next_at > now()
    assert records_of(services.ledger, schema.job) == []


def test_one_schedule_that_fails_stops_no_other_one(services: Services, roster: Path) -> None:
    a_schedule(services, "nowhere.csv", next_at=now() - 10)
    with services.ledger.write() as tx:
        second = replace(the_named(services, "nightly"), name="hourly", source=str(roster))
        values = {key: value for key, value in asdict(second).items() if key != "id"}
        schedules.add(tx, **values)

    run_due(services)
    with services.ledger.read() as tx:
        hourly = schedules.find(tx, "hourly")
    assert hourly is not None
    assert hourly.last_seen_file is not None


def the_named(services: Services, name: str) -> Schedule:
    with services.ledger.read() as tx:
        found = schedules.find(tx, name)
    assert found is not None
    return found


def test_the_newest_file_of_a_folder_stays_where_it_is(services: Services, roster: Path) -> None:
    a_schedule(services, f"folder:{roster.parent}")

    look_twice(services)

    assert records_of(services.ledger, schema.job)[0].roster == "hr.csv"
    assert roster.exists()


def test_a_roster_whose_job_waits_for_a_person_opens_no_other_one_and_says_so(
    services: Services, roster: Path
) -> None:
    a_schedule(services, roster)
    look_twice(services)
    (job,) = records_of(services.ledger, schema.job)
    with services.ledger.write() as tx:
        jobs.change_job(tx, job.id, state=JobState.HELD, reason="refused", report_dir="elsewhere")
    change_records(services.ledger, schema.schedule, next_at=now() - 1)

    look_twice(services)

    assert f"`roster resume {job.id}`" in the(services).last_error
    (job,) = records_of(services.ledger, schema.job)
    assert job.report_dir == "elsewhere"
