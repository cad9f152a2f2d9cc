"""What an answer of an LMS means: done, refused, asked to wait, perhaps done, or stop. Pure; makes no call.

Decided for safety where the API pages are silent: a changing call whose answer is missing, a 5xx or a 408 may
have had its effect; a 429, or a 503 that says when to come back, has not.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from worker.errors import AnswerLost, RateLimited, Refused, StopJob

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.pace.hints.response import Hints

#: So much of an answer's text is kept for the report.
LONGEST_WORDS = 300
#: So deep in an error body words are looked for.
DEEPEST = 8
#: So much is searched for the ids of candidates.
LONGEST_TEXT = 20_000
#: "See other": what a form gets after its work was done.
_AFTER_A_POST = frozenset({302, 303})
_REDIRECT, _CLIENT_ERROR, _SERVER_ERROR, _END = 300, 400, 500, 600
_UNAUTHORIZED, _REQUEST_TIMEOUT = 401, 408
_ALREADY = re.compile(r"\balready\b", re.IGNORECASE)
_FORBIDDEN = 403
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer with a success status; `body` is its JSON, or None when it has none."""

    status: int
    body: Any
    text: str
    headers: Mapping[str, str]


def judge(answer: Answer, hints: Hints, *, changes: bool) -> Answer:
    """Return the answer when it is a success; raise what it means otherwise."""
    status = answer.status
    if hints.throttled:
        raise RateLimited(hints.retry_after or 0.0, f"The LMS asked for a pause ({status})")
    if status < _REDIRECT:
        return answer
    if changes and status in _AFTER_A_POST:
        raise AnswerLost(
            f"The LMS answered {status} instead of a result; perhaps it did its work all the same", status
        )
    if status < _CLIENT_ERROR:
        where = answer.headers.get("location", "another address")
        raise StopJob("redirected", f"The LMS redirects to {where}; set base_url to where the API is", status)
    if status == _UNAUTHORIZED:
        raise StopJob(
            "credentials_refused",
            f"The LMS refused the credentials ({status}: {words(answer)}); check this connection's token or key, "
            "then resume the job",
            status,
        )
    if status == _REQUEST_TIMEOUT or status >= _SERVER_ERROR:
        raise AnswerLost(
            f"The LMS answered {status} ({words(answer)}); perhaps it did its work all the same", status
        )
    raise Refused("refused", status, words(answer), answer.text[:LONGEST_TEXT])


def parse(status: int, headers: Mapping[str, str], content: bytes) -> Answer:
    """Return an answer with its JSON read, whatever content type it claims."""
    text = content.decode("utf-8", errors="replace")
    try:
        body = json.loads(content) if content.strip() else None
    except (ValueError, RecursionError):
        body = None
    return Answer(status=status, body=body, text=text, headers=headers)


def words(answer: Answer) -> str:
    """Return the LMS's own words in one line: from the usual places of JSON, a page's title, or the text."""
    found = list(_sentences(answer.body)) if answer.body is not None else []
    if not found and (title := _TITLE.search(answer.text)):
        found = [title.group(1)]
    if not found and not answer.text.lstrip().startswith("<"):
        found = [answer.text]
    line = " ".join(" ".join(found).split())
    return line[:LONGEST_WORDS] or "no words"


def _sentences(body: Any, key: str = "", depth: int = 0) -> list[str]:
    """Return the texts of an error body: `detail`, `message`, field errors of Django and .NET, lists of them."""
    if depth > DEEPEST:
        return []
    if isinstance(body, str):
        return [f"{key}: {body}" if key else body]
    if isinstance(body, list):
        return [line for part in body for line in _sentences(part, key, depth + 1)]
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
            lines += _sentences(part, key if str(name).lower() in plain else str(name), depth + 1)
    return lines


def says_already(refused: Refused) -> bool:
    """Tell whether a refusal says that the thing is there already: 409, or a 400 or 422 with the word."""
    conflict, bad_request, unprocessable = 409, 400, 422
    if refused.status == conflict:
        return True
    return refused.status in {bad_request, unprocessable} and bool(_ALREADY.search(refused.message))


def recoded(refused: Refused, *, already: str, otherwise: str) -> Refused:
    """Return a refusal under the report's code: the thing is there already, not allowed, or refused otherwise."""
    code = already if says_already(refused) else otherwise
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
    """Return a field of a JSON object; None when there is none, or it is no object."""
    return body.get(name) if isinstance(body, dict) else None


def list_of(answer: Answer) -> list[dict[str, Any]]:
    """Return the objects of an answer that must be a list; raises AnswerLost when it is none."""
    if not isinstance(answer.body, list):
        raise AnswerLost("The LMS answered a list call with something that is no list", answer.status)
    return [item for item in answer.body if isinstance(item, dict)]


def utc_text(seconds: float) -> str:
    """Return a time as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
