"""The HTML pages."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from worker.web.pages import connections, drafts, home, jobs, schedules, sign_in
from worker.web.pages.rendering import page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from worker.web.problems import Problem

_SIGN_IN, _SEE_OTHER = 401, 303


def error_page(request: Request, problem: Problem) -> Response:
    """Return the page that says what went wrong; a stranger's 401 leads to the sign-in page."""
    if problem.status == _SIGN_IN:
        wanted = {"next": request.url.path} if request.method == "GET" and request.url.path != "/" else {}
        return RedirectResponse(f"/sign-in{'?' + urlencode(wanted) if wanted else ''}", _SEE_OTHER)
    shown = page(request, "problem.html", status=problem.status, problem=problem)
    shown.headers.update(problem.headers)
    return shown


routes: list[BaseRoute] = [
    *home.routes,
    *drafts.routes,
    *jobs.routes,
    *schedules.routes,
    *connections.routes,
]
#: Open to those who have not signed in.
sign_in_routes: list[BaseRoute] = sign_in.routes
