"""The files of a report for download: as they were filed, or written now when the job has changed since."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.background import BackgroundTask
from starlette.responses import FileResponse

from worker.intake.accept import own_folder
from worker.intake.storage import is_address
from worker.jobs import reporting
from worker.reports import gather
from worker.reports.kinds import ReportKind, file_name
from worker.web.problems import Problem
from worker.web.summaries import job_of

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.ledger.jobs import Job

#: What may differ though the job stands as it stood.
_PASSING = {"reports", "duration_seconds"}
#: One report of a job is written at a time.
_turns = tuple(threading.Lock() for _ in range(16))


def report(services: Services, job_id: int, kind: ReportKind) -> FileResponse:
    """Return one file of a job's report.

    Raises UnknownJob; Problem 404 when the job has no such file: no rows, none that failed, or they were purged.
    """
    with services.ledger.read() as tx:
        job = job_of(tx, job_id)
        summary = gather.summarise(tx, job)
    if job.purged_at is not None:
        raise Problem(404, f"The rows of job {job_id} were purged; its counts are in its summary")
    if not summary.total:
        raise Problem(404, f"Job {job_id} has no rows to report")
    if is_address(services.store):
        return _written_now(services, job, kind)
    folder = own_folder(services.files, job_id)
    file = folder / file_name(job.roster, kind)
    with _turns[job_id % len(_turns)]:
        if not _stands(folder, job, summary.to_json()):
            reporting.write_into(services.ledger, job, folder)
    if not file.is_file():
        raise Problem(404, f"Job {job_id} has no rows that failed")
    return FileResponse(file, media_type=kind.media_type, filename=file.name)


def _written_now(services: Services, job: Job, kind: ReportKind) -> FileResponse:
    """Return a file of the report, written for this download alone: this machine keeps none."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="roster-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        reporting.write_into(services.ledger, job, folder)
        file = folder / file_name(job.roster, kind)
        if not file.is_file():
            raise Problem(404, f"Job {job.id} has no rows that failed")
        forget = BackgroundTask(stack.pop_all().close)
    return FileResponse(file, media_type=kind.media_type, filename=file.name, background=forget)


def _stands(folder: Path, job: Job, now: dict[str, Any]) -> bool:
    """Tell whether the files in a folder are of the job as it stands."""
    try:
        filed = json.loads((folder / file_name(job.roster, ReportKind.SUMMARY)).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return job.has_ended and _lasting(filed) == _lasting(json.loads(json.dumps(now)))


def _lasting(summary: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in summary.items() if name not in _PASSING}
