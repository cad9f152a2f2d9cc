"""The HTML pages."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from worker.web.local_access import ADDRESS_NEEDED_ON_PAGE
from worker.web.pages import account, connections, drafts, home, jobs, schedules, sign_in
from worker.web.pages.rendering import render_page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from worker.web.caller import Caller
    from worker.web.problems import HttpProblem

_SIGN_IN, _SEE_OTHER = 401, 303


def error_page(request: Request, problem: HttpProblem) -> Response:
    """Return the page of a problem; 401 redirects to the sign-in page, if there are accounts."""
    caller: Caller | None = getattr(request.state, "caller", None)
    if problem.status == _SIGN_IN and caller is not None and caller.needs_address:
        problem = replace(problem, detail=ADDRESS_NEEDED_ON_PAGE)
    elif problem.status == _SIGN_IN:
        query = {"next": request.url.path} if request.method == "GET" and request.url.path != "/" else {}
        return RedirectResponse(f"/sign-in{'?' + urlencode(query) if query else ''}", _SEE_OTHER)
    shown = render_page(request, "problem.html", status=problem.status, problem=problem)
    shown.headers.update(problem.headers)
    return shown


routes: list[BaseRoute] = [
    *home.routes,
    *drafts.routes,
    *jobs.routes,
    *schedules.routes,
    *connections.routes,
    *account.routes,
]
#: For callers who are not signed in.
sign_in_routes: list[BaseRoute] = sign_in.routes
