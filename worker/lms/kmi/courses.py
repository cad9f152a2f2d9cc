"""KMI's registrations read back, approved, completed and withdrawn (K-reg).

Which step is allowed from which status no page says. Approving what is completed is never sent: it might take the
completion back, and the approval lies behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from worker.errors import Refused
from worker.lms.contract import Deed, Done, Intent, Named, Seen, Unfound
from worker.lms.http import Door
from worker.lms.kmi.shapes import (
    APPROVED,
    COMPLETED,
    UNSAFE_IN_A_PATH,
    WITHDRAWN,
    as_person,
    is_on,
    segment,
    stands,
    status_of,
    unfound,
)
from worker.lms.responses import as_id, field_of, list_of, recoded
from worker.model import Action, Candidate, Course, RosterRow

PAGE = 100
#: For fewer than so many registrations, each is asked for by itself.
FEW = 4
#: Accepted, to be done some time (no page says that KMI answers so).
_ACCEPTED = 202
#: The statuses in which there is nothing left to do.
_REACHED = {
    Action.APPROVE: frozenset({APPROVED, COMPLETED}),
    Action.COMPLETE: frozenset({COMPLETED}),
    Action.WITHDRAW: frozenset({WITHDRAWN}),
}
Looked = Seen | Unfound | Refused


async def look(door: Door, deeds: Sequence[Deed]) -> Mapping[int, Looked]:
    """Read registrations: by the list of their course where that takes fewer calls, the others one by one."""
    listed = await _list_of_course(door, deeds) if len(deeds) >= FEW else {}
    found: dict[int, Looked] = {}
    for deed in deeds:
        items = _meant(listed.get(deed.candidate_id, []), deed)
        if items:
            found[deed.row_id] = _choose(items, deed)
    left = [deed for deed in deeds if deed.row_id not in found]
    singles = await asyncio.gather(*(_look_one(door, deed) for deed in left))
    return found | {deed.row_id: looked for deed, looked in zip(left, singles, strict=True)}


async def change(door: Door, deed: Deed, seen: Seen, intent: Intent) -> Done | None:
    """Approve, complete or withdraw one registration; None when the answer does not say that it is so."""
    path = f"/registrations/{segment(seen.lms_id)}/{deed.action}/"
    body = completion(deed) if deed.action is Action.COMPLETE else None
    try:
        answer = await door.change(deed.action, "POST", path, body, intent)
    except Refused as refused:
        raise _refusal(refused) from None
    if deed.action is Action.WITHDRAW:
        # The page shows no body for it.
        return Done(http_status=answer.status) if answer.status != _ACCEPTED else None
    shown = answer.body if isinstance(answer.body, dict) else {}
    return Done(http_status=answer.status) if status_of(shown) in _REACHED[deed.action] else None


def completion(deed: Deed) -> dict[str, Any]:
    """Return the body of a completion: `success` is a text in the example (K-reg)."""
    body: dict[str, Any] = {}
    if deed.row.score is not None:
        score = deed.row.score
        body["score"] = int(score) if score == score.to_integral_value() else float(score)
    if deed.row.success is not None:
        body["success"] = "true" if deed.row.success else "false"
    return body


async def _list_of_course(door: Door, deeds: Sequence[Deed]) -> Mapping[str, list[dict[str, Any]]]:
    """Return the registrations of the deeds' course by user id; none unless the list is whole and worth it."""
    course = deeds[0].row.course
    if course is None or course.course_id is None:
        return {}
    found: dict[str, list[dict[str, Any]]] = {}
    pages = max(1, len(deeds) // 2)
    for page in range(pages):
        items = await _list(door, course_id=course.course_id, offset=page * PAGE, limit=PAGE)
        for item in items:
            found.setdefault(as_id(item.get("userId")) or "", []).append(item)
        if len(items) < PAGE:
            break
        if page == 0 and await _list(door, course_id=course.course_id, offset=pages * PAGE, limit=1):
            return {}
    return found


async def _list(door: Door, **params: Any) -> list[dict[str, Any]]:
    return list_of(await door.read("list_registrations", "/registrations/", params))


async def _look_one(door: Door, deed: Deed) -> Looked:
    """Find one registration: under the roster's own id for it, by KMI's id, among the user's, under our key."""
    try:
        if deed.row.registration_external_id is not None:
            return await _by_external_id(door, deed, deed.row.registration_external_id)
        if deed.registration_id is not None:
            known = await _read(door, f"/registrations/{segment(deed.registration_id)}/")
            if known is not None and _may_be_meant(known, deed):
                return _as_seen(known, deed)
        found = await _of_user(door, deed)
        if found is Unfound.ABSENT and deed.key not in UNSAFE_IN_A_PATH:
            return await _by_external_id(door, deed, deed.key)
    except Refused as refused:
        return _refusal(refused)
    return found


async def _read(door: Door, path: str) -> dict[str, Any] | None:
    """Return a registration; None when there is none."""
    try:
        answer = await door.read("find_registration", path)
    except Refused as refused:
        if unfound(refused) is Unfound.ABSENT:
            return None
        raise
    return answer.body if as_id(field_of(answer.body, "id")) else None


async def _by_external_id(door: Door, deed: Deed, external_id: str) -> Looked:
    """Read the registration under an id of ours, which must be this person's, on this course."""
    if external_id in UNSAFE_IN_A_PATH:
        return _not_an_id(external_id)
    item = await _read(door, f"/registrations/external/{segment(external_id)}/")
    if item is None:
        return Unfound.ABSENT
    if as_id(item.get("userId")) not in {None, deed.candidate_id} or _is_elsewhere(item, deed.row.course):
        return _mismatch(external_id)
    return _as_seen(item, deed)


def _is_elsewhere(item: Mapping[str, Any], course: Course | None) -> bool:
    """Tell whether a registration is on another course; of an external id of a course it shows nothing."""
    shows = course is not None and (course.course_id is not None or course.name is not None)
    return shows and course is not None and not is_on(item, course)


def _mismatch(external_id: str) -> Refused:
    message = f"The registration {external_id} belongs to somebody else or to another course; nothing was sent"
    return Refused("registration_mismatch", None, message)


def _meant(items: Sequence[dict[str, Any]], deed: Deed) -> Sequence[dict[str, Any]]:
    """Return which of a person's registrations on the course a deed may be about: the one under the roster's id."""
    external_id = deed.row.registration_external_id
    if external_id is None:
        return items
    under_it = [item for item in items if str(item.get("externalId") or "") == external_id]
    return under_it if len(under_it) == 1 else []


async def find_named(door: Door, row: RosterRow) -> Named | Unfound:
    """Find a registration by its external id (K-reg); it must be of whom, and on what, the row names beside it."""
    external_id = row.registration_external_id or ""
    if external_id in UNSAFE_IN_A_PATH:
        raise _not_an_id(external_id)
    try:
        item = await _read(door, f"/registrations/external/{segment(external_id)}/")
        if item is None:
            return Unfound.ABSENT
        user_id, course_id = as_id(item.get("userId")), as_id(item.get("courseId"))
        if user_id is None or course_id is None:
            return Unfound.NO_LOOKUP
        theirs = await _is_of(door, item, user_id, row.candidate)
    except Refused as refused:
        raise _refusal(refused) from None
    if not theirs or _is_elsewhere(item, row.course):
        raise _mismatch(external_id)
    return Named(candidate_id=user_id, course_id=course_id)


async def _is_of(door: Door, item: Mapping[str, Any], user_id: str, who: Candidate) -> bool:
    """Tell whether a registration is of somebody, as far as the row names them: by id, external id or e-mail.

    It shows the user's ids (K-reg); the e-mail address, and an external id that is missing, the user alone shows.
    """
    if who.candidate_id is not None:
        return who.candidate_id == user_id
    if who.external_id is not None and item.get("userExternalId"):
        return str(item["userExternalId"]).strip() == who.external_id
    if who.external_id is None and who.email is None:
        return True
    answer = await door.read("find_user", f"/users/{segment(user_id)}/")
    shown = as_person(answer.body) if isinstance(answer.body, dict) else None
    if shown is None:
        return False
    if who.external_id is not None and shown.external_id is not None:
        return shown.external_id == who.external_id
    return who.email is not None and (shown.email or "").casefold() == who.email.casefold()


def _not_an_id(external_id: str) -> Refused:
    return Refused("registration_not_found", None, f"{external_id} cannot be asked for as an id; give another")


async def _of_user(door: Door, deed: Deed) -> Looked:
    """Look among the user's registrations on the course."""
    course = deed.row.course
    params = {"user_id": deed.candidate_id, "offset": 0, "limit": PAGE}
    if course is not None and course.course_id is not None:
        params["course_id"] = course.course_id
    items = await _list(door, **params)
    ours = [item for item in items if str(item.get("externalId") or "") == deed.key and _may_be_meant(item, deed)]
    theirs = ours or [item for item in items if course is not None and is_on(item, course)]
    if theirs:
        return _choose(theirs, deed)
    unnamed = course is not None and course.course_id is None and course.name is None
    unclear = len(items) >= PAGE or (items and unnamed)
    if not unclear:
        return Unfound.ABSENT
    message = "The LMS does not say which of this person's registrations is on that course; give the course_id"
    return Refused("registration_not_found", None, f"{message}, or a registration_external_id")


def _may_be_meant(item: Mapping[str, Any], deed: Deed) -> bool:
    """Tell whether to look no further: whoever was withdrawn by hand may have been registered anew."""
    return stands(item) or deed.action is not Action.REGISTER


def _choose(items: Sequence[Mapping[str, Any]], deed: Deed) -> Looked:
    """Return the registration that a deed is about: ours, else the only that stands, else the last withdrawn."""
    standing = [item for item in items if stands(item)]
    ours = [
        item
        for item in standing
        if str(item.get("externalId") or "") == deed.key or as_id(item.get("id")) == deed.registration_id
    ]
    if ours or len(standing) == 1:
        return _as_seen((ours or standing)[0], deed)
    return Unfound.SEVERAL if standing else _as_seen(items[-1], deed)


def _as_seen(item: Mapping[str, Any], deed: Deed) -> Seen:
    status = status_of(item)
    reached = stands(item) if deed.action is Action.REGISTER else status in _REACHED[deed.action]
    if deed.action is Action.COMPLETE and deed.row.score is not None:
        reached = reached and _same_number(item.get("score"), deed.row.score)
    hindrance = None
    if status == WITHDRAWN and not reached:
        message = "This registration was withdrawn; register the person again first"
        hindrance = Refused("registration_withdrawn", None, message)
    return Seen(
        lms_id=as_id(item.get("id")) or "",
        course_id=as_id(item.get("courseId")),
        reached=reached,
        withdrawn=status == WITHDRAWN,
        hindrance=hindrance,
        shown=_words(item),
        body=item,
    )


def _words(item: Mapping[str, Any]) -> str:
    score = item.get("score")
    scored = f" with a score of {score:g}" if isinstance(score, int | float) else ""
    return f"{item.get('statusName') or 'without a status'}{scored}"


def _same_number(shown: Any, wanted: Decimal) -> bool:
    return isinstance(shown, int | float) and not isinstance(shown, bool) and float(shown) == float(wanted)


def _refusal(refused: Refused) -> Refused:
    """Return a refusal under the report's code: not registered, several, not allowed, or the step itself."""
    if unfound(refused) is Unfound.ABSENT:
        return Refused("not_registered", refused.status, refused.message, refused.text)
    if "more than one" in refused.message.lower():
        return Refused("ambiguous_registration", refused.status, refused.message, refused.text)
    return recoded(refused, already="already_so", otherwise="action_refused")
