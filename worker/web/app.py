"""The ASGI application: routes, middleware, error handlers and shared state."""

from __future__ import annotations

import asyncio
import functools
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
from worker.jobs.time_limits import TimeLimits
from worker.web import error_pages, health, pages, problems, routes, webhooks
from worker.web.events import ProgressFeed
from worker.web.local_access import LocalAccess, new_token
from worker.web.middleware import RequestMiddleware
from worker.web.refusals import RefusalLog
from worker.web.slots import HealthCheck, Slots

if TYPE_CHECKING:
    from worker.bootstrap import Services

#: How many rosters are opened at a time. Further ones wait without taking a thread, so that other requests are
#: still answered.
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


def make_app(services: Services, local_access: LocalAccess | None = None) -> Starlette:
    """Return the application over an open ledger; without `local_access`, with a token of its own."""
    local_access, slots = local_access or LocalAccess(new_token("")), Slots()
    app = Starlette(
        routes=[
            *routes.routes,
            *webhooks.routes,
            *pages.sign_in_routes,
            *pages.routes,
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(RequestMiddleware, services=services, local_access=local_access, slots=slots)],
        lifespan=_lifespan,
        exception_handlers=dict.fromkeys(
            (problems.HttpProblem, HTTPException, RosterError), error_pages.handle_error
        ),
    )
    app.state.services = services
    app.state.slots = slots
    app.state.health = HealthCheck(functools.partial(health.can_read, services))
    app.state.time_limits = TimeLimits()
    app.state.heavy = asyncio.Semaphore(HEAVY_AT_ONCE)
    app.state.progress_feed = ProgressFeed(services)
    app.state.local_access = local_access
    app.state.registry = health.registry_of(services)
    app.state.refusals = RefusalLog(services.ledger)
    return app
