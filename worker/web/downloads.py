"""Download the files of a report, written again first when the job has changed since."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from starlette.background import BackgroundTask
from starlette.responses import FileResponse

from worker.intake.accept import report_folder
from worker.intake.storage import is_address
from worker.jobs import reporting
from worker.ledger import relations
from worker.private_files import scratch_folder
from worker.reports import gather
from worker.reports.audience import Audience
from worker.reports.kinds import ReportKind, file_name
from worker.reports.wording import for_api, for_page
from worker.web.problems import HttpProblem
from worker.web.summaries import job_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.ledger.jobs import Job

#: The file beside a report that says of which outcomes it is, and for whom.
_VERSION_FILE = "outcomes.txt"
#: The cookie in which the page's script keeps the name of the browser's time zone, and how long a name may be.
ZONE_COOKIE, _MAX_ZONE = "roster_zone", 64
#: Keys of a summary that may change though the job has not.
_VOLATILE_KEYS = {"reports", "duration_seconds"}


def audience_of(request: Request) -> Audience:
    """Return for whom a report is downloaded: a person at the page, in their time zone, or a client of the API."""
    if request.state.caller.uses_api_token:
        return Audience(reworded=for_api)
    return Audience(reworded=for_page, zone=_zone(request.cookies.get(ZONE_COOKIE, "")))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name if len(name) <= _MAX_ZONE else "")
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return ZoneInfo("UTC")


def report(services: Services, job_id: int, kind: ReportKind, audience: Audience) -> FileResponse:
    """Return one file of a job's report; the caller lets one thread at a time do so for a job.

    Raises UnknownJob; HttpProblem 404 when there is no such file: no rows, no failed rows, or the job was purged.
    """
    with services.ledger.read() as tx:
        job = job_of(tx, job_id)
        summary = gather.summarise(tx, job)
        version = relations.newest_outcome(tx, job_id)
    if job.purged_at is not None:
        raise HttpProblem(
            404, f"The rows of job {job_id} were purged (retention period over); its summary still has the counts"
        )
    if not summary.total:
        raise HttpProblem(404, f"Job {job_id} has no rows to report")
    if is_address(services.store):
        return _write_for_download(services, job, kind, audience)
    folder = report_folder(services.files, job_id)
    file = folder / file_name(job.roster, kind)
    versions = [version, f"{audience.reworded.__name__} {audience.zone and audience.zone.key}"]
    # Only the workbook differs by whom it is for.
    needed = versions if kind is ReportKind.WORKBOOK else versions[:1]
    if not _is_current(folder, job, summary.to_json(), needed):
        reporting.write_into(services.ledger, job, folder, audience=audience)
        (folder / _VERSION_FILE).write_text("\n".join(versions), "utf-8")
    if not file.is_file():
        raise _no_file(job_id, kind)
    return FileResponse(file, media_type=kind.media_type, filename=file.name)


def _no_file(job_id: int, kind: ReportKind) -> HttpProblem:
    """Return the problem that a job has no rows for a file."""
    if kind is ReportKind.DIFFERS:
        return HttpProblem(404, f"Job {job_id} has no rows that were found to differ at the LMS")
    return HttpProblem(404, f"Job {job_id} has no rows that failed")


def _write_for_download(services: Services, job: Job, kind: ReportKind, audience: Audience) -> FileResponse:
    """Return a file of the report, written for this download only: reports are not stored on this machine."""
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder())
        reporting.write_into(services.ledger, job, folder, audience=audience)
        file = folder / file_name(job.roster, kind)
        if not file.is_file():
            raise _no_file(job.id, kind)
        cleanup = BackgroundTask(stack.pop_all().close)
    return FileResponse(file, media_type=kind.media_type, filename=file.name, background=cleanup)


def _is_current(folder: Path, job: Job, now: dict[str, Any], versions: list[str]) -> bool:
    """Return whether the files in a folder match the state of the job, the outcomes of its rows, and the reader."""
    try:
        if (folder / _VERSION_FILE).read_text("utf-8").split("\n")[: len(versions)] != versions:
            return False
        filed = json.loads((folder / file_name(job.roster, ReportKind.SUMMARY)).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return job.has_ended and _stable(filed) == _stable(json.loads(json.dumps(now)))


def _stable(summary: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in summary.items() if name not in _VOLATILE_KEYS}
