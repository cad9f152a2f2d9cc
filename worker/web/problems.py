"""Errors as problem details (RFC 9457), or as a page where somebody looks with a browser. Nothing personal."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import Response

from worker.errors import LedgerError, RosterError, SettingsError, UnknownJob, UnreadableRoster
from worker.safe_errors import place_of

if TYPE_CHECKING:
    from starlette.requests import Request

#: Paths below these are called by programs.
PROGRAMS = ("/api/", "/hooks/", "/healthz", "/metrics")
log = structlog.get_logger("roster")


@dataclass
class Problem(Exception):
    """An answer that says what is wrong and what to do."""

    status: int
    detail: str
    headers: dict[str, str] = field(default_factory=dict)
    #: Further members of the answer.
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Return the status in words."""
        return HTTPStatus(self.status).phrase

    def __str__(self) -> str:
        """Return the plain sentence."""
        return self.detail


def is_for_programs(path: str) -> bool:
    """Tell whether a path is called by programs rather than by people with a browser."""
    return path == "/api" or path.startswith(PROGRAMS)


def as_problem(error: Exception) -> Problem:
    """Return what to answer to an error; of one that nobody foresaw only its kind and place are logged."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return Problem(error.status_code, _SAID.get(error.status_code, error.detail), dict(error.headers or {}))
    if isinstance(error, LedgerError):
        log.warning("the ledger refused", reason=type(error).__name__)
        return Problem(503, "The ledger cannot be reached at the moment; try again", {"Retry-After": "5"})
    for kind, status in _STATUSES.items():
        if isinstance(error, kind):
            return Problem(status, str(error))
    log.error("an answer failed", place=place_of(error))
    return Problem(500, "This should not have happened; what was recorded is safe. The server's log has the place")


#: The class is the decision; the first that fits.
_STATUSES: dict[type[RosterError], int] = {
    UnknownJob: 404,
    UnreadableRoster: 422,
    SettingsError: 422,
    RosterError: 409,
}
_SAID = {
    404: "There is nothing at this address",
    405: "This address does not take that method",
}


def answer(request: Request, problem: Problem) -> Response:
    """Return the answer: problem details to a program, a page to a person."""
    if not is_for_programs(request.url.path):
        from worker.web import pages  # noqa: PLC0415 - the pages import from here

        return pages.error_page(request, problem)
    body = {"type": "about:blank", "title": problem.title, "status": problem.status, "detail": problem.detail}
    text = json.dumps({**body, **problem.more}, ensure_ascii=False)
    return Response(text, problem.status, problem.headers, "application/problem+json")


async def handle(request: Request, error: Exception) -> Response:
    """Answer an error; Starlette's handler for all of them."""
    return answer(request, as_problem(error))
