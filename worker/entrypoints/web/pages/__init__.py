"""The HTML pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from worker.entrypoints.web.security import needs
from worker.model import Role

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.entrypoints.web.problems import Problem


@needs(Role.VIEWER)
async def _home(_: Request) -> Response:
    return RedirectResponse("/api/jobs", status_code=303)


def error_page(_: Request, problem: Problem) -> Response:
    """Return the page that says what went wrong; a stranger's 401 leads to the sign-in page."""
    return PlainTextResponse(f"{problem.title}: {problem.detail}", problem.status, problem.headers)


routes: list[BaseRoute] = [Route("/", _home)]
#: Open to those who have not signed in.
sign_in_routes: list[BaseRoute] = []
