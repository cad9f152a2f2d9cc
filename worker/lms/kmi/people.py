"""KMI's users read, updated and deactivated (K-users, K-ext, K-reg).

An update is a PUT. K-ext says that it needs e-mail, first name, last name and login name, and that the other fields
may be left out; K-reg's example has no login name. So those four are always sent, as the LMS has them, plus the
values of the roster that differ from the LMS's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.errors import Refused
from worker.identity import email_key, is_other_person, traits_of
from worker.lms.contract import OTHER_PERSON, ActionRequest, ActionResult, Intent, LookupMiss, RemoteState
from worker.lms.http import LmsClient
from worker.lms.kmi.shapes import as_person, lookup_miss_of, path_segment, user_fields
from worker.lms.responses import LmsResponse, as_id, field_of, objects_of, with_report_code
from worker.model import Action

#: Fields that an update must contain (K-ext).
NEEDED_TO_UPDATE = ("email", "firstName", "lastName", "loginName")
#: Fields compared without regard to case.
_CASELESS = frozenset({"country", "state"})
#: Fields that only the LMS sets (K-reg).
_READ_ONLY = frozenset({"id", "createdDate", "updatedDate"})
#: K-page: without `limit` a page has up to 100; whether more are allowed is not documented.
PAGE_SIZE = 100
#: The list of all users is read instead for at least this many users, and up to one page per MIN_PER_PAGE of them.
LISTING_THRESHOLD, MIN_PER_PAGE = 20, 4
_ACCEPTED = 202
_DAY = len("2026-01-31")


@dataclass(slots=True)
class Users:
    """Reads, updates and deactivates the users of one account, each by KMI's id."""

    client: LmsClient
    #: Whether an update was seen to clear the fields that it leaves out; this is not documented.
    clears_missing: bool = False

    async def read_states(
        self, requests: Sequence[ActionRequest]
    ) -> Mapping[int, RemoteState | LookupMiss | Refused]:
        """Read users: by the list of all where that takes far fewer calls, else one by one."""
        listed = await self._list(len(requests) // MIN_PER_PAGE) if len(requests) >= LISTING_THRESHOLD else {}
        found: dict[int, RemoteState | LookupMiss | Refused] = {
            request.row_id: _state_of(listed[request.candidate_id], request)
            for request in requests
            if request.candidate_id in listed
        }
        left = [request for request in requests if request.row_id not in found]
        singles = await asyncio.gather(*(self._read_one(request) for request in left))
        return found | {request.row_id: found_state for request, found_state in zip(left, singles, strict=True)}

    async def change(self, request: ActionRequest, state: RemoteState, intent: Intent) -> ActionResult | None:
        """Update or deactivate one user; None when the response does not confirm it."""
        path = f"/users/{path_segment(state.lms_id)}/"
        try:
            if request.action is Action.UPDATE:
                response = await self._update(path, request, state, intent)
                said_so = as_id(field_of(response.body, "id")) == state.lms_id
            else:
                # It only marks the user as deleted (K-reg).
                response = await self.client.change("delete_user", "DELETE", path, None, intent)
                said_so = response.status != _ACCEPTED
        except Refused as refused:
            raise _refusal(refused, request.action) from None
        return ActionResult(http_status=response.status) if said_so else None

    async def _update(self, path: str, request: ActionRequest, state: RemoteState, intent: Intent) -> LmsResponse:
        """Send the fields that differ; if that clears those left out, send all fields, now and from then on."""
        wanted = changed_fields(request, state.body)
        body = (writable_fields(state.body) if self.clears_missing else required_fields(state.body)) | wanted
        response = await self.client.change("update_user", "PUT", path, body, intent)
        shown = response.body if isinstance(response.body, dict) else {}
        emptied = [
            name for name in writable_fields(state.body) if name in shown and not shown[name] and name not in body
        ]
        if not emptied:
            return response
        self.clears_missing = True
        return await self.client.change("update_user", "PUT", path, writable_fields(state.body) | wanted, intent)

    async def _list(self, pages: int) -> Mapping[str, dict[str, Any]]:
        """Return all users by id; none when they fill more than `pages` pages (K-page: no total is shown)."""
        if await self._page(pages * PAGE_SIZE, 1):
            return {}
        found: dict[str, dict[str, Any]] = {}
        for page in range(pages):
            items = await self._page(page * PAGE_SIZE, PAGE_SIZE)
            found |= {as_id(item.get("id")) or "": item for item in items}
            if len(items) < PAGE_SIZE:
                break
        return found

    async def _page(self, offset: int, limit: int) -> list[dict[str, Any]]:
        return objects_of(await self.client.read("list_users", "/users/", {"offset": offset, "limit": limit}))

    async def _read_one(self, request: ActionRequest) -> RemoteState | LookupMiss | Refused:
        try:
            response = await self.client.read("find_user", f"/users/{path_segment(request.candidate_id)}/")
        except Refused as refused:
            return (
                LookupMiss.ABSENT
                if lookup_miss_of(refused) is LookupMiss.ABSENT
                else _refusal(refused, request.action)
            )
        found = as_id(field_of(response.body, "id"))
        return _state_of(response.body, request) if found else LookupMiss.NO_LOOKUP


def required_fields(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields without which an update is refused, as the LMS has them."""
    return {name: shown[name] for name in NEEDED_TO_UPDATE if shown.get(name)}


def writable_fields(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return all fields of a user that an update may contain (K-reg: not the id, not the LMS's own dates)."""
    return {name: value for name, value in shown.items() if value and name not in _READ_ONLY}


def changed_fields(request: ActionRequest, shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields whose value in the roster differs from the LMS's; an empty cell changes nothing."""
    wanted = user_fields(request.row.candidate)
    return {name: value for name, value in wanted.items() if not _is_same(name, shown.get(name), value)}


def _is_same(name: str, shown: Any, wanted: Any) -> bool:
    have, want = _as_text(shown), _as_text(wanted)
    if name == "expirationDate":
        return have[:_DAY] == want[:_DAY]
    if name == "email":
        return email_key(have) == email_key(want)
    return have.lower() == want.lower() if name in _CASELESS else have == want


def _as_text(value: Any) -> str:
    """Return a value as K-users shows it: a flag is `"false"`, a missing value is `""`."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def _state_of(item: Mapping[str, Any], request: ActionRequest) -> RemoteState:
    other = changed_fields(request, item) if request.action is Action.UPDATE else {}
    reached = request.action is Action.UPDATE and not other
    shown = f"other values in {', '.join(sorted(other))}" if other else "exists"
    theirs = as_person(item)
    is_other = theirs is not None and is_other_person(traits_of(request.row.candidate), traits_of(theirs))
    return RemoteState(
        lms_id=as_id(item.get("id")) or "",
        is_done=reached,
        description=shown,
        body=item,
        refusal=Refused("other_person", None, OTHER_PERSON) if is_other else None,
    )


def _refusal(refused: Refused, action: Action) -> Refused:
    """Return a refusal with the report's code: unknown person, not allowed, or the change itself."""
    if lookup_miss_of(refused) is LookupMiss.ABSENT:
        return Refused("unknown_candidate", refused.status, refused.message, refused.text)
    otherwise = "update_refused" if action is Action.UPDATE else "deactivation_refused"
    return with_report_code(refused, already=otherwise, otherwise=otherwise)
