"""`POST /hooks/{connection}`: what an LMS tells by itself. Let in by its signature alone: no session, no token.

What it says is kept before it is answered, and held against the ledger after that. Bodies are never logged.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from worker import lms
from worker.errors import SettingsError
from worker.jobs import webhooks
from worker.web.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.lms.contract import Hook

#: A webhook is a few ids; whoever sends more is somebody else.
LARGEST_BYTES = 256 * 1024


async def take(request: Request) -> Response:
    """Take a webhook: 404 where none is expected, 413 too large, 401 not signed by whoever has the secret."""
    services: Services = request.app.state.services
    name, hook = await run_in_threadpool(_hook_of, services, request.path_params["connection"])
    body = await _body(request)
    if not hook.is_genuine(request.headers, body):
        raise Problem(401, "The signature is not that of this body and the secret of this connection")
    mark = hashlib.sha256(request.headers.get("webhook-verb", "").encode() + b"\n" + body).hexdigest()
    told = hook.read(request.headers, body)
    if not await run_in_threadpool(webhooks.keep, services.ledger, name, mark, told):
        return JSONResponse({"received": True})
    return JSONResponse({"received": True}, background=BackgroundTask(webhooks.settle_all, services.ledger))


def _hook_of(services: Services, name: str) -> tuple[str, Hook]:
    """Return the connection's name and how its webhooks are read; a stranger learns nothing of the others."""
    try:
        connection = services.connection(name)
        hook = lms.hook_of(connection)
    except SettingsError:
        hook = None
    if hook is None:
        raise Problem(404, "No webhook is expected here: set webhook_secret on the connection that it names")
    return connection.name, hook


async def _body(request: Request) -> bytes:
    """Return the raw body; raises Problem 413 as soon as it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BYTES:
            raise Problem(413, f"A webhook has at most {LARGEST_BYTES:,} bytes")
    return bytes(body)


routes = [Route("/hooks/{connection}", take, methods=["POST"])]
