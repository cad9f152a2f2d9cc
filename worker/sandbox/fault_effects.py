"""What a fault does to a call: the answer given instead of the work, and what becomes of the answer after it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from worker.sandbox import hints
from worker.sandbox.faults import Fault, FaultPlan, Rule, marked
from worker.sandbox.hints import QuotaUsage, Style
from worker.sandbox.messages import EMPTY, Answer, Person

#: Words a refusal in the shape of its system: status and sentence in, answer out.
Problem = Callable[[int, str], Answer]

DROPPED = Answer(status=0, dropped=True)
PROXY_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
#: Given whatever the work has led to.
_INSTEAD: dict[Fault | str, Answer] = {
    Fault.DROP_AFTER: DROPPED,
    Fault.HTML_502: Answer(status=HTTPStatus.BAD_GATEWAY, raw=PROXY_PAGE, content_type=b"text/html"),
    Fault.ACCEPTED: Answer(status=HTTPStatus.ACCEPTED, payload={"detail": "Accepted."}),
    Fault.NO_CONTENT: EMPTY,
    Fault.ERROR_200: Answer(
        status=HTTPStatus.OK,
        payload={"exception": "moodle_exception", "errorcode": "error", "message": "The work was not done."},
    ),
}
_REFUSALS: dict[Fault | str, tuple[int, str]] = {
    Fault.REJECT: (HTTPStatus.BAD_REQUEST, "{who} is not valid."),
    Fault.UNAUTHORIZED: (HTTPStatus.UNAUTHORIZED, "Invalid token."),
    Fault.FORBIDDEN: (HTTPStatus.FORBIDDEN, "Forbidden"),
    Fault.NOT_FOUND: (HTTPStatus.NOT_FOUND, "Not found."),
    Fault.CONFLICT: (HTTPStatus.CONFLICT, "{who} is already registered."),
    Fault.TOO_LARGE: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too large."),
    Fault.UNPROCESSABLE: (HTTPStatus.UNPROCESSABLE_ENTITY, "{who} cannot be processed."),
}
_STATUSES: dict[Fault | str, int] = {Fault.OK: HTTPStatus.OK, Fault.CREATED: HTTPStatus.CREATED}
_IDS: dict[Fault | str, Callable[[str], Any]] = {
    Fault.STRING_IDS: str,
    Fault.INT_IDS: lambda text: int(float(text)),
    Fault.FLOAT_IDS: float,
}
#: An id that is a word has no other type.
_NUMBER = re.compile(r"\d+")
_ID_FIELDS = frozenset({"id", "candidateId", "candidateExperienceId", "userId", "courseId"})


def answer_instead(rule: Rule, persons: Callable[[], list[Person]], problem: Problem) -> Answer | None:
    """Return the answer of a rule that leaves the work undone; None for the other rules."""
    if rule.what in _REFUSALS:
        status, text = _REFUSALS[rule.what]
        return problem(status, text.format(who=_who(rule, persons())))
    if rule.what is Fault.LOST_BEFORE:
        return problem(rule.status or HTTPStatus.INTERNAL_SERVER_ERROR, "An error has occurred.")
    if rule.what is Fault.DROP_BEFORE:
        return DROPPED
    return None


def throttle(rule: Rule, at: float) -> tuple[Answer, float | None]:
    """Return the refusal of a `throttle` rule, and the moment that it names."""
    style = Style(
        status=rule.status or HTTPStatus.TOO_MANY_REQUESTS,
        retry_after=rule.retry_after,
        headers=rule.headers,
        body=rule.body,
    )
    answer, until = hints.refusal(style, rule.wait, at)
    standing = QuotaUsage(limit=10, remaining=0, reset=rule.wait, window=rule.wait)
    more = tuple(hints.rate_limit_headers(rule.headers, standing, at).items())
    return replace(answer, headers=answer.headers + more), until


def alter_answer(rule: Rule, answer: Answer, problem: Problem, scenario: FaultPlan, ids: frozenset[str]) -> Answer:
    """Return what becomes of an answer; `ids` are the further names of ids in it."""
    if rule.what is Fault.LOST_AFTER:
        return problem(rule.status or HTTPStatus.INTERNAL_SERVER_ERROR, "An error has occurred.")
    if rule.what in _INSTEAD:
        return _INSTEAD[rule.what]
    if rule.what in {Fault.TIMEOUT_AFTER, Fault.SLOW}:
        return replace(answer, held=answer.held + rule.seconds)
    # A refusal has no ids and no array to spoil, and stays a refusal.
    return answer if answer.status >= HTTPStatus.BAD_REQUEST else _reshape(rule, answer, scenario, ids)


def _reshape(rule: Rule, answer: Answer, scenario: FaultPlan, ids: frozenset[str]) -> Answer:
    if rule.what in _STATUSES:
        return replace(answer, status=_STATUSES[rule.what])
    if rule.what in _IDS:
        return replace(answer, payload=_with_ids(answer.payload, _IDS[rule.what], _ID_FIELDS | ids))
    if isinstance(answer.payload, list):
        if rule.what is Fault.SHORT:
            return replace(answer, payload=answer.payload[: -rule.count or None])
        if rule.what is Fault.SHUFFLED:
            return replace(answer, payload=scenario.shuffle(answer.payload))
    return answer


def _with_ids(value: Any, turn: Callable[[str], Any], names: frozenset[str]) -> Any:
    if isinstance(value, list):
        return [_with_ids(each, turn, names) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: turn(text) if key in names and _NUMBER.fullmatch(text := _id_text(each)) else each
        for key, each in value.items()
    }


def _id_text(value: Any) -> str:
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def _who(rule: Rule, persons: list[Person]) -> str:
    """Name those whom the rule's marker means; without a marker the first."""
    meant = [person.name for person in persons if rule.marker and marked(person, rule.marker)]
    names = meant or [person.name for person in persons[:1]]
    return f"Candidate{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else "The request"
