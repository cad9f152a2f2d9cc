"""Access while there are no accounts: from this machine only, with the token that `roster serve` prints."""

from __future__ import annotations

import hmac
import re
import secrets
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_plus, urlsplit

from starlette.responses import RedirectResponse, Response

from worker.errors import UsageError
from worker.model import Role
from worker.settings import is_loopback
from worker.web import csrf
from worker.web.caller import Caller
from worker.web.problems import HttpProblem

if TYPE_CHECKING:
    from starlette.requests import Request

#: The environment variable that fixes the token, for scripts.
VARIABLE = "ROSTER_TOKEN"
PARAMETER = "token"
#: A fixed token with fewer characters can be guessed.
SHORTEST, LONGEST = 16, 200
#: The sentences for a caller without the token: for programs and for people.
ADDRESS_NEEDED = (
    "There are no accounts yet, so every request needs the token in the address that `roster serve` printed; "
    "send it as `Authorization: Bearer TOKEN`"
)
ADDRESS_NEEDED_ON_PAGE = (
    "Open the address that “roster serve” printed when it started: it contains the access token."
)
_ONLY_HERE = "There is no account yet, so only this machine is served. Ask your Roster administrator to add one"
_CLOSED = (
    "The last account was removed while the server ran, so nobody is served. "
    "Ask your Roster administrator to restart it"
)
#: Headers that proxies, load balancers and delivery networks add to the requests that they forward.
_PROXY_HEADER = re.compile(
    r"(?:.*-)?forwarded(?:-.*)?|(?:.*-)?via|max-forwards|cdn-.*|front-end-https|x-varnish|x-host|x-scheme"
    r"|x-url-scheme|(?:.*-)?ip"
    r"|(?:.*-)?(?:client|connecting|real|remote|originating|source|proxyuser)-?(?:ip|addr|ip-addr)(?:ess)?"
    r"|x-(?:original|real|envoy|azure|amzn|amz-cf|arr|rewrite|proxy|haproxy|traefik|appengine|akamai|vercel|nf)-.*"
    r"|x-cloud-trace-context|x-https?-.*|x-ssl-.*|(?:cf|fastly|fly|akamai|proxy|surrogate)-.*"
)


def new_token(fixed: str) -> str:
    """Return a token for a server: `fixed` if it is not empty, else a random one.

    Raises UsageError when the fixed one cannot be sent in an address and a header.
    """
    if fixed and not (fixed.isascii() and fixed.isprintable() and " " not in fixed and len(fixed) <= LONGEST):
        raise UsageError(f"{VARIABLE} must be up to {LONGEST} plain ASCII characters without spaces")
    return fixed or secrets.token_urlsafe(32)


def weak_token_warning(token: str | None) -> str | None:
    """Return what to say about a token that can be guessed."""
    if token is None or len(token) >= SHORTEST:
        return None
    return f"{VARIABLE} is short: other users of this machine may guess it; use {SHORTEST} characters or more"


class LocalAccess:
    """Who is served while there are no accounts; it ends for good with the first account."""

    def __init__(self, token: str | None) -> None:
        """Take the token; None when there are accounts already, so that nobody is served once they are gone."""
        self._token = token

    def end(self) -> None:
        """End the access: there is an account."""
        self._token = None

    def identify(self, request: Request, form_token: str) -> Caller:
        """Return the local user, or an anonymous caller without the token.

        `form_token` is what their forms must send. Raises HttpProblem 403 for everybody after the last account was
        removed, and 403 or 421 for a request that does not come from this machine or came through a proxy.
        """
        if self._token is None:
            raise HttpProblem(403, _CLOSED)
        _refuse_remote(request)
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        uses_bearer = scheme.lower() == "bearer" and _same(bearer.strip(), self._token)
        by_address = not uses_bearer and _same(_sent_in_address(request), self._token)
        if uses_bearer or by_address or _same(csrf.cookie_of(request, _cookie_name(request)), self._cookie()):
            return Caller(
                name="-",
                role=Role.ADMIN,
                csrf_token=form_token,
                uses_api_token=uses_bearer,
                opened_address=by_address,
            )
        return Caller(name="", role=None, csrf_token=form_token, needs_address=True)

    def keep_in_cookie(self, request: Request) -> Response:
        """Return the redirect to the same address without the token, which moves into a cookie."""
        query = without_token(request.scope["query_string"].decode("latin-1"))
        path = "/" + quote(request.scope["path"].lstrip("/\\"))
        response = RedirectResponse(f"{path}?{query}" if query else path, 303)
        csrf.set_cookie(request, response.headers, _cookie_name(request), self._cookie())
        return response

    def _cookie(self) -> str:
        """Return the value of the cookie, from which the token cannot be computed."""
        return hmac.digest((self._token or "").encode(), b"cookie", "sha256").hex()


def without_token(query: str) -> str:
    """Return the query of an address without the token, which is in no other address."""
    return "&".join(pair for pair in query.split("&") if unquote_plus(pair.partition("=")[0]) != PARAMETER)


def _same(sent: str, expected: str) -> bool:
    return hmac.compare_digest(sent.encode("utf-8", "replace"), expected.encode())


def _sent_in_address(request: Request) -> str:
    return request.query_params.get(PARAMETER, "") if request.method in {"GET", "HEAD"} else ""


def _cookie_name(request: Request) -> str:
    """Return the name of the cookie: browsers send the cookies of all ports of a host to each of them."""
    return f"roster_local_{(request.scope.get('server') or ('', 0))[1] or 0}"


def _refuse_remote(request: Request) -> None:
    """Refuse requests from other addresses, through a proxy, or to a foreign host name (DNS rebinding)."""
    server = (request.scope.get("server") or ("", 0))[0]
    client = request.client.host if request.client else ""
    if not (is_loopback(server) and is_loopback(client)) or _came_through_a_proxy(request):
        raise HttpProblem(403, _ONLY_HERE)
    if not is_loopback(_host_of(request)):
        raise HttpProblem(
            421, "This server does not answer to that host name: without an account it serves this machine only"
        )


def _came_through_a_proxy(request: Request) -> bool:
    """Return whether a request has a header that proxies add, or is HTTP/1.0, which they speak by default."""
    return request.scope.get("http_version") in {"0.9", "1.0"} or any(
        _PROXY_HEADER.fullmatch(name.lower().replace("_", "-")) for name in request.headers
    )


def _host_of(request: Request) -> str:
    """Return the host name of the request without the port; empty when it is malformed."""
    host = request.headers.get("host", "localhost")
    try:
        return "" if set(host) & set("@/\\?#") else (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
