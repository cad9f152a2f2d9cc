"""Drop folders and schedules on both databases: processes claim each file, and each run, once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import a_connection, change_records, raw_connection, records_of
from tests.unit.schedules.test_due import ROSTER, a_schedule
from worker.bootstrap import Services
from worker.errors import StaleClaim
from worker.folders import archive
from worker.folders import watch as drop_folder
from worker.ledger import jobs, schema
from worker.ledger.database import now, open_engine
from worker.ledger.transactions import Ledger
from worker.model import JobState
from worker.runtime import folder_sweep
from worker.schedules import due
from worker.settings import Folder, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROCESSES, FILES = 4, 12


@pytest.fixture
def ledgers(ledger_url: str) -> Iterator[list[Ledger]]:
    opened = [Ledger(open_engine(ledger_url)) for _ in range(PROCESSES)]
    yield opened
    for ledger in opened:
        ledger.close()


def together(ledgers: list[Ledger], work: Any) -> list[Any]:
    with ThreadPoolExecutor(len(ledgers)) as pool:
        return list(pool.map(work, ledgers))


def test_processes_that_scan_a_folder_at_the_same_moment_claim_each_file_once(
    ledgers: list[Ledger], tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for number in range(FILES):
        (inbox / f"r{number}.csv").write_text(f"email,course_id\na{number}@example.org,58\n")
    folder = Folder(name="inbox", path=str(inbox), settle_seconds=0)

    def watch(ledger: Ledger) -> None:
        with ledger.write() as tx:
            complete = drop_folder.find_complete(tx, "inbox", drop_folder.scan_folder(inbox).files, 0)
        claimed = [owned for file in complete if (owned := drop_folder.claim_file(ledger, file))]
        for file in [*claimed, *drop_folder.find_claimed(ledger, "inbox")]:
            services = Services(settings=Settings(files=str(tmp_path / "files")), ledger=ledger, owner="here/1/1.0")
            submit = partial(folder_sweep.submit_file, services, folder, a_connection("tahdah"))
            drop_folder.submit_claimed(ledger, file, folder.settle_seconds, submit)

    together(ledgers, watch)

    opened = records_of(ledgers[0], schema.job)
    assert sorted(job.roster for job in opened) == sorted(f"r{number}.csv" for number in range(FILES))
    assert sorted(os.listdir(inbox / "processing")) == sorted(job.roster for job in opened)  # noqa: PTH208

    change_records(ledgers[0], schema.job, state=JobState.SUCCEEDED)

    def end(ledger: Ledger) -> None:
        for record in opened:
            with ledger.read() as tx:
                job = jobs.find_job(tx, record.id)
            assert job is not None
            assert archive.archive_files(ledger, job).report_dir == str(inbox / "done")

    together(ledgers, end)

    assert sorted(os.listdir(inbox / "done")) == sorted(job.roster for job in opened)  # noqa: PTH208
    assert {job.report_dir for job in records_of(ledgers[0], schema.job)} == {str(inbox / "done")}
    assert {file.state for file in records_of(ledgers[0], schema.dropped_file)} == {"ended"}


def test_processes_that_run_a_schedule_at_the_same_moment_open_one_job(
    ledgers: list[Ledger], tmp_path: Path
) -> None:
    (tmp_path / "hr.csv").write_text(ROSTER)
    settings = Settings(
        files=str(tmp_path / "files"), connections={"north": raw_connection("tahdah", "http://127.0.0.1:9")}
    )
    first = Services(settings=settings, ledger=ledgers[0], owner="one")
    run = a_schedule(first, tmp_path / "hr.csv", next_at=now() - 1)

    def open_job(ledger: Ledger) -> bool:
        try:
            due._open_job(replace(first, ledger=ledger), run)
        except StaleClaim:
            return False
        return True

    assert sum(together(ledgers, open_job)) == 1
    assert len(records_of(ledgers[0], schema.job)) == 1
