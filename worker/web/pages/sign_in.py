"""The sign-in page."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from worker.web import csrf, limits, login
from worker.web.auth import SAFE_METHODS, unauthenticated
from worker.web.local_access import without_token
from worker.web.pages.rendering import render_page
from worker.web.problems import HttpProblem
from worker.web.refusals import record_refusal

if TYPE_CHECKING:
    from starlette.requests import Request

SEE_OTHER = 303
#: Limits of the sign-in form, which anonymous callers may send.
MOST_FIELDS, LONGEST_FIELD = 10, 4096


async def show(request: Request) -> Response:
    """Show the sign-in form; a caller who is signed in already goes to the page that was requested."""
    next_path = _local_path(request.query_params.get("next", ""))
    if request.state.caller.role is not None:
        return RedirectResponse(next_path, SEE_OTHER)
    if request.state.caller.needs_address:
        raise unauthenticated(request)
    # A browser forgets the cookie of a session only when the person signs out.
    was_signed_out = bool(csrf.cookie_of(request, csrf.SESSION))
    return render_page(
        request, "sign_in.html", notice="", was_signed_out=was_signed_out, name="", next_path=next_path
    )


def page_of(request: Request) -> str:
    """Return the page to go back to after signing in: the requested one, or the one with the form that was sent."""
    if request.method in SAFE_METHODS:
        query = without_token(request.url.query)
        return request.url.path + (f"?{query}" if query else "")
    referer = urlsplit(request.headers.get("referer", ""))
    if referer.netloc.lower() != request.headers.get("host", "").lower():
        return "/"
    return _local_path(referer.path + (f"?{referer.query}" if referer.query else ""))


async def sign_in(request: Request) -> Response:
    """Sign in and go to the page that was requested."""
    if request.state.caller.needs_address:
        raise unauthenticated(request)
    csrf.check_origin(request)
    form = await limits.read_form(request, max_fields=MOST_FIELDS, max_field_bytes=LONGEST_FIELD)
    name, next_path = str(form.get("name", "")), _local_path(str(form.get("next", "")))
    answer = RedirectResponse(next_path, SEE_OTHER)
    try:
        await login.sign_in(request, name, str(form.get("password", "")), answer)
    except HttpProblem as problem:
        await record_refusal(request, problem)
        shown = render_page(
            request,
            "sign_in.html",
            status=problem.status,
            notice=problem.detail,
            was_signed_out=False,
            name=name,
            next_path=next_path,
        )
        shown.headers.update(problem.headers)
        return shown
    return answer


async def sign_out(request: Request) -> Response:
    """Sign out."""
    answer = RedirectResponse("/sign-in", SEE_OTHER)
    await login.sign_out(request, answer)
    return answer


def _local_path(path: str) -> str:
    """Return where to go after signing in: a path of this site, never another site."""
    parts = urlsplit(path)
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.netloc and not parts.scheme
    return path if is_local and path.isprintable() else "/"


routes: list[BaseRoute] = [
    Route("/sign-in", show),
    Route("/sign-in", sign_in, methods=["POST"]),
    Route("/sign-out", sign_out, methods=["POST"]),
]
