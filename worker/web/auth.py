"""Authentication and authorisation: `request.state.caller`, and `require_role(role)` before each endpoint."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.responses import Response

from worker.accounts import keys
from worker.ledger import accounts
from worker.model import Role
from worker.settings import is_loopback
from worker.web import csrf
from worker.web.caller import ANONYMOUS, Caller
from worker.web.problems import HttpProblem, Refusal

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.ledger.accounts import Account

Endpoint = Callable[["Request"], Awaitable[Response]]
#: Methods that change nothing need no CSRF token.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def require_role(role: Role, *, upload: bool = False) -> Callable[[Endpoint], Endpoint]:
    """Require the role; for methods that change something, check for forged requests (CSRF) too.

    With `upload`, the endpoint streams a multipart form, and `receive_upload` checks the form's `csrf` field.
    """

    def decorate(endpoint: Endpoint) -> Endpoint:
        @functools.wraps(endpoint)
        async def guarded(request: Request) -> Response:
            caller: Caller = request.state.caller
            if caller.role is None:
                refusal = Refusal(action="token refused") if "authorization" in request.headers else None
                raise HttpProblem(
                    401, "Sign in first, or send an API token", {"WWW-Authenticate": "Bearer"}, refusal=refusal
                )
            if not caller.role.includes(role):
                raise HttpProblem(
                    403,
                    f"You need the {role} role. Your role: {caller.role}",
                    refusal=Refusal(action="role refused"),
                )
            if request.method not in SAFE_METHODS:
                await csrf.check(request, upload=upload)
            return await endpoint(request)

        guarded.required_role = role  # type: ignore[attr-defined]
        return guarded

    return decorate


#: Headers that a proxy adds to the requests that it forwards.
_PROXY_HEADERS = {"forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"}


def identify(services: Services, request: Request, visitor_id: str) -> Caller:
    """Return the caller: by API token, by session, or the local user while there are no accounts.

    `visitor_id` is given to a browser that has no cookie yet. Raises HttpProblem 403 or 421 when there are
    no accounts and the request does not come from this machine.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return _caller_of(keys.owner_of_token(services.ledger, token.strip()), "", uses_api_token=True)
    browser_id = visitor_id or csrf.cookie_of(request, csrf.VISITOR)
    if cookie := csrf.cookie_of(request, csrf.SESSION):
        account = keys.owner_of_session(services.ledger, cookie, services.settings.serve.session_hours * 3600)
        if account is not None:
            return _caller_of(account, csrf.token_of(cookie))
        browser_id = browser_id or cookie
    form_token = csrf.token_of(browser_id) if browser_id else ""
    with services.ledger.read() as tx:
        if accounts.any_account(tx):
            return Caller(name="", role=None, csrf_token=form_token)
    _refuse_remote(services, request)
    return Caller(name="-", role=Role.ADMIN, csrf_token=form_token)


def _caller_of(account: Account | None, token: str, *, uses_api_token: bool = False) -> Caller:
    return (
        Caller(name=account.name, role=account.role, csrf_token=token, uses_api_token=uses_api_token)
        if account
        else ANONYMOUS
    )


def _refuse_remote(services: Services, request: Request) -> None:
    """Refuse requests from other addresses, through a proxy, or to a foreign host name (DNS rebinding)."""
    server = (request.scope.get("server") or ("", 0))[0]
    client = request.client.host if request.client else ""
    if not (is_loopback(server) and is_loopback(client)) or _PROXY_HEADERS & set(request.headers.keys()):
        raise HttpProblem(
            403, "There is no account yet, so only this machine is served. Ask your Roster administrator to add one"
        )
    public = urlsplit(services.settings.serve.public_url).hostname or ""
    host = _host_of(request)
    if not (is_loopback(host) or (public and host == public.lower())):
        raise HttpProblem(
            421, "This server does not answer to that host name; set public_url under [serve] in roster.toml"
        )


def _host_of(request: Request) -> str:
    """Return the host name of the request without the port; empty when it is malformed."""
    host = request.headers.get("host", "localhost")
    try:
        return "" if set(host) & set("@/\\?#") else (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
