"""Errors as HTTP problems: a status and a sentence (RFC 9457), with no personal data in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import structlog
from starlette.exceptions import HTTPException

from worker.errors import LedgerError, RosterError, SettingsError, UnknownJob, UnknownSchedule, UnreadableRoster
from worker.safe_errors import location_of

#: Programs call these paths; browsers call the others.
API_PATHS = ("/api/", "/hooks/", "/healthz", "/metrics")
log = structlog.get_logger("roster")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What the audit log says of a refused request."""

    action: str
    #: The account that it is about, when the caller has not signed in.
    account: str = ""
    detail: str = ""


@dataclass
class HttpProblem(Exception):
    """A response that says what is wrong and what to do."""

    status: int
    detail: str
    headers: dict[str, str] = field(default_factory=dict)
    #: Further members of the response.
    extra: dict[str, Any] = field(default_factory=dict)
    #: For the audit log, when its status does not say it.
    refusal: Refusal | None = None

    @property
    def title(self) -> str:
        """Return the phrase of the status."""
        return HTTPStatus(self.status).phrase

    def __str__(self) -> str:
        """Return the detail."""
        return self.detail


def is_api_path(path: str) -> bool:
    """Return whether a path is for programs rather than for browsers."""
    return path == "/api" or path.startswith(API_PATHS)


def problem_of(error: Exception) -> HttpProblem:
    """Return the problem of an error; of an unexpected one only the place is logged, never its message."""
    if isinstance(error, HttpProblem):
        return error
    if isinstance(error, HTTPException):
        return HttpProblem(
            error.status_code, _DETAILS.get(error.status_code, error.detail), dict(error.headers or {})
        )
    if isinstance(error, LedgerError):
        log.warning("ledger unavailable", reason=type(error).__name__)
        return HttpProblem(
            503, "The database is temporarily unavailable. Try again in a few seconds", {"Retry-After": "5"}
        )
    for kind, status in _STATUSES.items():
        if isinstance(error, kind):
            return HttpProblem(status, str(error))
    log.error("request failed", place=location_of(error))
    return HttpProblem(500, "Unexpected error. Recorded data is safe; the server log has the details")


def refusal_of(problem: HttpProblem) -> Refusal | None:
    """Return what the audit log says of a problem; None when the request was not refused for its caller."""
    action = _REFUSALS.get(problem.status)
    return problem.refusal or (Refusal(action=action) if action else None)


#: Statuses that mean a refusal wherever they come from.
_REFUSALS = {403: "request refused", 421: "request refused", 429: "too many requests"}
#: The status of a class; the first that matches counts.
_STATUSES: dict[type[RosterError], int] = {
    UnknownJob: 404,
    UnknownSchedule: 404,
    UnreadableRoster: 422,
    SettingsError: 422,
    RosterError: 409,
}
_DETAILS = {
    404: "There is no page at this address",
    405: "This address does not support that method",
}
