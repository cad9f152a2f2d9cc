"""Write the reports of a job to its report folder, or where this machine can, and next to its drop folder files."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from worker.addresses import masked
from worker.errors import RosterError, Unreachable
from worker.folders import archive, message_file
from worker.intake import storage
from worker.jobs import lifecycle
from worker.ledger import jobs, report_files
from worker.ledger.database import now
from worker.private_files import scratch_folder
from worker.reports import gather, write
from worker.reports.audience import COMMAND_LINE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from worker.folders.archive import FileLocation
    from worker.ledger.jobs import Job
    from worker.ledger.transactions import Ledger
    from worker.reports.audience import Audience
    from worker.reports.lines import Summary

log = structlog.get_logger("roster")


def write_job_reports(ledger: Ledger, job: Job, otherwise: Path | None = None) -> Summary:
    """Write the reports of a job as it is now and return its summary with their paths.

    They go to the job's own folder; where this machine cannot write there, into the folder `otherwise`, and the job
    remembers that. The files in drop folders of a job that has ended are archived first and get the reports next to
    them.
    Raises RosterError when neither can be written.
    """
    at = now()
    job = archive.archive_files(ledger, job)
    files = archive.file_locations(ledger, job)
    try:
        _refuse_unmounted(job, files)
        summary = write_to(ledger, job, job.report_dir)
    except Unreachable:
        raise
    except RosterError:
        if otherwise is None:
            raise
        summary = write_into(ledger, job, otherwise)
        if all(place.is_archived for place in files):
            with ledger.write() as tx:
                jobs.change_job(tx, job.id, report_dir=str(otherwise.absolute()))
    _write_next_to_files(ledger, job, files, summary)
    with ledger.write() as tx:
        jobs.change_job(tx, job.id, reported_at=at)
    return summary


def _refuse_unmounted(job: Job, files: Sequence[FileLocation]) -> None:
    for place in files:
        if place.is_unreachable and str(place.folder) == job.report_dir:
            raise RosterError(
                f"The reports could not be written to {place.folder}: it cannot be reached. The outcomes are safe "
                f"in the ledger; mount the share again and run `roster report {job.id}`."
            )


def _write_next_to_files(ledger: Ledger, job: Job, files: Sequence[FileLocation], summary: Summary) -> None:
    """Write the reports next to every file of the job in a drop folder, and a message next to those that failed."""
    for place in files:
        if place.is_unreachable:
            continue
        try:
            if (str(place.folder), place.name) != (job.report_dir, job.roster):
                write_into(ledger, replace(job, roster=place.name), place.folder)
            message_file.write_message(place.folder, place.name, summary)
        except (RosterError, OSError) as error:
            log.warning("reports not written next to the file", job=job.id, reason=type(error).__name__)


def write_to(ledger: Ledger, job: Job, place: str) -> Summary:
    """Write the reports of a job as it is now to a folder or an address; raises RosterError."""
    if not storage.is_address(place):
        return write_into(ledger, job, Path(place))
    with scratch_folder() as folder:
        summary = write_into(ledger, job, folder, shown=masked(place))
        files = {path.name: path for path in folder.iterdir()}
        for name, path in files.items():
            storage.put(path, storage.join_address(place, name))
    for name in write.report_file_names(job.roster):
        if name not in files:
            storage.remove(storage.join_address(place, name))
    return summary


def write_into(
    ledger: Ledger, job: Job, folder: Path, *, shown: str = "", audience: Audience = COMMAND_LINE
) -> Summary:
    """Write the reports of a job as it is now into a folder; raises RosterError when that fails.

    `shown` is where they will be in the end, when that is elsewhere. Counts and rows are of one moment, also those
    that depend on other jobs.
    """
    with ledger.read() as tx:
        job = replace(lifecycle.get_job(tx, job.id), roster=job.roster)
        return write.write_reports(
            folder,
            job.roster,
            job.headings,
            lambda: gather.report_lines(tx, job),
            gather.summarise(tx, job),
            shown=shown,
            audience=audience,
            earlier=None if shown or folder.name == str(job.id) else RecordedReports(ledger, job),
        )


@dataclass(frozen=True, slots=True)
class RecordedReports:
    """The reports in a folder that is not a job's own, as the ledger has recorded them."""

    ledger: Ledger
    job: Job

    @property
    def _key(self) -> str:
        return report_files.key_of(self.job.id, self.job.report_key)

    def may_go(self, path: Path) -> bool:
        """Return whether a file is as it was written, for the same roster and sheet; also when there is none."""
        try:
            digest = write.digest_of(path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        with self.ledger.read() as tx:
            return digest in report_files.known_digests(tx, str(path), self._key)

    @contextmanager
    def replacing(self, digests: Mapping[Path, str], removed: Sequence[Path]) -> Iterator[None]:
        """Record the digests of new files before they are moved into place, and forget the old ones after that."""
        new = {str(path): digest for path, digest in digests.items()}
        with self.ledger.write() as tx:
            report_files.add_digests(tx, self._key, new)
        yield
        with self.ledger.write() as tx:
            report_files.keep_only(tx, new, [str(path) for path in removed])
