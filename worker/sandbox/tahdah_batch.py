"""What a body for the pretend Tahdah must look like (S0), and how a refusal is worded. Holds nothing."""

from __future__ import annotations

from collections import Counter
from datetime import date
from http import HTTPStatus
from typing import Any

import msgspec

from worker.sandbox.messages import Answer, Call, Refused

#: The two that have been seen; what they mean is unknown (S0).
_BEHAVIORS = (1, 2)


def problem(status: int, text: str) -> Answer:
    """Return a refusal in the shape of .NET's problem details (assumed)."""
    return Answer(
        status=status,
        payload={"title": "The request was not fulfilled.", "status": int(status), "detail": text},
        content_type=b"application/problem+json",
    )


def body_of(call: Call) -> dict[str, Any]:
    """Return the body of a call, or refuse it."""
    try:
        return call.json()
    except (msgspec.DecodeError, TypeError):
        raise Refused(problem(HTTPStatus.BAD_REQUEST, "The body must be a JSON object.")) from None


def wanted_of(body: dict[str, Any], most: int) -> list[dict[str, Any]]:
    """Check a batch: `candidateIds` is an array of objects, despite its name (S0)."""
    wanted = body.get("candidateIds")
    if not isinstance(wanted, list) or not wanted:
        raise Refused(problem(HTTPStatus.BAD_REQUEST, "candidateIds must be an array with at least one candidate."))
    if len(wanted) > most:
        raise Refused(problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"At most {most} candidates in one call."))
    for each in wanted:
        _check(each)
    repeated = [id_ for id_, count in Counter(each["candidateId"] for each in wanted).items() if count > 1]
    if repeated:
        raise Refused(problem(HTTPStatus.BAD_REQUEST, f"More than once in this call: {listed(repeated)}."))
    return wanted


def _check(item: Any) -> None:
    """Check one item of a batch; the types are those of the example (S0), taken strictly."""
    if not isinstance(item, dict) or type(item.get("candidateId")) is not int:
        raise Refused(problem(HTTPStatus.BAD_REQUEST, "candidateId must be an integer."))
    who = f"Candidate {item['candidateId']}"
    if type(item.get("behavior")) is not int or item["behavior"] not in _BEHAVIORS:
        raise Refused(problem(HTTPStatus.BAD_REQUEST, f"{who}: behavior must be 1 or 2."))
    if not _is_date(item.get("registrationDate")):
        raise Refused(problem(HTTPStatus.BAD_REQUEST, f"{who}: registrationDate must be YYYY-MM-DD."))


def _is_date(value: Any) -> bool:
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def listed(ids: list[int]) -> str:
    """Return ids as a sentence names them."""
    return ", ".join(map(str, ids))


def subject(ids: list[int]) -> str:
    """Return the beginning of a sentence that ends in "not exist"."""
    return f"Candidate {ids[0]} does" if len(ids) == 1 else f"Candidates {listed(ids)} do"
