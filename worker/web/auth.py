"""Authentication and authorisation: `request.state.caller`, and `require_role(role)` before each endpoint."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.responses import Response

from worker.accounts import keys
from worker.ledger import accounts
from worker.model import Role
from worker.web import csrf
from worker.web.caller import ANONYMOUS, Caller, Viewer
from worker.web.local_access import ADDRESS_NEEDED
from worker.web.problems import HttpProblem, Refusal

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.ledger.accounts import Account
    from worker.web.local_access import LocalAccess

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
                raise unauthenticated(request)
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


def unauthenticated(request: Request) -> HttpProblem:
    """Return the problem of a caller without credentials."""
    text = ADDRESS_NEEDED if request.state.caller.needs_address else "Sign in first, or send an API token"
    refusal = Refusal(action="token refused") if "authorization" in request.headers else None
    return HttpProblem(401, text, {"WWW-Authenticate": "Bearer"}, refusal=refusal)


def identify(
    services: Services, local: LocalAccess, request: Request, visitor_id: str, *, touch: bool = True
) -> Caller:
    """Return the caller: by API token, by session, or the local user while there are no accounts.

    `visitor_id` is given to a browser that has no cookie yet. Raises HttpProblem 403 or 421 when there are
    no accounts and the request does not come from this machine, or there are none any more. With `touch` this is
    a use of the session or token.
    """
    account, form_token, uses_api_token = _account_of(services, request, visitor_id, touch=touch)
    if account is not None:
        local.end()
        return Caller(name=account.name, role=account.role, csrf_token=form_token, uses_api_token=uses_api_token)
    with services.ledger.read() as tx:
        if accounts.any_account(tx):
            local.end()
            return ANONYMOUS if uses_api_token else Caller(name="", role=None, csrf_token=form_token)
    return local.identify(request, form_token)


def viewer_of(services: Services, local: LocalAccess, request: Request) -> Viewer:
    """Return who follows a job with this request, and how to ask whether they still may."""
    name = request.state.caller.name

    def may_view() -> bool:
        try:
            now = identify(services, local, request, "", touch=False)
        except HttpProblem:
            return False
        return now.name == name and now.has_role(Role.VIEWER)

    headers = (request.headers.get("authorization", ""), request.headers.get("cookie", ""))
    return Viewer(name=name, credentials=headers, may_view=may_view)


def _account_of(
    services: Services, request: Request, visitor_id: str, *, touch: bool
) -> tuple[Account | None, str, bool]:
    """Return the account of a request, the token of its forms, and whether it sends an API token."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return keys.owner_of_token(services.ledger, token.strip(), touch=touch), "", True
    browser_id = visitor_id or csrf.cookie_of(request, csrf.VISITOR)
    if cookie := csrf.cookie_of(request, csrf.SESSION):
        idle_seconds = services.settings.serve.session_hours * 3600
        account = keys.owner_of_session(services.ledger, cookie, idle_seconds, touch=touch)
        if account is not None:
            return account, csrf.token_of(cookie), False
        browser_id = browser_id or cookie
    return None, csrf.token_of(browser_id) if browser_id else "", False
