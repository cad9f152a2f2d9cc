"""Protection from cross-site request forgery: the origin of a request and the token of its form; the cookies."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from worker.web import limits
from worker.web.problems import HttpProblem, Refusal, is_api_path

if TYPE_CHECKING:
    from starlette.datastructures import MutableHeaders
    from starlette.requests import Request

    from worker.web.caller import Caller

FIELD, HEADER = "csrf", "X-CSRF-Token"


def token_of(cookie: str) -> str:
    """Return the token that belongs to a cookie; it cannot be made without the cookie."""
    return hashlib.sha256(f"csrf:{cookie}".encode()).hexdigest()


async def check(request: Request, *, upload: bool = False) -> None:
    """Refuse (403) what another site may have sent; `receive_upload` checks the field of an `upload`."""
    caller: Caller = request.state.caller
    if caller.uses_api_token:
        return
    check_origin(request)
    if _is_local_script(request, caller):
        return
    kind = limits.media_type_of(request)
    if (sent := request.headers.get(HEADER)) is not None:
        good = matches(caller, sent)
    elif kind == limits.URLENCODED:
        good = matches(caller, str((await limits.read_form(request)).get(FIELD, "")))
    else:
        good = upload and kind == limits.MULTIPART
        request.state.csrf_in_form = good
    if not good:
        refuse()


def matches(caller: Caller, sent: str) -> bool:
    """Tell whether a token is theirs."""
    return bool(caller.csrf_token) and hmac.compare_digest(
        caller.csrf_token.encode(), sent.encode("utf-8", "replace")
    )


def refuse() -> None:
    """Raise the problem of a request without a valid token."""
    raise HttpProblem(
        403,
        f"This form is out of date or comes from another site. Reload the page (field {FIELD}, header {HEADER})",
        refusal=Refusal(action="form refused"),
    )


def check_origin(request: Request) -> None:
    """Refuse (403) a request that a browser sent from a page of another site."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site not in {None, "same-origin", "none"} or (origin is not None and not _is_same_origin(request, origin)):
        raise HttpProblem(403, "This request comes from another site", refusal=Refusal(action="form refused"))


def _is_same_origin(request: Request, origin: str) -> bool:
    public = request.app.state.services.settings.serve.public_url
    try:
        return urlsplit(origin).netloc.lower() in {
            request.headers.get("host", "").lower(),
            urlsplit(public).netloc.lower() if public else "",
        } - {""}
    except ValueError:
        return False


def _is_local_script(request: Request, caller: Caller) -> bool:
    """Return whether this is a program while there are no accounts: a browser sends the origin of every POST."""
    named = {"origin", "sec-fetch-site"} & set(request.headers.keys())
    return caller.name == "-" and not named and is_api_path(request.url.path)


SESSION, VISITOR = "roster_session", "roster_visitor"
#: A browser takes a cookie with this prefix only from this very host, over https: no other site or port can set it.
_HOST_PREFIX = "__Host-"


def is_secure(request: Request) -> bool:
    """Tell whether people reach the page by https, this server itself or a proxy in front of it."""
    public: str = request.app.state.services.settings.serve.public_url
    return request.url.scheme == "https" or public.startswith("https://")


def cookie_of(request: Request, name: str) -> str:
    """Return the value of one of our cookies; empty when there is none, or over https only one of http."""
    return request.cookies.get(_cookie_name(request, name), "")


def set_cookie(
    request: Request, headers: MutableHeaders, name: str, value: str, *, max_age: int | None = None
) -> None:
    """Set a cookie that scripts cannot read and that a browser does not send with requests of other sites.

    Without `max_age` (seconds) it ends with the browser.
    """
    secure = "; Secure" if is_secure(request) else ""
    lasting = "" if max_age is None else f"; Max-Age={max_age}"
    headers.append(
        "Set-Cookie",
        f"{_cookie_name(request, name)}={value}; Path=/{lasting}; HttpOnly; SameSite=Lax{secure}",
    )


def delete_cookie(request: Request, headers: MutableHeaders, name: str) -> None:
    """Delete a cookie."""
    set_cookie(request, headers, name, '""', max_age=0)


def _cookie_name(request: Request, name: str) -> str:
    return f"{_HOST_PREFIX}{name}" if is_secure(request) else name
