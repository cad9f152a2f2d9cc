"""A drop folder that cannot be used, or to which no file comes, is recorded once for all processes."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import change_records, open_ledger, raw_connection
from worker.bootstrap import Services
from worker.ledger import schema, sources
from worker.ledger.database import now
from worker.ledger.leases import owner_name
from worker.ledger.sources import RosterSource, SourceProblem
from worker.runtime import folder_sweep
from worker.runtime.process import WorkerProcess
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROSTER = "email,first_name,last_name,course_id\nana@example.org,Ana,Ní,58\n"


class Office:
    """A drop folder and the processes that watch it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.inbox = folder / "inbox"
        self.inbox.mkdir()
        self.ledger = open_ledger(folder)
        table = {"path": str(self.inbox), "connection": "north", "settle_seconds": 0, "zone": "UTC", **options}
        settings = Settings(
            files=str(folder / "files"),
            connections={"north": raw_connection("tahdah", "http://127.0.0.1:9")},
            folders={"inbox": table},
        )
        services = Services(settings=settings, ledger=self.ledger, owner=owner_name())
        self.processes = [WorkerProcess(services) for _ in range(2)]

    def sweep(self, *, ago: float = 100.0) -> RosterSource | None:
        """Let both processes check the folder, some time after the last check; return what is recorded."""
        change_records(self.ledger, schema.roster_source, checked_at=now() - ago, failing_at=now() - ago)
        for process in self.processes:
            folder_sweep.open_jobs(process)
        with self.ledger.read() as tx:
            return sources.find(tx, "folder:inbox")


@contextmanager
def an_office(folder: Path, **options: Any) -> Iterator[Office]:
    office = Office(folder, **options)
    try:
        yield office
    finally:
        for process in office.processes:
            process.close_connections()
        office.ledger.close()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with an_office(tmp_path) as opened:
        yield opened


def problem(recorded: RosterSource | None) -> SourceProblem | None:
    assert recorded is not None
    return recorded.problem


def test_a_folder_without_files_and_without_a_problem_costs_no_record(office: Office) -> None:
    assert office.sweep() is None


def test_a_folder_that_is_away_is_one_problem_until_it_is_back(office: Office) -> None:
    away = office.inbox.rename(office.inbox.with_name("unmounted"))
    first = office.sweep()
    assert problem(first) is SourceProblem.MISSING
    again = office.sweep()
    assert first is not None
    assert again is not None
    assert (again.since, again.reason) == (
        first.since,
        f"{office.inbox} does not exist, or its share is not mounted",
    )

    away.rename(office.inbox)

    assert problem(office.sweep(ago=1.0)) is SourceProblem.MISSING, "another process may still miss it"
    assert problem(office.sweep()) is None


def test_a_path_that_is_no_folder_cannot_be_read(office: Office) -> None:
    office.inbox.rmdir()
    office.inbox.write_text("a file")

    assert problem(office.sweep()) is SourceProblem.UNREADABLE


def test_a_folder_in_which_files_cannot_be_moved_says_so_before_one_comes(office: Office) -> None:
    (office.inbox / "processing").symlink_to(office.inbox.parent)

    recorded = office.sweep()

    assert problem(recorded) is SourceProblem.NOT_WRITABLE
    assert recorded is not None
    place = office.inbox / "processing"
    assert recorded.reason == f"{place} is a link, to which no file is moved; replace it with a folder"


def test_a_file_for_which_no_job_can_be_opened_is_a_problem_until_one_is(office: Office) -> None:
    files = office.inbox.parent / "files"
    files.write_text("no folder")
    (office.inbox / "spring.csv").write_text(ROSTER)
    office.sweep()
    recorded = office.sweep()
    assert problem(recorded) is SourceProblem.NOT_IMPORTED
    assert recorded is not None
    assert recorded.reason.startswith("spring.csv could not be imported: ")

    files.unlink()

    office.sweep()
    assert problem(office.sweep()) is None


def test_a_folder_to_which_no_file_has_come_by_its_hour_is_late_until_one_comes(tmp_path: Path) -> None:
    passed = datetime.fromtimestamp(now() - 60, UTC)
    with an_office(tmp_path, expect_by=f"{passed:%H:%M}") as office:
        office.sweep()
        change_records(office.ledger, schema.roster_source, deadline_at=passed.timestamp())
        recorded = office.sweep()
        assert problem(recorded) is SourceProblem.LATE
        assert recorded is not None
        assert recorded.reason == f"No new file has come by {passed:%H:%M} (UTC)"

        (office.inbox / "spring.csv").write_text(ROSTER)

        assert problem(office.sweep()) is None
        change_records(office.ledger, schema.roster_source, deadline_at=now() - 1)
        assert problem(office.sweep()) is None
