"""The middleware around every endpoint: caller, limits, security headers, and a response to every error."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request

from worker.web import auth, caller, csrf, error_pages, limits, problems
from worker.web.limits import RequestRateLimit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from worker.bootstrap import Services

SECURITY_HEADERS = {
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
STRICT_TRANSPORT_SECURITY = "max-age=63072000"
#: Paths without personal data, for which the caller does not matter.
PUBLIC_PATHS = ("/healthz", "/static/")


class RequestMiddleware:
    """The outermost layer of the application; an error inside becomes a response without a traceback."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        self._rate_limit = RequestRateLimit(services.settings.serve.calls_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        visitor_id = _new_visitor_id(request)
        is_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                self._add_headers(request, MutableHeaders(scope=message), visitor_id)
            await send(message)

        try:
            await self._admit(request, visitor_id)
            limits.check_content_length(request)
            await self._app(scope, limits.limit_body(request, receive), send_with_headers)
        except Exception as error:  # noqa: BLE001 - the last resort: a plain response
            response = await error_pages.handle_error(request, error)
            if not is_started:
                await response(scope, receive, send_with_headers)

    async def _admit(self, request: Request, visitor_id: str) -> None:
        """Identify the caller. Raises HttpProblem when the request is not allowed or there were too many."""
        request.state.caller = caller.ANONYMOUS
        if request.url.path.startswith(PUBLIC_PATHS):
            return
        request.state.caller = await run_in_threadpool(auth.identify, self._services, request, visitor_id)
        if request.url.path.startswith("/api/"):
            self._rate_limit.check(request)

    def _add_headers(self, request: Request, headers: MutableHeaders, visitor_id: str) -> None:
        for name, value in SECURITY_HEADERS.items():
            headers.setdefault(name, value)
        if not request.url.path.startswith("/static/"):
            headers.setdefault("Cache-Control", "no-store")
        if csrf.is_secure(request):
            headers.setdefault("Strict-Transport-Security", STRICT_TRANSPORT_SECURITY)
        if visitor_id:
            csrf.set_cookie(request, headers, csrf.VISITOR, visitor_id)


def _new_visitor_id(request: Request) -> str:
    """Return a new id for a browser without a cookie, for the CSRF tokens of its forms; empty for others."""
    known = csrf.cookie_of(request, csrf.VISITOR) or csrf.cookie_of(request, csrf.SESSION)
    is_page = request.method == "GET" and not problems.is_api_path(request.url.path)
    return (
        secrets.token_urlsafe(24) if is_page and not known and not request.url.path.startswith(PUBLIC_PATHS) else ""
    )
