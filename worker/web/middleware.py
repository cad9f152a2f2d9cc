"""Before every endpoint: may this request be here at all, and who asks; after it: the headers of every answer."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request

from worker.web import auth, csrf, limits, problems
from worker.web.limits import Limits

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from worker.bootstrap import Services

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
TWO_YEARS = "max-age=63072000"
#: Paths that tell nothing of anybody; who asks for them does not matter.
OPEN = ("/healthz", "/static/")


class Front:
    """The outermost layer of the application; nothing that fails inside gets past it as a traceback."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        self._limits = Limits(services.settings.serve.calls_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        visitor = _new_visitor(request)
        begun = False

        async def dressed(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                self._dress(request, MutableHeaders(scope=message), visitor)
            await send(message)

        try:
            await self._let_in(request, visitor)
            limits.refuse_by_length(request)
            await self._app(scope, limits.counted(request, receive), dressed)
        except Exception as error:  # noqa: BLE001 - the last line of defence: a plain answer
            problem = problems.as_problem(error)
            if not begun:
                await problems.answer(request, problem)(scope, receive, dressed)

    async def _let_in(self, request: Request, visitor: str) -> None:
        """Say who asks; raises Problem when the request may not be here or its sender calls too often."""
        request.state.who = auth.STRANGER
        if request.url.path.startswith(OPEN):
            return
        request.state.who = await run_in_threadpool(auth.who_asks, self._services, request, visitor)
        if request.url.path.startswith("/api/"):
            self._limits.take(request)

    def _dress(self, request: Request, headers: MutableHeaders, visitor: str) -> None:
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        if not request.url.path.startswith("/static/"):
            headers.setdefault("Cache-Control", "no-store")
        if csrf.is_secure(request):
            headers.setdefault("Strict-Transport-Security", TWO_YEARS)
        if visitor:
            csrf.set_cookie(request, headers, csrf.VISITOR, visitor)


def _new_visitor(request: Request) -> str:
    """Return a new mark for a browser that has none, to which the tokens of its forms belong; else nothing."""
    known = request.cookies.get(csrf.VISITOR) or request.cookies.get(csrf.SESSION)
    looks = request.method == "GET" and not problems.is_for_programs(request.url.path)
    return secrets.token_urlsafe(24) if looks and not known and not request.url.path.startswith(OPEN) else ""
