"""The middleware around every endpoint: caller, limits, security headers, and a response to every error."""

from __future__ import annotations

import functools
import secrets
from typing import TYPE_CHECKING

from anyio import to_thread
from starlette.datastructures import MutableHeaders
from starlette.requests import Request

from worker.web import auth, caller, csrf, error_pages, limits, problems
from worker.web.limits import RequestRateLimit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from worker.bootstrap import Services
    from worker.web.local_access import LocalAccess
    from worker.web.slots import Slots

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
HEALTH_PATH = "/healthz"
PUBLIC_PATHS = (HEALTH_PATH, "/static/")


class RequestMiddleware:
    """The outermost layer of the application; an error inside becomes a response without a traceback."""

    def __init__(self, app: ASGIApp, services: Services, local_access: LocalAccess, slots: Slots) -> None:
        self._app = app
        self._services = services
        self._local_access = local_access
        self._slots = slots
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
            await self._respond(request, visitor_id, limits.limit_body(request, receive), send_with_headers)
        except Exception as error:  # noqa: BLE001 - the last resort: a plain response
            response = await error_pages.handle_error(request, error)
            if not is_started:
                await response(scope, receive, send_with_headers)

    async def _respond(self, request: Request, visitor_id: str, receive: Receive, send: Send) -> None:
        """Respond to a request; further ones than can be in progress are refused, but never /healthz."""
        request.state.caller = caller.ANONYMOUS
        if request.url.path == HEALTH_PATH:
            await self._app(request.scope, receive, send)
            return
        in_progress, address = self._slots.in_progress, request.client.host if request.client else ""
        with in_progress.counted():
            await self._admit(request, visitor_id)
            with in_progress.counted_for(request.state.caller.name, address):
                limits.check_content_length(request)
                is_entry = request.state.caller.opened_address
                app = self._local_access.keep_in_cookie(request) if is_entry else self._app
                await app(request.scope, receive, send)

    async def _admit(self, request: Request, visitor_id: str) -> None:
        """Identify the caller. Raises HttpProblem when the request is not allowed or there were too many."""
        if request.url.path.startswith(PUBLIC_PATHS):
            return
        identify = functools.partial(auth.identify, self._services, self._local_access, request, visitor_id)
        request.state.caller = await to_thread.run_sync(identify, limiter=self._slots.identities)
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
