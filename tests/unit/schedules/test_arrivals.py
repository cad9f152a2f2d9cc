"""A roster that does not come is recorded once, and so is that it comes again."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import change_records, records_of
from tests.unit.schedules.test_due import ROSTER, a_schedule, look_twice
from worker.ledger import schedules, schema, sources
from worker.ledger.database import now
from worker.ledger.sources import RosterSource, SourceProblem
from worker.model import Actor, Driver
from worker.schedules import arrivals, cron, due, extra_run, manage
from worker.schedules.expectation import Expectation
from worker.settings import parse_expected_time

if TYPE_CHECKING:
    from pathlib import Path

    from worker.bootstrap import Services

HOUR = 3600.0


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    path = tmp_path / "hr.csv"
    path.write_text(ROSTER)
    os.utime(path, (now() - 30 * HOUR, now() - 30 * HOUR))
    return path


def recorded(services: Services) -> RosterSource:
    with services.ledger.read() as tx:
        (found,) = sources.all_sources(tx).values()
    return found


def run_again(services: Services) -> None:
    """Let the schedule be due once more."""
    change_records(services.ledger, schema.schedule, next_at=now() - 1)
    look_twice(services)


def check(services: Services, *, ago: float = 100.0, **changes: Any) -> RosterSource:
    """Check the sources, some time after the last check."""
    values = {"checked_at": now() - ago, "failing_at": now() - ago, **changes}
    change_records(services.ledger, schema.roster_source, **values)
    arrivals.check_schedules(services)
    return recorded(services)


@pytest.mark.parametrize(
    ("source", "changes", "problem"),
    [
        ("nowhere.csv", {}, SourceProblem.MISSING),
        ("folder:nowhere", {}, SourceProblem.MISSING),
        ("hr.csv/x.csv", {}, SourceProblem.UNREADABLE),
        ("sftp://user:secret@host/x.csv", {}, SourceProblem.UNREADABLE),
        ("hr.csv", {"connection": "west"}, SourceProblem.NOT_IMPORTED),
        ("hr.csv", {"missed": "skip", "next_at": now() - 5 * 86_400}, SourceProblem.MISSED),
    ],
)
def test_why_a_run_opened_no_job_is_recorded_as_one_problem(
    services: Services, roster: Path, source: str, changes: dict[str, Any], problem: SourceProblem
) -> None:
    a_schedule(services, source.replace("hr.csv", str(roster)), **changes)

    look_twice(services)
    first = recorded(services)
    look_twice(services)

    assert (first.problem, first.since) == (problem, recorded(services).since)
    assert first.reason == records_of(services.ledger, schema.schedule)[0].last_error
    assert "secret" not in first.reason


def test_a_file_that_comes_is_noticed_before_the_next_run_once_no_process_misses_it(
    services: Services, tmp_path: Path
) -> None:
    late = tmp_path / "late.csv"
    a_schedule(services, late)
    due.run_due(services)
    assert check(services).problem is SourceProblem.MISSING

    late.write_text(ROSTER)

    assert check(services, failing_at=now()).problem is SourceProblem.MISSING
    assert check(services).problem is None


def test_what_only_a_run_can_show_stays_until_one_opens_a_job(services: Services, roster: Path) -> None:
    a_schedule(services, roster, connection="west")
    due.run_due(services)
    run_again(services)
    assert check(services).problem is SourceProblem.NOT_IMPORTED

    change_records(services.ledger, schema.schedule, connection="north")
    run_again(services)

    assert (recorded(services).problem, recorded(services).connection) == (None, "north")


def test_a_file_that_did_not_change_since_the_last_run_is_a_problem_until_a_new_one_is_there(
    services: Services, roster: Path
) -> None:
    a_schedule(services, roster)
    look_twice(services)
    assert recorded(services).problem is None

    run_again(services)
    found = recorded(services)
    assert found.problem is SourceProblem.UNCHANGED
    assert found.reason.startswith(f"No new file since the last run: {roster} is from ")
    assert check(services).problem is SourceProblem.UNCHANGED

    roster.write_text(ROSTER * 2)
    assert check(services).problem is None


def test_a_person_who_runs_the_same_file_again_learns_nothing_new_from_a_message(
    services: Services, roster: Path
) -> None:
    a_schedule(services, roster)
    look_twice(services)

    extra_run.run_now(services, "nightly", Actor(name="ana"), Driver.QUEUE)
    assert recorded(services).problem is None

    run_again(services)
    extra_run.run_now(services, "nightly", Actor(name="ana"), Driver.QUEUE)
    assert recorded(services).problem is SourceProblem.UNCHANGED, "it is still the same file"


@pytest.mark.parametrize("changes", [{"ignore_unchanged": True}, {"expect_by": "07:00"}])
def test_an_unchanged_file_is_no_problem_any_more_once_the_schedule_says_so(
    services: Services, roster: Path, changes: dict[str, Any]
) -> None:
    a_schedule(services, roster)
    look_twice(services)
    run_again(services)

    manage.edit_schedule(services, "nightly", manage.ScheduleChanges(**changes), Actor(name="ana"))

    assert check(services).problem is None


@pytest.mark.parametrize("changes", [{"ignore_unchanged": True}, {"expect_by": "07:00"}])
def test_a_file_that_did_not_change_is_no_problem_for_who_says_so_or_expects_one_by_an_hour(
    services: Services, roster: Path, changes: dict[str, Any]
) -> None:
    a_schedule(services, roster, **changes)
    look_twice(services)

    run_again(services)

    assert recorded(services).problem is None


def test_the_newest_file_of_a_folder_is_a_new_one_when_its_name_is(services: Services, roster: Path) -> None:
    a_schedule(services, f"folder:{roster.parent}")
    look_twice(services)
    (roster.parent / "next.csv").write_text(ROSTER)

    run_again(services)

    assert recorded(services).problem is None


def expect(services: Services, roster: Path | str) -> None:
    """Let a schedule expect a file each day; the newest hour has passed a minute ago, and was not checked yet."""
    passed = now() - 60
    at = datetime.fromtimestamp(passed, UTC)
    a_schedule(services, roster, cron="0 2 * * *", expect_by=f"{at:%H:%M}", next_at=now() + HOUR)
    arrivals.check_schedules(services)
    change_records(services.ledger, schema.roster_source, deadline_at=passed)


def test_a_file_that_has_not_come_by_its_hour_is_late_until_it_comes(services: Services, roster: Path) -> None:
    expect(services, roster)
    change_records(services.ledger, schema.roster_source, seen_at=now() - 30 * HOUR)

    found = check(services)

    assert found.problem is SourceProblem.LATE
    assert "No new file has come by " in found.reason
    assert f"(UTC): {roster} is from " in found.reason
    assert (found.deadline_at or 0) > now()
    assert check(services).problem is SourceProblem.LATE
    run_again(services)
    assert recorded(services).problem is SourceProblem.LATE, "the old file was imported again"
    roster.write_text(ROSTER * 2)
    assert check(services).problem is None


def test_a_file_that_came_since_the_hour_of_the_day_before_is_not_late(services: Services, roster: Path) -> None:
    os.utime(roster, (now() - 2 * HOUR, now() - 2 * HOUR))
    expect(services, roster)
    change_records(services.ledger, schema.roster_source, seen_at=now() - 2 * HOUR)

    assert check(services).problem is None


def test_a_file_that_is_copied_with_its_old_time_has_come_when_it_was_first_seen(
    services: Services, roster: Path
) -> None:
    expect(services, roster)
    change_records(services.ledger, schema.roster_source, seen_at=now() - 30 * HOUR)
    copied = now() - 29 * HOUR
    roster.write_text(ROSTER * 2)
    os.utime(roster, (copied, copied))

    assert check(services).problem is None


def test_a_source_that_is_missing_at_its_hour_is_missing(services: Services) -> None:
    expect(services, "nowhere.csv")

    assert check(services).problem is SourceProblem.MISSING


def test_nothing_is_late_before_its_hour(services: Services, roster: Path) -> None:
    expect(services, roster)
    change_records(services.ledger, schema.roster_source, seen_at=now() - 30 * HOUR)

    assert check(services, deadline_at=now() + 60).problem is None


def test_another_source_of_the_same_schedule_is_compared_with_no_file_of_the_one_before(
    services: Services, roster: Path, tmp_path: Path
) -> None:
    a_schedule(services, roster)
    look_twice(services)
    other = tmp_path / "other.csv"
    other.write_text(ROSTER)
    change_records(services.ledger, schema.schedule, source=str(other))

    run_again(services)

    assert recorded(services).problem is None


def test_of_a_schedule_that_is_paused_nothing_is_expected(services: Services) -> None:
    a_schedule(services, "nowhere.csv")
    due.run_due(services)
    change_records(services.ledger, schema.roster_source, notified_since=recorded(services).since)

    manage.pause_schedule(services, "nightly", Actor(name="ana"))

    assert check(services).problem is None
    with services.ledger.read() as tx:
        assert sources.to_notify(tx) == [], "it is not well again either"


def test_a_schedule_that_is_removed_is_forgotten_as_a_source(services: Services) -> None:
    a_schedule(services, "nowhere.csv")
    due.run_due(services)

    with services.ledger.write() as tx:
        assert schedules.remove(tx, "nightly")

        assert sources.all_sources(tx) == {}


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("07:00", "0 2 * * 1-5", "0 7 * * 1-5"),
        ("7:05", "@hourly", "5 7 * * *"),
        ("mon-fri 07:00", "0 2 * * *", "0 7 * * MON-FRI"),
        ("23:59", "@monthly", "59 23 1 * *"),
    ],
)
def test_a_file_is_expected_on_the_days_that_are_named_or_else_on_those_of_the_schedule(
    text: str, line: str, expected: str
) -> None:
    assert cron.deadline_line(parse_expected_time(text), line) == expected


@pytest.mark.parametrize("text", ["7", "25:00", "07:60", "someday 07:00", "07:00 mon", "fri-mon 07:00", ""])
def test_what_is_no_time_by_which_a_file_can_be_expected_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="write 07:00"):
        parse_expected_time(text)


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2026-03-28", 23), ("2026-10-24", 25), ("2026-06-01", 24)],
)
def test_the_hour_by_which_a_file_must_come_follows_daylight_saving(day: str, hours: int) -> None:
    first = datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()
    expected = Expectation(line="0 7 * * *", zone="Europe/Dublin")

    following = cron.next_run(expected.line, expected.zone, first)

    assert following - cron.previous_run(expected.line, expected.zone, following) == hours * HOUR
    assert "by 07:00 (Europe/Dublin)" in expected.late_text(following)
