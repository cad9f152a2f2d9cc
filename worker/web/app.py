"""The ASGI application: what stands behind which address."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from worker.errors import RosterError
from worker.web import health, pages, problems, routes, webhooks
from worker.web.events import Watching
from worker.web.middleware import Front

if TYPE_CHECKING:
    from worker.bootstrap import Services

#: Rosters that are opened, reports that are written and passwords that are checked at a time: whatever queues for
#: these does so without one of the threads in which all others are answered.
HEAVY_AT_ONCE = 4
STATIC = Path(__file__).parent / "static"


def make_app(services: Services) -> Starlette:
    """Return the application over an open ledger."""
    app = Starlette(
        routes=[
            *routes.routes,
            *webhooks.routes,
            *pages.sign_in_routes,
            *pages.routes,
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Front, services=services)],
        exception_handlers=dict.fromkeys((problems.Problem, HTTPException, RosterError), problems.handle),
    )
    app.state.services = services
    app.state.heavy = asyncio.Semaphore(HEAVY_AT_ONCE)
    app.state.watching = Watching(services)
    app.state.registry = health.registry_of(services)
    return app
