"""Connections: how they are, and a call to see whether one answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from worker import diagnostics
from worker.model import Role
from worker.web.auth import needs
from worker.web.pages.connection_view import views_of
from worker.web.pages.rendering import page

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services


@needs(Role.VIEWER)
async def show(request: Request) -> Response:
    """Show all connections."""
    return await _shown(request)


@needs(Role.OPERATOR)
async def check(request: Request) -> Response:
    """Make one harmless call and say how it went."""
    services: Services = request.app.state.services
    good, told = await run_in_threadpool(diagnostics.check_connection, services, request.path_params["name"])
    return await _shown(request, told=told, good=good)


async def _shown(request: Request, *, told: str = "", good: bool = True) -> Response:
    views = await run_in_threadpool(views_of, request.app.state.services)
    return page(request, "connections.html", connections=views, told=told, good=good)


routes: list[BaseRoute] = [
    Route("/connections", show),
    Route("/connections/{name}/check", check, methods=["POST"]),
]
