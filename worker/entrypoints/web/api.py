"""The API of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from worker.entrypoints.web.security import needs
from worker.ledger import jobs
from worker.model import Role
from worker.reports import gather

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services


@needs(Role.VIEWER)
async def list_jobs(request: Request) -> Response:
    """List the jobs, newest first."""
    return JSONResponse(await run_in_threadpool(_summaries, request.app.state.services))


def _summaries(services: Services) -> list[dict[str, object]]:
    with services.ledger.read() as tx:
        return [gather.summarise(tx, job).to_json() for job in jobs.list_jobs(tx)]


routes: list[BaseRoute] = [Route("/api/jobs", list_jobs)]
