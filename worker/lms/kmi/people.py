"""KMI's users read, updated and deactivated (K-users, K-ext, K-reg).

An update is a PUT. K-ext says that it needs e-mail, first name, last name and login name, and that the other fields
may be left out; K-reg's example has no login name. So those four always go along, as the LMS has them, and beside
them what the roster gives and the LMS has otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from worker.errors import Refused
from worker.lms.answers import recoded
from worker.lms.bodies import as_id, field_of
from worker.lms.contract import Deed, Done, Intent, Seen, Unfound
from worker.lms.http import Door
from worker.lms.kmi.shapes import segment, unfound, user_fields
from worker.model import Action

#: What an update must have (K-ext).
NEEDED_TO_UPDATE = ("email", "firstName", "lastName", "loginName")
#: Compared without regard to case.
_CASELESS = frozenset({"email", "country", "state"})
_ACCEPTED = 202
_DAY = len("2026-01-31")


async def look(door: Door, deeds: Sequence[Deed]) -> Mapping[int, Seen | Unfound | Refused]:
    """Read users by KMI's id, one by one: no list shows more than the people, and it has all of them."""
    found = await asyncio.gather(*(_look_one(door, deed) for deed in deeds))
    return {deed.row_id: looked for deed, looked in zip(deeds, found, strict=True)}


async def change(door: Door, deed: Deed, seen: Seen, intent: Intent) -> Done | None:
    """Update or deactivate one user; None when the answer does not say that it is so."""
    path = f"/users/{segment(seen.lms_id)}/"
    updates = deed.action is Action.UPDATE
    try:
        if updates:
            body = needed(seen.body) | differing(deed, seen.body)
            answer = await door.change("update_user", "PUT", path, body, intent)
        else:
            # It only marks the user as deleted (K-reg).
            answer = await door.change("delete_user", "DELETE", path, None, intent)
    except Refused as refused:
        raise _refusal(refused, deed.action) from None
    said_so = as_id(field_of(answer.body, "id")) == seen.lms_id if updates else answer.status != _ACCEPTED
    return Done(http_status=answer.status) if said_so else None


def needed(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields without which no update is taken, as the LMS has them."""
    return {name: shown[name] for name in NEEDED_TO_UPDATE if shown.get(name)}


def differing(deed: Deed, shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the roster gives and the LMS has otherwise; an empty cell changes nothing."""
    wanted = user_fields(deed.row.candidate)
    return {name: value for name, value in wanted.items() if not _is_same(name, shown.get(name), value)}


def _is_same(name: str, shown: Any, wanted: Any) -> bool:
    have, want = _as_text(shown), _as_text(wanted)
    if name == "expirationDate":
        return have[:_DAY] == want[:_DAY]
    return have.casefold() == want.casefold() if name in _CASELESS else have == want


def _as_text(value: Any) -> str:
    """Return a value as K-users shows it: a flag is `"false"`, nothing is `""`."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


async def _look_one(door: Door, deed: Deed) -> Seen | Unfound | Refused:
    try:
        answer = await door.read("find_user", f"/users/{segment(deed.candidate_id)}/")
    except Refused as refused:
        return Unfound.ABSENT if unfound(refused) is Unfound.ABSENT else _refusal(refused, deed.action)
    user_id = as_id(field_of(answer.body, "id"))
    if user_id is None:
        return Unfound.NO_LOOKUP
    reached = deed.action is Action.UPDATE and not differing(deed, answer.body)
    return Seen(lms_id=user_id, reached=reached, body=answer.body)


def _refusal(refused: Refused, action: Action) -> Refused:
    """Return a refusal under the report's code: nobody there, not allowed, or the change itself."""
    if unfound(refused) is Unfound.ABSENT:
        return Refused("unknown_candidate", refused.status, refused.message, refused.text)
    otherwise = "update_refused" if action is Action.UPDATE else "deactivation_refused"
    return recoded(refused, already=otherwise, otherwise=otherwise)
