"""Reading the JSON of an LMS, whatever types it uses for ids, lists and times. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from worker.errors import AnswerLost

if TYPE_CHECKING:
    from worker.lms.responses import Answer


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
