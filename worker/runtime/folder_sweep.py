"""Open the jobs of files in drop folders that have stopped growing; archive files of ended jobs that were left."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from worker.errors import LedgerError, NothingSent, RosterError
from worker.folders import archive, watch
from worker.intake.accept import Origin
from worker.jobs import advance, submission
from worker.ledger import dropped_files, jobs
from worker.ledger.database import now
from worker.ledger.sources import SourceProblem
from worker.model import Driver
from worker.runtime import folder_state
from worker.runtime.folder_state import FolderState
from worker.safe_errors import location_of, log_and_continue

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.bootstrap import Services
    from worker.jobs.submission import Submission
    from worker.ledger.database import Transaction
    from worker.ledger.queue import TaskMessage
    from worker.ledger.transactions import Ledger
    from worker.runtime.process import WorkerProcess
    from worker.settings import Connection, Folder

log = structlog.get_logger("roster")


def open_jobs(process: WorkerProcess) -> None:
    """Open the jobs of complete files, folder by folder; a folder that cannot be reached stops no other one."""
    for folder in process.services.settings.watched:
        try:
            state = _open_jobs_in(process, folder)
        except LedgerError as error:
            log.warning("drop folder skipped", folder=folder.name, reason=type(error).__name__)
            continue
        except Exception as error:  # noqa: BLE001 - whatever it is, the other folders are checked
            reason = f"An unexpected error ({location_of(error)}); the log of Roster has it"
            state = FolderState(problem=SourceProblem.NOT_IMPORTED, reason=reason)
        if state.problem is None:
            process.clear_warning(f"folder {folder.name}")
        else:
            values = {"folder": folder.name, "problem": state.problem.value}
            is_skipped = state.problem is not SourceProblem.NOT_IMPORTED
            what = "drop folder skipped" if is_skipped else "a drop folder has files that are not imported"
            process.warn_once(f"folder {folder.name}", what, **values)
        with log_and_continue("state of a drop folder", folder=folder.name):
            folder_state.record_state(process.services, folder, state)


def _open_jobs_in(process: WorkerProcess, folder: Folder) -> FolderState:
    """Open the jobs of a folder's complete files. Return what is wrong with it. Raises LedgerError."""
    ledger = process.ledger
    try:
        connection = process.services.connection(folder.connection)
        scan = watch.scan_folder(Path(folder.path))
    except OSError as error:
        return folder_state.problem_of_folder(folder, error)
    except NothingSent as error:
        return FolderState(problem=SourceProblem.NOT_IMPORTED, reason=str(error))
    if scan.others:
        files = len(scan.others)
        process.warn_once(f"others {folder.name}", "not a roster, left in place", folder=folder.name, files=files)
    failures: list[str] = []
    for drop in [*watch.find_claimed(ledger, folder.name), *_whole(ledger, folder, scan)]:
        try:
            submitted = _submit(process, folder, connection, drop)
        except (RosterError, OSError) as error:
            process.warn_once(
                f"drop {drop.id}", "file not imported yet", folder=folder.name, reason=type(error).__name__
            )
            if not isinstance(error, LedgerError):
                failures.append(f"{drop.name} could not be imported: {_cause(error)}")
            continue
        if submitted is not None:
            job_id, duplicate = submitted.job_id, submitted.duplicate
            log.info("file imported", folder=folder.name, job=job_id, duplicate=duplicate)
    return folder_state.state_of(folder, scan, failures)


def _cause(error: RosterError | OSError) -> str:
    return str(error) if isinstance(error, RosterError) else error.strerror or type(error).__name__


def _submit(
    process: WorkerProcess, folder: Folder, connection: Connection, drop: dropped_files.DroppedFile
) -> Submission | None:
    claimed = (
        drop if drop.state is dropped_files.DroppedFileState.CLAIMED else watch.claim_file(process.ledger, drop)
    )
    if claimed is None:
        return None
    return watch.submit_claimed(
        process.ledger, claimed, folder.settle_seconds, partial(submit_file, process.services, folder, connection)
    )


def submit_file(
    services: Services,
    folder: Folder,
    connection: Connection,
    path: Path,
    record: Callable[[Transaction, int], None],
) -> Submission:
    """Open the job of a claimed file of a folder; its reports go next to the file."""
    return submission.submit(
        services,
        path,
        name=path.name,
        connection=connection,
        options=watch.options_of_folder(folder),
        report_dir=path.parent,
        origin=Origin(channel=f"folder:{folder.name}", driver=Driver.QUEUE),
        record=lambda tx, submitted: record(tx, submitted.job_id),
    )


def _whole(ledger: Ledger, folder: Folder, scan: watch.FolderScan) -> list[dropped_files.DroppedFile]:
    """Record the files of a folder and return the complete ones; an empty folder costs no write."""
    if not scan.files:
        with ledger.read() as tx:
            if not dropped_files.files_in(tx, folder.name, dropped_files.DroppedFileState.SEEN):
                return []
    with ledger.write() as tx:
        return watch.find_complete(tx, folder.name, scan.files, folder.settle_seconds)


def archive_leftovers(process: WorkerProcess) -> list[TaskMessage]:
    """Archive the files of ended jobs that are still in the folder; return the messages for their reports."""
    with process.ledger.read() as tx:
        ended = [jobs.find_job(tx, job_id) for job_id in dropped_files.jobs_to_archive(tx)]
    messages: list[TaskMessage] = []
    for job in ended:
        if job is None or not _was_left(job):
            continue
        archive.archive_files(process.ledger, job)
        with process.ledger.write() as tx:
            if all(
                drop.state is dropped_files.DroppedFileState.ENDED
                for drop in dropped_files.files_of_job(tx, job.id)
            ):
                messages += advance.enqueue_report(tx, job.id, now())
    return messages


def _was_left(job: jobs.Job) -> bool:
    """Return whether its reports were written without its file, or no worker is going to write them."""
    return job.reported_at is not None or job.driver is Driver.PROCESS
