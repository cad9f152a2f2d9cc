"""The first page: drop a roster, see the newest jobs and how the connections are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from worker import control
from worker.model import Role
from worker.reports.codes import CODES
from worker.web.auth import needs
from worker.web.pages.connections import views_of
from worker.web.pages.jobs import newest
from worker.web.pages.rendering import page

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services

NEWEST = 8
_TOLD = {"thrown_away": "The roster was thrown away; nothing was sent.", "signed_out": "You are signed out."}


@needs(Role.VIEWER)
async def home(request: Request) -> Response:
    """Show the first page."""
    services: Services = request.app.state.services
    return page(
        request,
        "home.html",
        told=_TOLD.get(request.query_params.get("told", ""), ""),
        views=await run_in_threadpool(newest, services, NEWEST),
        connections=await run_in_threadpool(views_of, services),
        most_mb=services.settings.serve.max_upload_mb,
        by_workers=bool(services.settings.broker),
        nobody_at_work=not await run_in_threadpool(control.anybody_at_work, services),
    )


@needs(Role.VIEWER)
async def codes(request: Request) -> Response:
    """Explain every code that a report may hold."""
    return page(request, "codes.html", codes=sorted(CODES.values(), key=lambda each: each.code))


routes: list[BaseRoute] = [Route("/", home), Route("/codes", codes)]
