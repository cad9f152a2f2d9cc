"""The API's endpoints (contract §7); `calls.py` has their addresses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from worker import lms
from worker.errors import RosterError, SettingsError, UnknownJob, UsageError
from worker.intake.accept import glance
from worker.jobs import lifecycle
from worker.model import Role
from worker.web import downloads, job_actions, schemas
from worker.web.auth import needs
from worker.web.forms import Wanted, read_options
from worker.web.problems import Problem
from worker.web.summaries import LARGEST, summaries, summary_of
from worker.web.uploads import Upload, take_upload

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.reports.kinds import ReportKind
    from worker.web.auth import Endpoint, Who

#: Rosters up to this are opened before the answer, so that a wrong heading is told at once (bytes).
GLANCED_AT = 5 * 1024 * 1024
LISTED, MOST_LISTED = 100, 1_000
#: Below `files`: uploads whose job is not open yet.
UPLOADS = "uploads"


@needs(Role.OPERATOR, upload=True)
async def open_job(request: Request) -> Response:
    """Take a roster and open its job."""
    services = services_of(request)
    limit = services.settings.serve.max_upload_mb * 1024 * 1024
    upload = await take_upload(request, into=services.files / UPLOADS, limit=limit)
    try:
        async with request.app.state.heavy:
            job_id = await run_in_threadpool(_open_job, services, request.state.who, upload)
    finally:
        await run_in_threadpool(upload.discard)
    return JSONResponse({"id": job_id}, 202, {"Location": f"/api/jobs/{job_id}"})


def _open_job(services: Services, who: Who, upload: Upload) -> int:
    wanted = _wanted(services, upload)
    if upload.path.stat().st_size <= GLANCED_AT:
        try:
            glance(upload.path, wanted.options, name=upload.name)
        except UsageError as error:
            raise Problem(422, str(error)) from None
    return job_actions.drop(services, who, upload, wanted, origin="api").job_id


def _wanted(services: Services, upload: Upload) -> Wanted:
    try:
        return read_options(services, upload.fields)
    except (UsageError, SettingsError) as error:
        raise Problem(422, str(error)) from None


@needs(Role.VIEWER)
async def list_jobs(request: Request) -> Response:
    """List the jobs, newest first."""
    limit = _number(request, "limit", most=MOST_LISTED) or LISTED
    before = _number(request, "before", most=LARGEST)
    listed = await run_in_threadpool(summaries, services_of(request), limit, before)
    further = f'</api/jobs?limit={limit}&before={listed[-1]["job"]}>; rel="next"' if len(listed) == limit else ""
    return JSONResponse(listed, headers={"Link": further} if further else {})


@needs(Role.VIEWER)
async def show_job(request: Request) -> Response:
    """Say where a job stands."""
    return JSONResponse(await run_in_threadpool(summary_of, services_of(request), job_id_of(request)))


@needs(Role.VIEWER)
async def watch_job(request: Request) -> Response:
    """Say how a job gets on, until it has ended or needs a person."""
    stream: Response = await request.app.state.watching.stream(job_id_of(request))
    return stream


@needs(Role.VIEWER)
async def summary_file(request: Request) -> Response:
    """Give the summary as a file."""
    told = await run_in_threadpool(summary_of, services_of(request), job_id_of(request))
    name = f"job-{told['job']}.summary.json"
    text = json.dumps(told, ensure_ascii=False, indent=2)
    return Response(text, 200, {"Content-Disposition": f'attachment; filename="{name}"'}, "application/json")


def report_file(kind: ReportKind) -> Endpoint:
    """Return the endpoint for one file of a report."""

    @needs(Role.VIEWER)
    async def give(request: Request) -> Response:
        async with request.app.state.heavy:
            return await run_in_threadpool(downloads.report, services_of(request), job_id_of(request), kind)

    give.__doc__ = f"Give the report's {kind}."
    return give


def steer_job(act: job_actions.Act) -> Endpoint:
    """Return the endpoint for one act on a job."""

    @needs(Role.OPERATOR)
    async def do(request: Request) -> Response:
        services = services_of(request)
        told = await run_in_threadpool(job_actions.act, services, request.state.who, act, job_id_of(request))
        summary = await run_in_threadpool(summary_of, services, told.job_id)
        return JSONResponse(summary, 200, {"Location": f"/api/jobs/{told.job_id}"})

    do.__doc__ = _ACTS[act]
    return do


_ACTS = {
    job_actions.Act.PAUSE: "Pause a job: calls under way finish, nothing more is sent.",
    job_actions.Act.RESUME: "Go on with a job that stopped.",
    job_actions.Act.CANCEL: "Cancel a job: calls under way finish, the rest is never sent.",
    job_actions.Act.RETRY: "Send again the rows for which nothing was done.",
    job_actions.Act.UNDO: "Withdraw what a job registered; the summary is of the job that does so.",
}


@needs(Role.OPERATOR)
async def resolve_row(request: Request) -> Response:
    """Say what you found at the LMS for a row in doubt."""
    services, job_id, row = services_of(request), job_id_of(request), int(request.path_params["row"])
    found = await _answer(request)
    if row > LARGEST:
        raise Problem(404, f"Job {job_id} has no row {row}")
    answer = lifecycle.Answer(**found.model_dump())
    await run_in_threadpool(job_actions.resolve, services, request.state.who, job_id, row, answer)
    return JSONResponse(await run_in_threadpool(summary_of, services, job_id))


async def _answer(request: Request) -> schemas.Answer:
    try:
        answer = schemas.Answer.model_validate(await request.json())
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        raise Problem(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, RecursionError):
        raise Problem(400, "The body is no JSON") from None
    given = (answer.candidate_id is not None, answer.registration_id is not None, answer.absent)
    if sum(given) != 1:
        raise Problem(422, "Give exactly one of candidate_id, registration_id and absent")
    return answer


@needs(Role.VIEWER)
async def list_connections(request: Request) -> Response:
    """List the connections of roster.toml."""
    return JSONResponse(await run_in_threadpool(connections, services_of(request)))


def connections(services: Services) -> list[dict[str, Any]]:
    """Return what may be told of each connection; one that is not in order says what must be mended."""
    return [_connection(services, name) for name in sorted(services.settings.connections)]


def _connection(services: Services, name: str) -> dict[str, Any]:
    system = str(services.settings.connections[name].get("system", ""))
    told: dict[str, Any] = {"name": name, "system": system, "base_url": None, "actions": [], "problem": None}
    try:
        connection = services.connection(name)
    except RosterError as error:
        return {**told, "problem": str(error)}
    return {
        **told,
        "base_url": connection.base_url,
        "actions": sorted(lms.rules_of(connection).actions),
    }


def services_of(request: Request) -> Services:
    """Return what the application works with."""
    services: Services = request.app.state.services
    return services


def job_id_of(request: Request) -> int:
    """Return the job that the address names; raises UnknownJob for a number that no job can have."""
    job_id = int(request.path_params["id"])
    if job_id > LARGEST:
        raise UnknownJob(f"There is no job {job_id}")
    return job_id


def _number(request: Request, name: str, *, most: int) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST)) and 1 <= int(text) <= most):
        raise Problem(422, f"{name}: write a number from 1 to {most}")
    return int(text)
