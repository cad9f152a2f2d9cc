"""Sign in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from worker.web import csrf, limits, login
from worker.web.pages.rendering import page
from worker.web.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

SEE_OTHER = 303
#: Of the form to sign in, which strangers may send.
MOST_FIELDS, LONGEST_FIELD = 10, 4096


async def show(request: Request) -> Response:
    """Show the form to sign in; somebody who is signed in already goes to the first page."""
    if request.state.who.role is not None:
        return RedirectResponse("/", SEE_OTHER)
    return page(request, "sign_in.html", told="", name="", next_path=_path(request.query_params.get("next", "")))


async def sign_in(request: Request) -> Response:
    """Sign in and go where the person wanted to."""
    csrf.check_origin(request)
    form = await limits.form_of(request, most_fields=MOST_FIELDS, longest_field=LONGEST_FIELD)
    name, next_path = str(form.get("name", "")), _path(str(form.get("next", "")))
    answer = RedirectResponse(next_path, SEE_OTHER)
    try:
        await login.sign_in(request, name, str(form.get("password", "")), answer)
    except Problem as problem:
        shown = page(
            request, "sign_in.html", status=problem.status, told=problem.detail, name=name, next_path=next_path
        )
        shown.headers.update(problem.headers)
        return shown
    return answer


async def sign_out(request: Request) -> Response:
    """Sign out."""
    answer = RedirectResponse("/sign-in", SEE_OTHER)
    await login.sign_out(request, answer)
    return answer


def _path(wanted: str) -> str:
    """Return where to go afterwards: a path of ours, never another site."""
    parts = urlsplit(wanted)
    ours = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and not parts.netloc and not parts.scheme
    return wanted if ours and wanted.isprintable() else "/"


routes: list[BaseRoute] = [
    Route("/sign-in", show),
    Route("/sign-in", sign_in, methods=["POST"]),
    Route("/sign-out", sign_out, methods=["POST"]),
]
