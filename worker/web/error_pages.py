"""Responses to errors: problem details for programs, a page for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from starlette.responses import Response

from worker.reports.wording import for_api
from worker.web import pages
from worker.web.problems import HttpProblem, is_api_path, problem_of
from worker.web.refusals import record_refusal

if TYPE_CHECKING:
    from starlette.requests import Request


def respond(request: Request, problem: HttpProblem) -> Response:
    """Return the response to a problem: problem details for a program, a page for a person."""
    if not is_api_path(request.url.path):
        return pages.error_page(request, problem)
    body = {"type": "about:blank", "title": problem.title, "status": problem.status}
    text = json.dumps({**body, "detail": for_api(problem.detail), **problem.extra}, ensure_ascii=False)
    return Response(text, problem.status, problem.headers, "application/problem+json")


async def handle_error(request: Request, error: Exception) -> Response:
    """Return the response to an error, and record a refusal; Starlette's handler of all of them."""
    problem = problem_of(error)
    await record_refusal(request, problem)
    return respond(request, problem)
