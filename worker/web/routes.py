"""The operations of the API, as data: the routes and the OpenAPI description are made from this table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from worker.control import JobAction
from worker.model import Role
from worker.reports.kinds import ReportKind
from worker.web import api, api_checks, api_schedules, health, numbers, openapi, schemas
from worker.web.auth import require_role
from worker.web.operation import EVENT_STREAM, MULTIPART, Operation
from worker.web.summaries import MAX_ID

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.web.auth import Endpoint


@require_role(Role.VIEWER)
async def openapi_description(_: Request) -> Response:
    """Describe the API (OpenAPI 3.1)."""
    return JSONResponse(openapi.describe_api(OPERATIONS))


#: The bodies of actions on jobs; none is required.
_BODIES: dict[JobAction, type[schemas.RetryRequest | schemas.ResumeRequest]] = {
    JobAction.RETRY: schemas.RetryRequest,
    JobAction.RESUME: schemas.ResumeRequest,
}
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/api/jobs",
        endpoint=api.open_job,
        status=202,
        response=schemas.Created,
        body=schemas.NewJob,
        body_type=MULTIPART,
        errors=(400, 409, 413, 415, 422, 507),
    ),
    Operation(
        method="POST",
        path="/api/check",
        endpoint=api_checks.check,
        response=schemas.Check,
        body=schemas.NewJob,
        body_type=MULTIPART,
        errors=(400, 409, 413, 415, 422, 507),
    ),
    Operation(
        method="GET",
        path="/api/jobs",
        endpoint=api.list_jobs,
        response=schemas.Summary,
        is_list=True,
        errors=(422,),
        query={"limit": api.MAX_LIMIT, "before": MAX_ID},
    ),
    Operation(
        method="GET", path="/api/jobs/{id:number}", endpoint=api.show_job, response=schemas.Summary, errors=(404,)
    ),
    Operation(
        method="GET",
        path="/api/jobs/{id:number}/events",
        endpoint=api.stream_events,
        media_type=EVENT_STREAM,
        response=schemas.Progress,
        errors=(404,),
    ),
    *(
        Operation(
            method="GET",
            path=f"/api/jobs/{{id:number}}/{kind}",
            endpoint=api.report_file(kind),
            media_type=kind.media_type,
            errors=(404, 409),
        )
        for kind in ReportKind
        if kind.is_download
    ),
    Operation(
        method="GET",
        path="/api/jobs/{id:number}/summary.json",
        endpoint=api.summary_file,
        response=schemas.Summary,
        errors=(404,),
    ),
    *(
        Operation(
            method="POST",
            path=f"/api/jobs/{{id:number}}/{act}",
            endpoint=api.change_job(act),
            response=schemas.Summary,
            body=_BODIES.get(act),
            is_body_optional=True,
            errors=(400, 404, 409, 413, 415, 422) if act in _BODIES else (404, 409),
        )
        for act in JobAction
    ),
    Operation(
        method="POST",
        path="/api/jobs/{id:number}/verify",
        endpoint=api_checks.verify_job,
        response=schemas.Summary,
        errors=(404, 409, 413, 422, 503, 504),
    ),
    Operation(
        method="POST",
        path="/api/jobs/{id:number}/rows/{row:number}/resolve",
        endpoint=api.resolve_row,
        response=schemas.Summary,
        body=schemas.RowResolution,
        errors=(400, 404, 409, 413, 422),
    ),
    Operation(
        method="GET",
        path="/api/connections",
        endpoint=api.list_connections,
        response=schemas.ConnectionInfo,
        is_list=True,
    ),
    Operation(
        method="GET",
        path="/api/schedules",
        endpoint=api_schedules.list_schedules,
        response=schemas.ScheduleInfo,
        is_list=True,
    ),
    Operation(
        method="POST",
        path="/api/schedules",
        endpoint=api_schedules.add_schedule,
        status=201,
        response=schemas.ScheduleInfo,
        body=schemas.NewSchedule,
        errors=(400, 413, 422),
    ),
    Operation(
        method="GET",
        path="/api/schedules/{name}",
        endpoint=api_schedules.show_schedule,
        response=schemas.ScheduleInfo,
        errors=(404,),
    ),
    Operation(
        method="PATCH",
        path="/api/schedules/{name}",
        endpoint=api_schedules.edit_schedule,
        response=schemas.ScheduleInfo,
        body=schemas.ScheduleEdit,
        errors=(400, 404, 413, 422),
    ),
    Operation(
        method="DELETE",
        path="/api/schedules/{name}",
        endpoint=api_schedules.remove_schedule,
        status=204,
        errors=(404,),
    ),
    *(
        Operation(
            method="POST",
            path=f"/api/schedules/{{name}}/{act}",
            endpoint=endpoint,
            response=schemas.ScheduleInfo,
            errors=(404, 409),
        )
        for act, endpoint in (
            ("pause", api_schedules.pause_schedule),
            ("resume", api_schedules.resume_schedule),
        )
    ),
    Operation(
        method="POST",
        path="/api/schedules/{name}/run",
        endpoint=api_schedules.run_schedule,
        status=202,
        response=schemas.Created,
        errors=(404, 409, 422),
    ),
    Operation(method="GET", path="/api/openapi.json", endpoint=openapi_description),
    Operation(method="GET", path="/healthz", endpoint=health.check_health, response=schemas.Health),
    Operation(method="GET", path="/metrics", endpoint=health.metrics, media_type="text/plain"),
)


def _routes() -> list[BaseRoute]:
    """Return one route per path, with all its methods, so that a 405 names them all in `Allow`."""
    paths: dict[str, dict[str, Endpoint]] = {}
    for call in OPERATIONS:
        paths.setdefault(call.path, {})[call.method] = call.endpoint
    return [Route(path, _by_method(endpoints), methods=list(endpoints)) for path, endpoints in paths.items()]


def _by_method(endpoints: Mapping[str, Endpoint]) -> Any:
    async def dispatch(request: Request) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return dispatch


numbers.register()
routes: list[BaseRoute] = _routes()
