"""Which call of the API stands at which address, as data: the routes and the description are made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from worker.model import Role
from worker.reports.kinds import ReportKind
from worker.web import api, health, openapi, schemas
from worker.web.auth import needs
from worker.web.job_actions import Act
from worker.web.summaries import LARGEST

if TYPE_CHECKING:
    from pydantic import BaseModel
    from starlette.requests import Request

    from worker.web.auth import Endpoint

JSON, STREAM, FORM = "application/json", "text/event-stream", "multipart/form-data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call: where it stands, what it takes and gives."""

    method: str
    path: str
    endpoint: Endpoint
    #: What it answers when all is well.
    status: int = 200
    media: str = JSON
    gives: type[BaseModel] | None = None
    many: bool = False
    #: What it takes: a model of the body, and its media type.
    takes: type[BaseModel] | None = None
    takes_as: str = JSON
    #: What else it may answer, as problem details.
    refuses: tuple[int, ...] = ()
    #: Numbers in the query: name → the largest.
    query: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether strangers may call it."""
        return not hasattr(self.endpoint, "needs")


@needs(Role.VIEWER)
async def describe(_: Request) -> Response:
    """Describe the API (OpenAPI 3.1)."""
    return JSONResponse(openapi.description(CALLS))


CALLS: tuple[Call, ...] = (
    Call(
        method="POST",
        path="/api/jobs",
        endpoint=api.open_job,
        status=202,
        gives=schemas.Created,
        takes=schemas.NewJob,
        takes_as=FORM,
        refuses=(400, 409, 413, 415, 422, 507),
    ),
    Call(
        method="GET",
        path="/api/jobs",
        endpoint=api.list_jobs,
        gives=schemas.Summary,
        many=True,
        refuses=(422,),
        query={"limit": api.MOST_LISTED, "before": LARGEST},
    ),
    Call(method="GET", path="/api/jobs/{id:int}", endpoint=api.show_job, gives=schemas.Summary, refuses=(404,)),
    Call(
        method="GET",
        path="/api/jobs/{id:int}/events",
        endpoint=api.watch_job,
        media=STREAM,
        gives=schemas.Progress,
        refuses=(404,),
    ),
    *(
        Call(
            method="GET",
            path=f"/api/jobs/{{id:int}}/{kind}",
            endpoint=api.report_file(kind),
            media=kind.media_type,
            refuses=(404, 409),
        )
        for kind in ReportKind
        if kind.is_download
    ),
    Call(
        method="GET",
        path="/api/jobs/{id:int}/summary.json",
        endpoint=api.summary_file,
        gives=schemas.Summary,
        refuses=(404,),
    ),
    *(
        Call(
            method="POST",
            path=f"/api/jobs/{{id:int}}/{act}",
            endpoint=api.steer_job(act),
            gives=schemas.Summary,
            refuses=(404, 409),
        )
        for act in Act
    ),
    Call(
        method="POST",
        path="/api/jobs/{id:int}/rows/{row:int}/resolve",
        endpoint=api.resolve_row,
        gives=schemas.Summary,
        takes=schemas.Answer,
        refuses=(400, 404, 409, 413, 422),
    ),
    Call(
        method="GET",
        path="/api/connections",
        endpoint=api.list_connections,
        gives=schemas.ConnectionInfo,
        many=True,
    ),
    Call(method="GET", path="/api/openapi.json", endpoint=describe),
    Call(method="GET", path="/healthz", endpoint=health.health, gives=schemas.Health),
    Call(method="GET", path="/metrics", endpoint=health.metrics, media="text/plain"),
)


def _routes() -> list[BaseRoute]:
    """Return a route for each address: one that takes several methods names them all when it refuses another."""
    paths: dict[str, dict[str, Endpoint]] = {}
    for call in CALLS:
        paths.setdefault(call.path, {})[call.method] = call.endpoint
    return [Route(path, _by_method(endpoints), methods=list(endpoints)) for path, endpoints in paths.items()]


def _by_method(endpoints: Mapping[str, Endpoint]) -> Any:
    async def dispatch(request: Request) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return dispatch


routes: list[BaseRoute] = _routes()
