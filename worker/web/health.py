"""`/healthz` for a supervisor and `/metrics` for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from worker.ledger import jobs
from worker.metrics import JobMetrics
from worker.model import Role
from worker.web.auth import require_role

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services


async def check_health(request: Request) -> Response:
    """Return whether the ledger can be read."""
    reachable = await request.app.state.health.is_readable()
    return JSONResponse({"ledger": "ok" if reachable else "away"}, status_code=200 if reachable else 503)


async def metrics(request: Request) -> Response:
    """Return the metrics of jobs in the Prometheus text format."""
    if not request.app.state.services.settings.serve.open_metrics:
        return await _guarded_metrics(request)
    return await _metrics(request)


async def _metrics(request: Request) -> Response:
    text = await run_in_threadpool(generate_latest, request.app.state.registry)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


_guarded_metrics = require_role(Role.VIEWER)(_metrics)


def registry_of(services: Services) -> CollectorRegistry:
    """Return the registry of collectors behind /metrics."""
    registry = CollectorRegistry()
    registry.register(JobMetrics(services))
    return registry


def can_read(services: Services) -> bool:
    """Return whether the ledger can be read now."""
    try:
        with services.ledger.read() as tx:
            jobs.list_jobs(tx, 1)
    except Exception:  # noqa: BLE001 - any error means that it cannot be read
        return False
    return True
