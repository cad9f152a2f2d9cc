"""The endpoints of the API; `routes.py` has their paths."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import to_thread
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from worker import control, lms
from worker.control import JobAction
from worker.errors import RosterError, SettingsError, UnknownJob, UsageError
from worker.intake.accept import precheck
from worker.jobs.resolve import Resolution
from worker.model import Role
from worker.reports.wording import for_api
from worker.web import auth, csrf, downloads, limits, schemas, uploads
from worker.web.auth import require_role
from worker.web.caller import actor_of, record
from worker.web.disconnects import while_connected
from worker.web.forms import FLAGS, JobRequest, parse_fields
from worker.web.problems import HttpProblem
from worker.web.summaries import MAX_ID, summaries, summary_of
from worker.web.uploads import Upload, receive_upload

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.model import Actor
    from worker.reports.kinds import ReportKind
    from worker.web.auth import Endpoint
    from worker.web.events import ProgressFeed
    from worker.web.slots import Slots

#: Rosters up to this size are opened before the response, so that a wrong heading is reported at once (bytes).
PRECHECK_BYTES = 5 * 1024 * 1024
DEFAULT_LIMIT, MAX_LIMIT = 100, 1_000
#: The folder below `files` of uploads whose job is not open yet.
UPLOADS = "uploads"


@require_role(Role.OPERATOR, upload=True)
async def open_job(request: Request) -> Response:
    """Upload a roster and open its job."""
    services = services_of(request)
    limit = services.settings.serve.max_upload_mb * 1024 * 1024
    upload = await receive_upload(request, into=services.files / UPLOADS, limit=limit)
    try:
        async with request.app.state.heavy:
            job_id = await run_in_threadpool(_open_job, services, actor_of(request), upload)
    finally:
        await run_in_threadpool(upload.discard)
    return JSONResponse({"id": job_id}, 202, {"Location": f"/api/jobs/{job_id}"})


def _open_job(services: Services, actor: Actor, upload: Upload) -> int:
    job_request = parse_options(services, actor, upload)
    if upload.path.stat().st_size <= PRECHECK_BYTES:
        try:
            precheck(upload.path, job_request.options, name=upload.name)
        except UsageError as error:
            raise HttpProblem(422, str(error)) from None
    return uploads.submit_upload(services, actor, upload, job_request, origin="api").job_id


def parse_options(services: Services, actor: Actor, upload: Upload) -> JobRequest:
    """Return the job that the fields of an upload request. Raises HttpProblem 422."""
    try:
        return parse_fields(services, upload.fields, by=actor)
    except (UsageError, SettingsError) as error:
        raise HttpProblem(422, str(error)) from None


@require_role(Role.VIEWER)
async def list_jobs(request: Request) -> Response:
    """List the jobs, newest first."""
    limit = _query_number(request, "limit", maximum=MAX_LIMIT) or DEFAULT_LIMIT
    before = _query_number(request, "before", maximum=MAX_ID)
    listed = await run_in_threadpool(summaries, services_of(request), limit, before)
    further = f'</api/jobs?limit={limit}&before={listed[-1]["job"]}>; rel="next"' if len(listed) == limit else ""
    return JSONResponse(listed, headers={"Link": further} if further else {})


@require_role(Role.VIEWER)
async def show_job(request: Request) -> Response:
    """Return the summary of a job."""
    return JSONResponse(await run_in_threadpool(summary_of, services_of(request), job_id_of(request)))


@require_role(Role.VIEWER)
async def stream_events(request: Request) -> Response:
    """Stream the progress of a job until it has ended, is paused or is held."""
    feed: ProgressFeed = request.app.state.progress_feed
    services, local_access = services_of(request), request.app.state.local_access
    return await feed.stream(job_id_of(request), auth.viewer_of(services, local_access, request))


@require_role(Role.VIEWER)
async def summary_file(request: Request) -> Response:
    """Download the summary as a file."""
    summary = await run_in_threadpool(summary_of, services_of(request), job_id_of(request))
    name = f"job-{summary['job']}.summary.json"
    text = json.dumps(summary, ensure_ascii=False, indent=2)
    return Response(text, 200, {"Content-Disposition": f'attachment; filename="{name}"'}, "application/json")


def report_file(kind: ReportKind) -> Endpoint:
    """Return the endpoint of one file of the report."""

    @require_role(Role.VIEWER)
    async def give(request: Request) -> Response:
        job_id = job_id_of(request)
        audience = downloads.audience_of(request)
        make = functools.partial(downloads.report, services_of(request), job_id, kind, audience)
        slots: Slots = request.app.state.slots
        answer = await while_connected(request, slots.downloads.run(request.state.caller.name, job_id, make))
        await record(request, "download", job_id=job_id, detail=str(kind))
        return answer

    give.__doc__ = f"Download {kind} of the report."
    return give


def change_job(action: JobAction) -> Endpoint:
    """Return the endpoint of one action on a job."""

    @require_role(Role.OPERATOR)
    async def do(request: Request) -> Response:
        services = services_of(request)
        job_id, actor = job_id_of(request), actor_of(request)
        wanted: dict[str, Any] = {}
        if action is JobAction.RETRY:
            wanted["rejected"] = (await _read_fields(request, schemas.RetryRequest)).rejected
        elif action is JobAction.RESUME:
            wanted["course"] = (await _read_fields(request, schemas.ResumeRequest)).course
        result = await run_in_threadpool(control.perform, services, action, job_id, actor=actor, **wanted)
        summary = await run_in_threadpool(summary_of, services, result.job_id)
        return JSONResponse(summary, 200, {"Location": f"/api/jobs/{result.job_id}"})

    do.__doc__ = _ACTION_SUMMARIES[action]
    return do


Fields = TypeVar("Fields", schemas.RetryRequest, schemas.ResumeRequest)
_FIELD_HINTS: dict[type[schemas.RetryRequest | schemas.ResumeRequest], str] = {
    schemas.RetryRequest: "rejected: write true or false; there is no other field",
    schemas.ResumeRequest: "course: write a course as text; there is no other field",
}


async def _read_fields(request: Request, model: type[Fields]) -> Fields:
    """Return the fields of an action: in a JSON body, a form, or the query. Raises HttpProblem 422."""
    fields: dict[str, Any]
    try:
        if limits.media_type_of(request) == "application/json":
            fields = await request.json()
        else:
            texts = {**request.query_params, **await limits.read_form(request)}
            fields = {name: str(text).strip() for name, text in texts.items() if name != csrf.FIELD}
            if "rejected" in fields:
                # A form and a query have texts; JSON has values of its own.
                fields["rejected"] = FLAGS.get(fields["rejected"].lower(), fields["rejected"])
        return model.model_validate(fields)
    except ValidationError:
        raise HttpProblem(422, _FIELD_HINTS[model]) from None
    except (ValueError, RecursionError):
        raise HttpProblem(400, "The body is not valid JSON") from None


_ACTION_SUMMARIES = {
    JobAction.PAUSE: "Pause a job: calls in progress finish, nothing more is sent.",
    JobAction.RESUME: "Resume a job that stopped; with `course` on another course, for the rows that are not done.",
    JobAction.CANCEL: "Cancel a job: calls in progress finish, the remaining rows are not sent.",
    JobAction.RETRY: "Send the rows that were never sent; with `rejected` also those that the LMS rejected.",
    JobAction.UNDO: "Withdraw the registrations of a job, in a separate job whose summary is returned.",
}


@require_role(Role.OPERATOR)
async def resolve_row(request: Request) -> Response:
    """Resolve a row in doubt by what you found at the LMS."""
    services, job_id, row = services_of(request), job_id_of(request), int(request.path_params["row"])
    found = await _read_resolution(request)
    if row > MAX_ID:
        raise HttpProblem(404, f"Job {job_id} has no row {row}")
    answer = Resolution(**found.model_dump())
    save = functools.partial(control.resolve, services, job_id, row, answer, actor=actor_of(request))
    await to_thread.run_sync(save, limiter=request.app.state.slots.questions)
    return JSONResponse(await run_in_threadpool(summary_of, services, job_id))


async def _read_resolution(request: Request) -> schemas.RowResolution:
    try:
        answer = schemas.RowResolution.model_validate(await request.json())
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        raise HttpProblem(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, RecursionError):
        raise HttpProblem(400, "The body is not valid JSON") from None
    given = (answer.candidate_id is not None, answer.registration_id is not None, answer.absent)
    if sum(given) != 1:
        raise HttpProblem(422, "Give exactly one of candidate_id, registration_id and absent")
    return answer


@require_role(Role.VIEWER)
async def list_connections(request: Request) -> Response:
    """List the connections of roster.toml."""
    return JSONResponse(await run_in_threadpool(describe_connections, services_of(request)))


def describe_connections(services: Services) -> list[dict[str, Any]]:
    """Return each connection without its secrets; `problem` says what to fix in its configuration."""
    return [_describe_connection(services, name) for name in sorted(services.settings.connections)]


def _describe_connection(services: Services, name: str) -> dict[str, Any]:
    system = str(services.settings.connections[name].get("system", ""))
    described: dict[str, Any] = {"name": name, "system": system, "base_url": None, "actions": [], "problem": None}
    try:
        connection = services.connection(name)
    except RosterError as error:
        return {**described, "problem": for_api(str(error))}
    return {
        **described,
        "base_url": connection.base_url,
        "actions": sorted(lms.rules_of(connection).actions),
    }


def services_of(request: Request) -> Services:
    """Return the services of the application."""
    services: Services = request.app.state.services
    return services


def job_id_of(request: Request) -> int:
    """Return the job id in the path. Raises UnknownJob for a number that is too large."""
    job_id = int(request.path_params["id"])
    if job_id > MAX_ID:
        raise UnknownJob(f"There is no job {job_id}")
    return job_id


def _query_number(request: Request, name: str, *, maximum: int) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_ID)) and 1 <= int(text) <= maximum):
        raise HttpProblem(422, f"{name}: write a number from 1 to {maximum}")
    return int(text)
