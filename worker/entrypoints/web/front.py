"""Before every endpoint: which address was asked for, who asks; after it: the headers that every answer has."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request

from worker.entrypoints.web import csrf, problems
from worker.entrypoints.web.security import Who
from worker.model import Role

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from worker.bootstrap import Services

SESSION, VISITOR = "roster_session", "roster_visitor"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Front:
    """The outermost layer of the application; nothing that fails inside gets past it as a traceback."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        visitor = ""
        begun = False

        async def with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                self._dress(request, MutableHeaders(scope=message), visitor)
            await send(message)

        try:
            cookie = request.cookies.get(VISITOR, "")
            if not cookie and request.method == "GET" and not problems.is_for_programs(request.url.path):
                cookie = visitor = secrets.token_urlsafe(24)
            request.state.who = await run_in_threadpool(self._who, request, cookie)
            await self._app(scope, receive, with_headers)
        except Exception as error:  # noqa: BLE001 - the last line of defence: a plain answer
            problem = problems.as_problem(error)
            if not begun:
                await problems.answer(request, problem)(scope, receive, with_headers)

    def _who(self, request: Request, visitor: str) -> Who:
        return Who(name="-", role=Role.ADMIN, csrf=csrf.token_of(visitor) if visitor else "")

    def _dress(self, request: Request, headers: MutableHeaders, visitor: str) -> None:
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        if not request.url.path.startswith("/static/"):
            headers.setdefault("Cache-Control", "no-store")
        if visitor:
            headers.append("Set-Cookie", f"{VISITOR}={visitor}; Path=/; HttpOnly; SameSite=Lax")
