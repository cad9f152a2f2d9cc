"""The start page: upload a roster, the newest jobs, the health of the connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from worker import control
from worker.jobs import drafts
from worker.model import Role
from worker.reports.codes import CODES
from worker.web.auth import require_role
from worker.web.pages.connections import views_of
from worker.web.pages.jobs import newest_jobs
from worker.web.pages.rendering import render_page
from worker.web.pages.source_views import open_problems

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.jobs.drafts import Draft

NEWEST = 8


@require_role(Role.VIEWER)
async def home(request: Request) -> Response:
    """Show the start page."""
    services: Services = request.app.state.services
    return render_page(
        request,
        "home.html",
        views=await run_in_threadpool(newest_jobs, services, NEWEST),
        drafts=await run_in_threadpool(_unfinished, request),
        connections=await run_in_threadpool(views_of, services),
        max_upload_mb=services.settings.serve.max_upload_mb,
        problems=await run_in_threadpool(open_problems, services),
        has_worker=await run_in_threadpool(control.has_background_process, services),
    )


def _unfinished(request: Request) -> list[Draft]:
    caller = request.state.caller
    found = drafts.unfinished(request.app.state.services, caller.name) if caller.has_role(Role.OPERATOR) else []
    return found[:NEWEST]


@require_role(Role.VIEWER)
async def codes(request: Request) -> Response:
    """Explain the error codes of reports."""
    return render_page(request, "codes.html", codes=sorted(CODES.values(), key=lambda each: each.code))


routes: list[BaseRoute] = [Route("/", home), Route("/codes", codes)]
