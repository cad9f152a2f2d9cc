"""The ASGI application: what a supervisor and Prometheus ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from worker.ledger import jobs
from worker.metrics import JobMetrics

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services


def make_app(services: Services) -> Starlette:
    """Return the application over an open ledger."""
    registry = CollectorRegistry()
    registry.register(JobMetrics(services))

    async def health(_: Request) -> Response:
        reachable = await run_in_threadpool(_can_read, services)
        return JSONResponse({"ledger": "ok" if reachable else "away"}, status_code=200 if reachable else 503)

    async def metrics(_: Request) -> Response:
        text = await run_in_threadpool(generate_latest, registry)
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return Starlette(routes=[Route("/healthz", health), Route("/metrics", metrics)])


def _can_read(services: Services) -> bool:
    try:
        with services.ledger.read() as tx:
            jobs.list_jobs(tx, 1)
    except Exception:  # noqa: BLE001 - whatever it is, the answer is no
        return False
    return True
