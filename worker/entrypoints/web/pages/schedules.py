"""Schedules: what comes again and again, and when it comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from worker.entrypoints.web.pages.rendering import page
from worker.entrypoints.web.security import needs
from worker.ledger import scheduled
from worker.model import Role

if TYPE_CHECKING:
    from starlette.requests import Request


@needs(Role.VIEWER)
async def show(request: Request) -> Response:
    """Show all schedules."""
    ledger = request.app.state.services.ledger
    return page(request, "schedules.html", schedules=await run_in_threadpool(scheduled.read_all, ledger))


routes: list[BaseRoute] = [Route("/schedules", show)]
