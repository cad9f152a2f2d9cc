"""Answer errors: problem details for programs, a page for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from starlette.responses import Response

from worker.web import pages
from worker.web.problems import Problem, as_problem, is_for_programs

if TYPE_CHECKING:
    from starlette.requests import Request


def answer(request: Request, problem: Problem) -> Response:
    """Return the answer: problem details to a program, a page to a person."""
    if not is_for_programs(request.url.path):
        return pages.error_page(request, problem)
    body = {"type": "about:blank", "title": problem.title, "status": problem.status, "detail": problem.detail}
    text = json.dumps({**body, **problem.more}, ensure_ascii=False)
    return Response(text, problem.status, problem.headers, "application/problem+json")


async def handle(request: Request, error: Exception) -> Response:
    """Answer an error; Starlette's handler for all of them."""
    return answer(request, as_problem(error))
