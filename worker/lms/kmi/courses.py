"""KMI's registrations read back, approved, completed and withdrawn (K-reg).

No page says which action is allowed from which status. Approving a completed registration is never sent: it might
revert the completion, and the approval came before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from worker.errors import Refused
from worker.identity import email_key
from worker.lms.contract import ActionRequest, ActionResult, Intent, LookupMiss, RegistrationOwner, RemoteState
from worker.lms.http import LmsClient
from worker.lms.kmi.shapes import (
    APPROVED,
    COMPLETED,
    UNSAFE_IN_PATH,
    WITHDRAWN,
    as_person,
    is_active,
    is_on,
    lookup_miss_of,
    path_segment,
    status_of,
)
from worker.lms.responses import as_id, field_of, objects_of, with_report_code
from worker.model import Action, Candidate, Course, RosterRow

PAGE_SIZE = 100
#: With fewer registrations than this, each is read by itself.
LISTING_THRESHOLD = 4
#: "Accepted": to be done at some time (no page says that KMI answers so).
_ACCEPTED = 202
#: The statuses in which an action needs no call.
_DONE_STATUSES = {
    Action.APPROVE: frozenset({APPROVED, COMPLETED}),
    Action.COMPLETE: frozenset({COMPLETED}),
    Action.WITHDRAW: frozenset({WITHDRAWN}),
}
StateLookup = RemoteState | LookupMiss | Refused


async def read_states(client: LmsClient, requests: Sequence[ActionRequest]) -> Mapping[int, StateLookup]:
    """Read registrations: by the list of their course where that takes fewer calls, the others one by one."""
    listed = await _list_course(client, requests) if len(requests) >= LISTING_THRESHOLD else {}
    found: dict[int, StateLookup] = {}
    for request in requests:
        items = _candidates_for(listed.get(request.candidate_id, []), request)
        if items:
            found[request.row_id] = _choose(items, request)
    left = [request for request in requests if request.row_id not in found]
    singles = await asyncio.gather(*(_read_one(client, request) for request in left))
    return found | {request.row_id: found_state for request, found_state in zip(left, singles, strict=True)}


async def change(
    client: LmsClient, request: ActionRequest, state: RemoteState, intent: Intent
) -> ActionResult | None:
    """Approve, complete or withdraw one registration; None when the response does not confirm it."""
    path = f"/registrations/{path_segment(state.lms_id)}/{request.action}/"
    body = completion_body(request) if request.action is Action.COMPLETE else None
    try:
        response = await client.change(request.action, "POST", path, body, intent)
    except Refused as refused:
        raise _refusal(refused) from None
    if request.action is Action.WITHDRAW:
        # The page shows no body for it.
        return ActionResult(http_status=response.status) if response.status != _ACCEPTED else None
    shown = response.body if isinstance(response.body, dict) else {}
    return ActionResult(http_status=response.status) if status_of(shown) in _DONE_STATUSES[request.action] else None


def completion_body(request: ActionRequest) -> dict[str, Any]:
    """Return the body of a completion: `success` is a string in the example (K-reg)."""
    body: dict[str, Any] = {}
    if request.row.score is not None:
        score = request.row.score
        body["score"] = int(score) if score == score.to_integral_value() else float(score)
    if request.row.success is not None:
        body["success"] = "true" if request.row.success else "false"
    return body


async def _list_course(client: LmsClient, requests: Sequence[ActionRequest]) -> Mapping[str, list[dict[str, Any]]]:
    """Return the registrations of the requests' course by user id; none unless listing is complete and cheaper."""
    course = requests[0].row.course
    if course is None or course.course_id is None:
        return {}
    found: dict[str, list[dict[str, Any]]] = {}
    pages = max(1, len(requests) // 2)
    for page in range(pages):
        items = await _list(client, course_id=course.course_id, offset=page * PAGE_SIZE, limit=PAGE_SIZE)
        for item in items:
            found.setdefault(as_id(item.get("userId")) or "", []).append(item)
        if len(items) < PAGE_SIZE:
            break
        if page == 0 and await _list(client, course_id=course.course_id, offset=pages * PAGE_SIZE, limit=1):
            return {}
    return found


async def _list(client: LmsClient, **params: Any) -> list[dict[str, Any]]:
    return objects_of(await client.read("list_registrations", "/registrations/", params))


async def _read_one(client: LmsClient, request: ActionRequest) -> StateLookup:
    """Read one registration: by the roster's own id, by KMI's id, among the user's, or by our key."""
    try:
        if request.row.registration_external_id is not None:
            return await _by_external_id(client, request, request.row.registration_external_id)
        if request.registration_id is not None:
            known = await _read_path(client, f"/registrations/{path_segment(request.registration_id)}/")
            if known is not None and _is_conclusive(known, request):
                return _state_of(known, request)
        found = await _search_user(client, request)
        if found is LookupMiss.ABSENT and request.idempotency_key not in UNSAFE_IN_PATH:
            return await _by_external_id(client, request, request.idempotency_key)
    except Refused as refused:
        return _refusal(refused)
    return found


async def _read_path(client: LmsClient, path: str) -> dict[str, Any] | None:
    """Return the registration at a path; None when there is none."""
    try:
        response = await client.read("find_registration", path)
    except Refused as refused:
        if lookup_miss_of(refused) is LookupMiss.ABSENT:
            return None
        raise
    return response.body if as_id(field_of(response.body, "id")) else None


async def _by_external_id(client: LmsClient, request: ActionRequest, external_id: str) -> StateLookup:
    """Read a registration by an id of ours; it must be this person's, on this course."""
    if external_id in UNSAFE_IN_PATH:
        return _unusable_id(external_id)
    item = await _read_path(client, f"/registrations/external/{path_segment(external_id)}/")
    if item is None:
        return LookupMiss.ABSENT
    if as_id(item.get("userId")) not in {None, request.candidate_id} or _is_on_another_course(
        item, request.row.course
    ):
        return _mismatch(external_id)
    return _state_of(item, request)


def _is_on_another_course(item: Mapping[str, Any], course: Course | None) -> bool:
    """Return whether a registration is on another course; it does not show the course's external id."""
    shows = course is not None and (course.course_id is not None or course.name is not None)
    return shows and course is not None and not is_on(item, course)


def _mismatch(external_id: str) -> Refused:
    message = f"The registration {external_id} belongs to another person or another course; nothing was sent"
    return Refused("registration_mismatch", None, message)


def _candidates_for(items: Sequence[dict[str, Any]], request: ActionRequest) -> Sequence[dict[str, Any]]:
    """Return the registrations that a request may mean: only the one with the roster's id, if the row has one."""
    external_id = request.row.registration_external_id
    if external_id is None:
        return items
    under_it = [item for item in items if str(item.get("externalId") or "") == external_id]
    return under_it if len(under_it) == 1 else []


async def find_by_external_id(client: LmsClient, row: RosterRow) -> RegistrationOwner | LookupMiss:
    """Find a registration by its external id (K-reg); it must match the person and course of the row."""
    external_id = row.registration_external_id or ""
    if external_id in UNSAFE_IN_PATH:
        raise _unusable_id(external_id)
    try:
        item = await _read_path(client, f"/registrations/external/{path_segment(external_id)}/")
        if item is None:
            return LookupMiss.ABSENT
        user_id, course_id = as_id(item.get("userId")), as_id(item.get("courseId"))
        if user_id is None or course_id is None:
            return LookupMiss.NO_LOOKUP
        theirs = await _belongs_to(client, item, user_id, row.candidate)
    except Refused as refused:
        raise _refusal(refused) from None
    if not theirs or _is_on_another_course(item, row.course):
        raise _mismatch(external_id)
    return RegistrationOwner(candidate_id=user_id, course_id=course_id)


async def _belongs_to(client: LmsClient, item: Mapping[str, Any], user_id: str, who: Candidate) -> bool:
    """Return whether a registration belongs to the person that the row names: by id, external id or e-mail.

    It shows the user's ids (K-reg); the e-mail address, and an external id that it lacks, are read from the user.
    """
    if who.candidate_id is not None:
        return who.candidate_id == user_id
    if who.external_id is not None and item.get("userExternalId"):
        return str(item["userExternalId"]).strip() == who.external_id
    if who.external_id is None and who.email is None:
        return True
    response = await client.read("find_user", f"/users/{path_segment(user_id)}/")
    shown = as_person(response.body) if isinstance(response.body, dict) else None
    if shown is None:
        return False
    if who.external_id is not None and shown.external_id is not None:
        return shown.external_id == who.external_id
    return who.email is not None and email_key(shown.email or "") == email_key(who.email)


def _unusable_id(external_id: str) -> Refused:
    return Refused(
        "registration_not_found", None, f"{external_id} cannot be used as an id in a request; give another"
    )


async def _search_user(client: LmsClient, request: ActionRequest) -> StateLookup:
    """Search the user's registrations on the course."""
    course = request.row.course
    params = {"user_id": request.candidate_id, "offset": 0, "limit": PAGE_SIZE}
    if course is not None and course.course_id is not None:
        params["course_id"] = course.course_id
    items = await _list(client, **params)
    ours = [
        item
        for item in items
        if str(item.get("externalId") or "") == request.idempotency_key and _is_conclusive(item, request)
    ]
    theirs = ours or [item for item in items if course is not None and is_on(item, course)]
    if theirs:
        return _choose(theirs, request)
    unnamed = course is not None and course.course_id is None and course.name is None
    unclear = len(items) >= PAGE_SIZE or (items and unnamed)
    if not unclear:
        return LookupMiss.ABSENT
    message = "The LMS does not show which of this person's registrations is on that course; give the course_id"
    return Refused("registration_not_found", None, f"{message}, or a registration_external_id")


def _is_conclusive(item: Mapping[str, Any], request: ActionRequest) -> bool:
    """Return whether to stop searching; a person who was withdrawn by hand may have another registration."""
    return is_active(item) or request.action is not Action.REGISTER


def _choose(items: Sequence[Mapping[str, Any]], request: ActionRequest) -> StateLookup:
    """Return the registration that a request means: ours, else the only active one, else the last withdrawn."""
    active = [item for item in items if is_active(item)]
    ours = [
        item
        for item in active
        if str(item.get("externalId") or "") == request.idempotency_key
        or as_id(item.get("id")) == request.registration_id
    ]
    if ours or len(active) == 1:
        return _state_of((ours or active)[0], request)
    return LookupMiss.AMBIGUOUS if active else _state_of(items[-1], request)


def _state_of(item: Mapping[str, Any], request: ActionRequest) -> RemoteState:
    status = status_of(item)
    reached = is_active(item) if request.action is Action.REGISTER else status in _DONE_STATUSES[request.action]
    if request.action is Action.COMPLETE and request.row.score is not None:
        reached = reached and _same_number(item.get("score"), request.row.score)
    hindrance = None
    if status == WITHDRAWN and not reached:
        message = "This registration was withdrawn; register the person again first"
        hindrance = Refused("registration_withdrawn", None, message)
    return RemoteState(
        lms_id=as_id(item.get("id")) or "",
        course_id=as_id(item.get("courseId")),
        is_done=reached,
        withdrawn=status == WITHDRAWN,
        refusal=hindrance,
        description=_describe(item),
        body=item,
    )


def _describe(item: Mapping[str, Any]) -> str:
    score = item.get("score")
    scored = f" with a score of {score:g}" if isinstance(score, int | float) else ""
    return f"{item.get('statusName') or 'without a status'}{scored}"


def _same_number(shown: Any, wanted: Decimal) -> bool:
    return isinstance(shown, int | float) and not isinstance(shown, bool) and float(shown) == float(wanted)


def _refusal(refused: Refused) -> Refused:
    """Return a refusal with the report's code: not registered, ambiguous, not allowed, or the action itself."""
    if lookup_miss_of(refused) is LookupMiss.ABSENT:
        return Refused("not_registered", refused.status, refused.message, refused.text)
    if "more than one" in refused.message.lower():
        return Refused("ambiguous_registration", refused.status, refused.message, refused.text)
    return with_report_code(refused, already="already_so", otherwise="action_refused")
