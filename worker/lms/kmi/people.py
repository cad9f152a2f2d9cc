"""KMI's users read, updated and deactivated (K-users, K-ext, K-reg).

An update is a PUT. K-ext says that it needs e-mail, first name, last name and login name, and that the other fields
may be left out; K-reg's example has no login name. So those four always go along, as the LMS has them, and beside
them what the roster gives and the LMS has otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.errors import Refused
from worker.lms.contract import Deed, Done, Intent, Seen, Unfound
from worker.lms.http import Door
from worker.lms.kmi.shapes import segment, unfound, user_fields
from worker.lms.responses import Answer, as_id, field_of, list_of, recoded
from worker.model import Action

#: What an update must have (K-ext).
NEEDED_TO_UPDATE = ("email", "firstName", "lastName", "loginName")
#: Compared without regard to case.
_CASELESS = frozenset({"email", "country", "state"})
#: Set by the LMS (K-reg).
_OF_THE_LMS = frozenset({"id", "createdDate", "updatedDate"})
#: K-page: without `limit` at most 100 come; whether more are allowed is not said.
PAGE = 100
#: For so many users the list of all is thought of, when a page of it stands for so many of them.
MANY, LEAST_PER_PAGE = 20, 4
_ACCEPTED = 202
_DAY = len("2026-01-31")


@dataclass(slots=True)
class People:
    """The users of one account, each read and changed by KMI's id."""

    door: Door
    #: Whether an update was seen to empty the fields that it leaves out: no page says what becomes of them.
    empties: bool = False

    async def look(self, deeds: Sequence[Deed]) -> Mapping[int, Seen | Unfound | Refused]:
        """Read users, by the list of all where that takes far fewer calls, else one by one."""
        listed = await self._list(len(deeds) // LEAST_PER_PAGE) if len(deeds) >= MANY else {}
        found: dict[int, Seen | Unfound | Refused] = {
            deed.row_id: _as_seen(listed[deed.candidate_id], deed) for deed in deeds if deed.candidate_id in listed
        }
        left = [deed for deed in deeds if deed.row_id not in found]
        singles = await asyncio.gather(*(self._look_one(deed) for deed in left))
        return found | {deed.row_id: looked for deed, looked in zip(left, singles, strict=True)}

    async def change(self, deed: Deed, seen: Seen, intent: Intent) -> Done | None:
        """Update or deactivate one user; None when the answer does not say that it is so."""
        path = f"/users/{segment(seen.lms_id)}/"
        try:
            if deed.action is Action.UPDATE:
                answer = await self._update(path, deed, seen, intent)
                said_so = as_id(field_of(answer.body, "id")) == seen.lms_id
            else:
                # It only marks the user as deleted (K-reg).
                answer = await self.door.change("delete_user", "DELETE", path, None, intent)
                said_so = answer.status != _ACCEPTED
        except Refused as refused:
            raise _refusal(refused, deed.action) from None
        return Done(http_status=answer.status) if said_so else None

    async def _update(self, path: str, deed: Deed, seen: Seen, intent: Intent) -> Answer:
        """Send what differs; everything from then on, and this once more, when that empties what is left out."""
        wanted = differing(deed, seen.body)
        body = (whole(seen.body) if self.empties else needed(seen.body)) | wanted
        answer = await self.door.change("update_user", "PUT", path, body, intent)
        shown = answer.body if isinstance(answer.body, dict) else {}
        emptied = [name for name in whole(seen.body) if name in shown and not shown[name] and name not in body]
        if not emptied:
            return answer
        self.empties = True
        return await self.door.change("update_user", "PUT", path, whole(seen.body) | wanted, intent)

    async def _list(self, pages: int) -> Mapping[str, dict[str, Any]]:
        """Return all users by id; none when they fill more than so many pages (K-page: no total is shown)."""
        if await self._page(pages * PAGE, 1):
            return {}
        found: dict[str, dict[str, Any]] = {}
        for page in range(pages):
            items = await self._page(page * PAGE, PAGE)
            found |= {as_id(item.get("id")) or "": item for item in items}
            if len(items) < PAGE:
                break
        return found

    async def _page(self, offset: int, limit: int) -> list[dict[str, Any]]:
        return list_of(await self.door.read("list_users", "/users/", {"offset": offset, "limit": limit}))

    async def _look_one(self, deed: Deed) -> Seen | Unfound | Refused:
        try:
            answer = await self.door.read("find_user", f"/users/{segment(deed.candidate_id)}/")
        except Refused as refused:
            return Unfound.ABSENT if unfound(refused) is Unfound.ABSENT else _refusal(refused, deed.action)
        found = as_id(field_of(answer.body, "id"))
        return _as_seen(answer.body, deed) if found else Unfound.NO_LOOKUP


def needed(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields without which no update is taken, as the LMS has them."""
    return {name: shown[name] for name in NEEDED_TO_UPDATE if shown.get(name)}


def whole(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that the LMS has of a user and takes in an update (K-reg: not the id, not its own dates)."""
    return {name: value for name, value in shown.items() if value and name not in _OF_THE_LMS}


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


def _as_seen(item: Mapping[str, Any], deed: Deed) -> Seen:
    other = differing(deed, item) if deed.action is Action.UPDATE else {}
    reached = deed.action is Action.UPDATE and not other
    shown = f"other values in {', '.join(sorted(other))}" if other else "there"
    return Seen(lms_id=as_id(item.get("id")) or "", reached=reached, shown=shown, body=item)


def _refusal(refused: Refused, action: Action) -> Refused:
    """Return a refusal under the report's code: nobody there, not allowed, or the change itself."""
    if unfound(refused) is Unfound.ABSENT:
        return Refused("unknown_candidate", refused.status, refused.message, refused.text)
    otherwise = "update_refused" if action is Action.UPDATE else "deactivation_refused"
    return recoded(refused, already=otherwise, otherwise=otherwise)
