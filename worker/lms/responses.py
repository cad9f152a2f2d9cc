"""What a response of an LMS means: done, refused, retry later, perhaps done, or stop. Pure; makes no call.

Decided for safety where the API pages say nothing: a changing call whose response is missing, a 5xx or a 408 may
have had its effect; a 429, or a 503 with a time to come back, has not.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from worker.addresses import masked
from worker.errors import AnswerLost, RateLimited, Refused, StopJob

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.pace.hints.response import Hints

#: Maximum length of an error message in the report (characters).
MAX_MESSAGE_LENGTH = 300
#: Maximum depth to which an error body is searched for messages.
MAX_DEPTH = 8
#: Maximum length of the text that is searched for the ids of candidates (characters).
MAX_TEXT_LENGTH = 20_000
#: "See other": the usual response to a form that was processed.
_AFTER_A_POST = frozenset({302, 303})
_REDIRECT, _CLIENT_ERROR, _SERVER_ERROR, _END = 300, 400, 500, 600
_UNAUTHORIZED, _REQUEST_TIMEOUT = 401, 408
_ALREADY = re.compile(r"\balready\b", re.IGNORECASE)
_FORBIDDEN = 403
_TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class LmsResponse:
    """A response of an LMS; `body` is its JSON, or None when it has none."""

    status: int
    body: Any
    text: str
    headers: Mapping[str, str]


def check_response(response: LmsResponse, hints: Hints, *, changes: bool) -> LmsResponse:
    """Return a successful response; raise the error that any other one means."""
    status = response.status
    if hints.throttled:
        raise RateLimited(hints.retry_after or 0.0, f"The LMS asked for a pause ({status})")
    if status < _REDIRECT:
        return response
    if changes and status in _AFTER_A_POST:
        raise AnswerLost(f"The LMS answered {status} instead of a result; it may have done the work", status)
    if status < _CLIENT_ERROR:
        where = _shown(response.headers.get("location", "another address"))
        raise StopJob("redirected", f"The LMS redirects to {where}; set base_url to where the API is", status)
    if status == _UNAUTHORIZED:
        raise StopJob(
            "credentials_refused",
            f"The LMS refused the credentials ({status}: {error_message(response)}); "
            "check this connection's token or key, then resume the job",
            status,
        )
    if status == _REQUEST_TIMEOUT or status >= _SERVER_ERROR:
        raise AnswerLost(
            f"The LMS answered {status} ({error_message(response)}); it may have done the work", status
        )
    raise Refused("refused", status, error_message(response), response.text[:MAX_TEXT_LENGTH])


def _shown(location: str) -> str:
    """Return where a redirect leads, without what may be a secret or a person's value."""
    return masked(location) if "://" in location else location.partition("?")[0]


def parse(status: int, headers: Mapping[str, str], content: bytes) -> LmsResponse:
    """Return a response with its JSON parsed, whatever content type it claims."""
    text = content.decode("utf-8", errors="replace")
    try:
        body = json.loads(content) if content.strip() else None
    except (ValueError, RecursionError):
        body = None
    return LmsResponse(status=status, body=body, text=text, headers=headers)


def error_message(response: LmsResponse) -> str:
    """Return the LMS's own error message on one line: from the usual JSON fields, an HTML title, or the text."""
    found = list(_messages(response.body)) if response.body is not None else []
    if not found and (title := _TITLE.search(response.text[:MAX_TEXT_LENGTH])):
        found = [title.group(1)]
    if not found and not response.text.lstrip().startswith("<"):
        found = [response.text[:MAX_TEXT_LENGTH]]
    line = " ".join(" ".join(found).split())
    return line[:MAX_MESSAGE_LENGTH] or "no message"


def _messages(body: Any, key: str = "", depth: int = 0) -> list[str]:
    """Return the messages of an error body: `detail`, `message`, field errors of Django and .NET, lists of them."""
    if depth > MAX_DEPTH:
        return []
    if isinstance(body, str):
        return [f"{key}: {body}" if key else body]
    if isinstance(body, list):
        return [line for part in body for line in _messages(part, key, depth + 1)]
    if not isinstance(body, dict):
        return []
    plain = {
        "detail",
        "message",
        "title",
        "error",
        "errors",
        "description",
        "non_field_errors",
        "reason",
        "exception",
    }
    skipped = {"type", "traceid", "status", "statuscode", "code", "instance"}
    lines = []
    for name, part in body.items():
        if str(name).lower() not in skipped:
            lines += _messages(part, key if str(name).lower() in plain else str(name), depth + 1)
    return lines


def is_conflict(refused: Refused) -> bool:
    """Return whether a refusal says that the thing exists already: 409, or a 400 or 422 with the word "already"."""
    conflict, bad_request, unprocessable = 409, 400, 422
    if refused.status == conflict:
        return True
    return refused.status in {bad_request, unprocessable} and bool(_ALREADY.search(refused.message))


def with_report_code(refused: Refused, *, already: str, otherwise: str) -> Refused:
    """Return a refusal with the report's code: the thing exists already, not allowed, or refused otherwise."""
    code = already if is_conflict(refused) else otherwise
    code = "not_allowed" if refused.status == _FORBIDDEN else code
    return Refused(code, refused.status, refused.message, refused.text)


def as_id(value: Any) -> str | None:
    """Return an id as text: `7`, `"7"` and `7.0` are the same one (K-reg shows userId as 123456.0)."""
    if type(value) is int:
        return str(value)
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else None
    text = str(value).strip() if isinstance(value, int | str) else ""
    whole, point, tail = text.partition(".")
    if point and whole.isdigit() and tail and not tail.strip("0"):
        text = whole
    return text or None


def field_of(body: Any, name: str) -> Any:
    """Return a field of a JSON object; None when it is missing, or the body is not an object."""
    return body.get(name) if isinstance(body, dict) else None


def objects_of(response: LmsResponse) -> list[dict[str, Any]]:
    """Return the objects of a response that must be a list; raises AnswerLost when it is not one."""
    if not isinstance(response.body, list):
        raise AnswerLost("The LMS answered a list call with something that is not a list", response.status)
    return [item for item in response.body if isinstance(item, dict)]


def utc_text(seconds: float) -> str:
    """Return a time as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
