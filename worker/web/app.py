"""The ASGI application: routes, middleware, error handlers and shared state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from worker.errors import RosterError
from worker.web import error_pages, health, pages, problems, routes, webhooks
from worker.web.events import ProgressFeed
from worker.web.middleware import RequestMiddleware
from worker.web.refusals import RefusalLog

if TYPE_CHECKING:
    from worker.bootstrap import Services

#: How many rosters are opened, reports written and passwords checked at a time. Further ones wait without taking
#: a thread, so that other requests are still answered.
HEAVY_AT_ONCE = 4
STATIC = Path(__file__).parent / "static"


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    """Save the counts of refused requests while the server runs, and at its end."""
    refusals: RefusalLog = app.state.refusals
    saving = asyncio.create_task(refusals.keep_saving())
    yield
    saving.cancel()
    await refusals.save_counts()


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
        middleware=[Middleware(RequestMiddleware, services=services)],
        lifespan=_lifespan,
        exception_handlers=dict.fromkeys(
            (problems.HttpProblem, HTTPException, RosterError), error_pages.handle_error
        ),
    )
    app.state.services = services
    app.state.heavy = asyncio.Semaphore(HEAVY_AT_ONCE)
    app.state.progress_feed = ProgressFeed(services)
    app.state.registry = health.registry_of(services)
    app.state.refusals = RefusalLog(services.ledger)
    return app
