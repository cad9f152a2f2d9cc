"""The HTML pages."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from worker.web.auth import SAFE_METHODS
from worker.web.local_access import ADDRESS_NEEDED_ON_PAGE
from worker.web.pages import account, connections, drafts, home, jobs, schedules, sign_in
from worker.web.pages.rendering import render_page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from worker.web.caller import Caller
    from worker.web.problems import HttpProblem

_SIGN_IN, _NO_SUCH_METHOD, _SEE_OTHER = 401, 405, 303


def error_page(request: Request, problem: HttpProblem) -> Response:
    """Return the page of a problem.

    401 redirects to the sign-in page, if there are accounts; the address of an action, opened as a page, to the
    page with its button.
    """
    caller: Caller | None = getattr(request.state, "caller", None)
    if problem.status == _SIGN_IN and caller is not None and caller.needs_address:
        problem = replace(problem, detail=ADDRESS_NEEDED_ON_PAGE)
    elif problem.status == _SIGN_IN:
        wanted = sign_in.page_of(request)
        query = f"?{urlencode({'next': wanted})}" if wanted != "/" else ""
        return RedirectResponse(f"/sign-in{query}", _SEE_OTHER)
    elif problem.status == _NO_SUCH_METHOD and request.method in SAFE_METHODS:
        return RedirectResponse(_page_with_button(request.url.path), _SEE_OTHER)
    shown = render_page(request, "problem.html", status=problem.status, problem=problem)
    shown.headers.update(problem.headers)
    return shown


def _page_with_button(path: str) -> str:
    """Return the page whose button sends to this address."""
    _, area, *rest = path.split("/")
    if area in {"account", "connections"}:
        return f"/{area}"
    return f"/{area}/{rest[0]}" if area in {"drafts", "jobs"} and len(rest) > 1 else "/"


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
