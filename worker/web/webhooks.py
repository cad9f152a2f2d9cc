"""`POST /hooks/{connection}`: webhooks of an LMS, authenticated by their signature instead of a session or token.

A webhook is stored before the response is sent, and applied to the ledger afterwards. Bodies are never logged.
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
from worker.web.problems import HttpProblem, Refusal

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.lms.contract import WebhookReader

#: A webhook has a few ids; a larger body is not one.
MAX_BYTES = 256 * 1024


async def receive(request: Request) -> Response:
    """Receive a webhook: 404 when none is expected, 413 when it is too large, 401 when the signature is wrong."""
    services: Services = request.app.state.services
    name, hook = await run_in_threadpool(_reader_of, services, request.path_params["connection"])
    body = await _body(request)
    if not hook.is_genuine(request.headers, body):
        raise HttpProblem(
            401,
            "The signature does not match this body and the secret of this connection",
            refusal=Refusal(action="webhook refused", detail=name),
        )
    digest = hashlib.sha256(request.headers.get("webhook-verb", "").encode() + b"\n" + body).hexdigest()
    event = hook.read(request.headers, body)
    if not await run_in_threadpool(webhooks.store, services.ledger, name, digest, event):
        return JSONResponse({"received": True})
    return JSONResponse({"received": True}, background=BackgroundTask(webhooks.apply_all, services.ledger))


def _reader_of(services: Services, name: str) -> tuple[str, WebhookReader]:
    """Return the connection's name and the reader of its webhooks; the error does not name other connections."""
    try:
        connection = services.connection(name)
        hook = lms.webhook_reader_of(connection)
    except SettingsError:
        hook = None
    if hook is None:
        raise HttpProblem(404, "No webhook is expected here: set webhook_secret on the connection")
    return connection.name, hook


async def _body(request: Request) -> bytes:
    """Return the raw body. Raises HttpProblem 413 as soon as it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise HttpProblem(413, f"A webhook may have up to {MAX_BYTES:,} bytes")
    return bytes(body)


routes = [Route("/hooks/{connection}", receive, methods=["POST"])]
