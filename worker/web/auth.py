"""Who asks, and whether they may: `request.state.who`, and `needs(role)` before each endpoint."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.responses import Response

from worker.accounts import keys
from worker.ledger import accounts
from worker.model import Role
from worker.settings import is_loopback
from worker.web import csrf
from worker.web.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.ledger.accounts import Account

Endpoint = Callable[["Request"], Awaitable[Response]]
#: Methods that change nothing.
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Who asks: an account, somebody at this machine while there are no accounts (`-`), or a stranger (no role)."""

    name: str
    role: Role | None
    #: What a form must send back as `csrf`, or a script as X-CSRF-Token.
    csrf: str
    #: Whether the request carries an API token: no other site's page can make a browser send one.
    by_token: bool = False

    def may(self, needed: Role) -> bool:
        """Tell whether they may do what needs that role; for showing a button or not."""
        return self.role is not None and self.role.may(needed)


def needs(role: Role, *, upload: bool = False) -> Callable[[Endpoint], Endpoint]:
    """Let an endpoint be called by those who have the role, and changed by nobody's forged form.

    An endpoint that streams a file (`upload`) has the form's own `csrf` field checked by `take_upload`.
    """

    def decorate(endpoint: Endpoint) -> Endpoint:
        @functools.wraps(endpoint)
        async def guarded(request: Request) -> Response:
            who: Who = request.state.who
            if who.role is None:
                raise Problem(401, "Sign in first, or send an API token", {"WWW-Authenticate": "Bearer"})
            if not who.role.may(role):
                raise Problem(403, f"This takes the role {role}; {who.name} is {who.role}")
            if request.method not in SAFE:
                await csrf.check(request, upload=upload)
            return await endpoint(request)

        guarded.needs = role  # type: ignore[attr-defined]
        return guarded

    return decorate


STRANGER = Who(name="", role=None, csrf="")
#: Headers by which a proxy tells for whom it asks.
_FORWARDED = {"forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"}


def who_asks(services: Services, request: Request, visitor: str) -> Who:
    """Return who asks; `visitor` is the mark of a browser that is new.

    Raises Problem 403 when nobody has an account and the request is not this machine's own.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return _as_who(keys.owner_of_token(services.ledger, token.strip()), "", by_token=True)
    mark = visitor or request.cookies.get(csrf.VISITOR, "")
    if cookie := request.cookies.get(csrf.SESSION):
        known = keys.owner_of_session(services.ledger, cookie, services.settings.serve.session_hours * 3600)
        if known is not None:
            return _as_who(known, csrf.token_of(cookie))
        mark = mark or cookie
    token_of_forms = csrf.token_of(mark) if mark else ""
    with services.ledger.read() as tx:
        if accounts.any_account(tx):
            return Who(name="", role=None, csrf=token_of_forms)
    _refuse_other_machines(services, request)
    return Who(name="-", role=Role.ADMIN, csrf=token_of_forms)


def _as_who(known: Account | None, token: str, *, by_token: bool = False) -> Who:
    return Who(name=known.name, role=known.role, csrf=token, by_token=by_token) if known else STRANGER


def _refuse_other_machines(services: Services, request: Request) -> None:
    """Refuse what may come from elsewhere: another address, a proxy, or a name that was bent to this machine."""
    server = (request.scope.get("server") or ("", 0))[0]
    client = request.client.host if request.client else ""
    if not (is_loopback(server) and is_loopback(client)) or _FORWARDED & set(request.headers.keys()):
        raise Problem(403, "Nobody has an account yet, so only this machine is served: `roster user add NAME`")
    public = urlsplit(services.settings.serve.public_url).hostname or ""
    host = _host_of(request)
    if not (is_loopback(host) or (public and host == public.lower())):
        raise Problem(421, "This server is not known under that name; set public_url in [serve]")


def _host_of(request: Request) -> str:
    """Return the name under which the server was asked for, without the port; nothing when it is none."""
    host = request.headers.get("host", "localhost")
    try:
        return "" if set(host) & set("@/\\?#") else (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
