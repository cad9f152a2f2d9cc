"""Requests that another site's page makes a browser send: told by their origin, and by the token they lack."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from worker.web import limits
from worker.web.problems import Problem, is_for_programs

if TYPE_CHECKING:
    from starlette.datastructures import MutableHeaders
    from starlette.requests import Request

    from worker.web.auth import Who

FIELD, HEADER = "csrf", "X-CSRF-Token"


def token_of(cookie: str) -> str:
    """Return the token that belongs to a cookie; nobody without the cookie can make it."""
    return hashlib.sha256(f"csrf:{cookie}".encode()).hexdigest()


async def check(request: Request, *, upload: bool = False) -> None:
    """Refuse (403) what another site may have sent; with `upload` a multipart form's field is left to `matches`."""
    who: Who = request.state.who
    if who.by_token:
        return
    check_origin(request)
    if _is_a_script_at_this_machine(request, who):
        return
    kind = limits.kind_of(request)
    if (sent := request.headers.get(HEADER)) is not None:
        good = matches(who, sent)
    elif kind == limits.FORM:
        good = matches(who, str((await limits.form_of(request)).get(FIELD, "")))
    else:
        good = upload and kind == limits.UPLOAD
        request.state.csrf_in_form = good
    if not good:
        refuse()


def matches(who: Who, sent: str) -> bool:
    """Tell whether a token is theirs."""
    return bool(who.csrf) and hmac.compare_digest(who.csrf.encode(), sent.encode("utf-8", "replace"))


def refuse() -> None:
    """Refuse a request that lacks the token."""
    raise Problem(
        403, f"This form is out of date or comes from another site: open the page again (field {FIELD}, {HEADER})"
    )


def check_origin(request: Request) -> None:
    """Refuse (403) a request that a browser sent from another site's page."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site not in {None, "same-origin", "none"} or (origin is not None and not _is_ours(request, origin)):
        raise Problem(403, "This request comes from another site")


def _is_ours(request: Request, origin: str) -> bool:
    public = request.app.state.services.settings.serve.public_url
    try:
        return urlsplit(origin).netloc.lower() in {
            request.headers.get("host", "").lower(),
            urlsplit(public).netloc.lower() if public else "",
        } - {""}
    except ValueError:
        return False


def _is_a_script_at_this_machine(request: Request, who: Who) -> bool:
    """Tell a program from a browser while nobody signs in: a browser always says where a POST comes from."""
    named = {"origin", "sec-fetch-site"} & set(request.headers.keys())
    return who.name == "-" and not named and is_for_programs(request.url.path)


SESSION, VISITOR = "roster_session", "roster_visitor"


def is_secure(request: Request) -> bool:
    """Tell whether people reach the page by https, this server itself or a proxy in front of it."""
    public: str = request.app.state.services.settings.serve.public_url
    return request.url.scheme == "https" or public.startswith("https://")


def set_cookie(request: Request, headers: MutableHeaders, name: str, value: str) -> None:
    """Set a cookie that no script sees and that comes with nothing another site makes a browser send."""
    secure = "; Secure" if is_secure(request) else ""
    headers.append("Set-Cookie", f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}")


def take_cookie(request: Request, headers: MutableHeaders, name: str) -> None:
    """Take a cookie away."""
    secure = "; Secure" if is_secure(request) else ""
    headers.append("Set-Cookie", f'{name}=""; Path=/; Max-Age=0; HttpOnly; SameSite=Lax{secure}')
