"""Create, update and deactivate users. Creating is all or nothing; in an updating call each record is alone."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from worker.errors import AnswerLost, LmsError, Refused, StopJob
from worker.identity import email_key, is_other_person, traits_of
from worker.lms.contract import (
    CALL_TOO_LARGE,
    OTHER_PERSON,
    WRITE_CONFLICT,
    ActionRequest,
    ActionResult,
    FoundPerson,
    Intent,
    LookupMiss,
    PersonLookup,
    RemoteState,
)
from worker.lms.moodle import errors
from worker.lms.moodle.lookups import as_found, look_up, match_one, shows_in_any_case, without_whole_name
from worker.lms.moodle.site import PEOPLE_PER_LOOKUP, Site, is_deleted
from worker.lms.moodle.values import (
    USER_FIELDS,
    custom_fields,
    is_user_name,
    new_password,
    problem_of,
    user_fields,
    user_name_of,
)
from worker.lms.moodle.wire import CONTROL_FIELDS, count_fields, is_number
from worker.lms.responses import as_id, field_of
from worker.model import Action, Candidate

if TYPE_CHECKING:
    from worker.lms.moodle.settings import MoodleConnection
    from worker.lms.responses import LmsResponse

REQUIRED_TO_CREATE = ("email", "first_name", "last_name")
_NOT_ALLOWED = "The service account may not {what}: give its role {capability}, then resume the job"
_NOBODY = "The LMS has nobody with the ID {}, or they were deleted; correct the candidate_id, or leave it empty"
_NO_FIELD = (
    "The site did not take over the custom field {}: it has none with this short name, or does not show it to the "
    "service account. Correct the field: heading, or make the field"
)
_NOT_WRITTEN = "The site could not write these values; most often somebody else has the login_name already"
_OWN_ACCOUNT = "This is the service account of this connection; suspended, it could do nothing more"
_POLICY = "The site's password policy refuses the passwords that Roster makes: {said}. Set password to mail"
_CUT_OFF = "The LMS's answer does not show that the whole call arrived; it may have updated a part of its people"
_NAMES = frozenset({"firstname", "lastname"})
#: Above this share of users whom only a search finds, refused calls cost more than a search for each.
_SEARCH_IF_ONE_IN = 8
_PREFERENCE = "auth_forcepasswordchange"
#: Nobody has this ID. It is the last record of an update: the warning on it shows that the whole call arrived.
_LAST_RECORD = {"id": "2147483647"}
#: Warning codes of an update → the report's code.
_UPDATE_CODES = {"invaliduserid": "unknown_candidate"}


@dataclass(slots=True)
class Users:
    """The users of one site."""

    site: Site
    connection: MoodleConnection
    #: Custom profile fields that were seen on a user.
    seen_fields: set[str] = field(default_factory=set)
    #: How many people a call takes, as far as the web server has refused a larger one.
    most_people: int = sys.maxsize
    #: How many users were created, and how many only a search in any letter case has found.
    _created: int = 0
    _found_by_search: int = 0

    async def people_per_create(self, candidates: Sequence[Candidate]) -> int:
        """Return how many people one call takes: by form fields, and one by one where a rollback leaves mails."""
        if self.connection.password == "mail" and not (await self.site.info()).mails_after_commit:  # noqa: S105
            return 1
        largest = max((count_fields(self._new_user(who)) for who in candidates), default=1)
        return min(self.most_people, self.connection.batch_size, self.site.api.most_items(largest))

    def creation_problem(self, candidate: Candidate) -> Refused | None:
        """Return why Moodle would refuse to create a candidate."""
        missing = [name for name in REQUIRED_TO_CREATE if not getattr(candidate, name)]
        if missing:
            message = f"The LMS does not know this person; to create them, give {', '.join(missing)}"
            return Refused("candidate_incomplete", None, message)
        name = user_name_of(candidate)
        if name is None or not is_user_name(name):
            message = "No user name can be made from the e-mail address; give a login_name"
            return Refused("candidate_incomplete", None, message)
        values = {column: getattr(candidate, column) for column in USER_FIELDS}
        problems = [
            f"{column}: {said}" for column, value in values.items() if value and (said := problem_of(column, value))
        ]
        return Refused("candidate_refused", None, " ".join(problems)) if problems else None

    async def create(self, candidates: Sequence[Candidate], intent: Intent) -> Mapping[int, str]:
        """Create users in one call; return their IDs by place, as the answer names them."""
        await self.site.require("core_user_create_users")
        await self.site.known()
        users = [self._new_user(candidate) for candidate in candidates]
        try:
            response = await self.site.api.change(
                "create_users", "core_user_create_users", {"users": users}, intent
            )
        except Refused as refused:
            if refused.code == CALL_TOO_LARGE:
                self.most_people = max(1, len(users) // 2)
            raise _creation_error(refused) from None
        created = _created(response, [user["username"] for user in users])
        self._created += len(created)
        return created

    def _new_user(self, candidate: Candidate) -> dict[str, Any]:
        values: dict[str, Any] = {"username": user_name_of(candidate) or ""} | user_fields(candidate)
        if self.connection.auth != "manual":
            values["auth"] = self.connection.auth
        if self.connection.password == "mail":  # noqa: S105 - a choice, no password
            values["createpassword"] = True
        elif self.connection.password == "change":  # noqa: S105
            values |= {"password": new_password(), "preferences": [{"type": _PREFERENCE, "value": 1}]}
        # A required field comes last: a user whose fields PHP cut off is refused, and never made without them.
        email = values.pop("email", "")
        return values | custom_fields(candidate.fields) | {"email": email}

    async def find_refused(self, candidates: Sequence[Candidate]) -> list[PersonLookup]:
        """Look up users whose creation was refused: with the usual capitals, then some in any letter case.

        That takes a call for each: a single one, and all when that is cheaper than to find them by refused calls.
        """
        if len(candidates) == 1:
            found = [await self._search(candidates[0])]
            return found if found != [LookupMiss.ABSENT] else await look_up(self.site, candidates, ())
        found = await look_up(self.site, candidates, (), thoroughly=True)
        if self._found_by_search * _SEARCH_IF_ONE_IN <= self._created + self._found_by_search:
            return found
        absent = [place for place, each in enumerate(found) if each is LookupMiss.ABSENT]
        searched = await asyncio.gather(*(self._search(candidates[place]) for place in absent))
        by_place = dict(zip(absent, searched, strict=True))
        return [by_place.get(place, each) for place, each in enumerate(found)]

    async def _search(self, candidate: Candidate) -> PersonLookup:
        """Search a user by the address in any letter case: one in a call."""
        if not candidate.email or not await self.site.offers("core_user_get_users"):
            return LookupMiss.ABSENT
        search = {"criteria": [{"key": "email", "value": candidate.email.strip()}]}
        try:
            response = await self.site.api.read("search_users", "core_user_get_users", search)
        except Refused:
            return LookupMiss.ABSENT
        found = match_one(candidate, shows_in_any_case(response.body, candidate))
        self._found_by_search += found is not LookupMiss.ABSENT
        return found

    async def read(self, user_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return users by their IDs; a deleted one is not there."""
        found: dict[str, dict[str, Any]] = {}
        # One that is no number of the site's would have the whole call refused.
        user_ids = [each for each in user_ids if is_number(each)]
        size = min(PEOPLE_PER_LOOKUP, self.site.api.most_items(1, besides=1))
        for start in range(0, len(user_ids), size):
            rows = await self.site.by_field("id", user_ids[start : start + size])
            found |= {as_id(row.get("id")) or "": row for row in rows if not is_deleted(row)}
        return found

    async def show(self, candidates: Sequence[Candidate], known: Sequence[str]) -> list[PersonLookup]:
        """Return for each candidate the user under the ID that its row gives, in order."""
        if not candidates:
            return []
        await self.site.known(known)
        ids = dict.fromkeys(candidate.candidate_id or "" for candidate in candidates)
        rows = await self.read(list(ids))
        return [_shown_as(candidate, rows.get(candidate.candidate_id or "")) for candidate in candidates]

    def needs_read_back(self, candidates: Sequence[Candidate]) -> bool:
        """Return whether it is unknown if a custom field exists: Moodle ignores an unknown one in silence."""
        return any(set(who.fields) - self.seen_fields for who in candidates)

    async def read_back(self, created: Mapping[str, Candidate]) -> Mapping[str, str]:
        """Read new users back who have custom fields; raise StopJob for a field that nobody got."""
        wanted = {
            user_id: set(who.fields) for user_id, who in created.items() if set(who.fields) - self.seen_fields
        }
        if not wanted:
            return {}
        shown = {user_id: set(_custom_values(row)) for user_id, row in (await self.read(list(wanted))).items()}
        for names in shown.values():
            self.seen_fields |= names
        unknown = sorted(set().union(*wanted.values()) - self.seen_fields)
        if unknown and shown:
            ids = ", ".join(sorted(wanted))
            raise StopJob(
                "unknown_custom_field",
                f"The site has no custom profile field {' or '.join(unknown)} (by its short name), or "
                f"does not show it to the service account; person {ids} was created without it. Correct the field: "
                "heading, or make the field, then resume the job",
            )
        return {
            user_id: f"The LMS did not take over the custom field {', '.join(sorted(lacking))}."
            for user_id, names in wanted.items()
            if (lacking := names - shown.get(user_id, names))
        }

    async def read_states(
        self, requests: Sequence[ActionRequest]
    ) -> Mapping[int, RemoteState | LookupMiss | Refused]:
        """Read the users of these requests, hundreds in a call."""
        await self.site.known()
        own = (await self.site.info()).user_id
        rows = await self.read(list(dict.fromkeys(request.candidate_id for request in requests)))
        return {
            request.row_id: _state_of(row, request, own)
            if (row := rows.get(request.candidate_id)) is not None
            else LookupMiss.ABSENT
            for request in requests
        }

    async def apply(
        self, requests: Sequence[ActionRequest], states: Mapping[int, RemoteState], intent: Intent
    ) -> Mapping[int, ActionResult | Refused]:
        """Update or suspend users in one call; the answer has a warning for each that was refused."""
        await self.site.require("core_user_update_users")
        users = [_changes(request, states[request.row_id].body) for request in requests]
        try:
            response = await self._update(users, intent)
        except Refused as refused:
            raise _update_error(refused, requests[0].action) from None
        warned = {user_id: _refusal(said, requests[0].action) for user_id, said in _warnings_of(response).items()}
        try:
            refusals = await self._without_fields(requests, response.status) | warned
        except LmsError:
            # Each is looked up.
            return {}
        done = ActionResult(http_status=response.status)
        return {request.row_id: refusals.get(request.candidate_id, done) for request in requests}

    async def _update(self, users: Sequence[Mapping[str, Any]], intent: Intent) -> LmsResponse:
        """Update users in one call. Raises AnswerLost when its answer does not show that the whole call arrived."""
        await self.site.known()
        records = [*users, _LAST_RECORD]
        response = await self.site.api.change("update_users", "core_user_update_users", {"users": records}, intent)
        if _LAST_RECORD["id"] not in _warnings_of(response):
            await self.site.arrives(CONTROL_FIELDS + count_fields({"users": records}))
            raise AnswerLost(_CUT_OFF, response.status)
        return response

    async def _without_fields(self, requests: Sequence[ActionRequest], status: int) -> dict[str, Refused]:
        """Return the refusals of users who did not get a custom field: Moodle ignores an unknown one in silence."""
        wanted = {
            request.candidate_id: {name for name, value in request.row.candidate.fields.items() if value}
            for request in requests
            if request.action is Action.UPDATE
        }
        unsure = [user_id for user_id, names in wanted.items() if names - self.seen_fields]
        shown = await self.read(unsure) if unsure else {}
        for row in shown.values():
            self.seen_fields |= set(_custom_values(row))
        return {
            user_id: Refused("update_refused", status, _NO_FIELD.format(", ".join(sorted(lacking))))
            for user_id, row in shown.items()
            if (lacking := wanted[user_id] - set(_custom_values(row)))
        }

    async def activate(self, user_ids: Sequence[str], intent: Intent) -> Mapping[str, Refused]:
        """Activate users in one call; return by ID who was refused."""
        await self.site.require("core_user_update_users")
        users = [{"id": user_id, "suspended": False} for user_id in user_ids]
        try:
            response = await self._update(users, intent)
        except Refused as refused:
            raise _update_error(refused, Action.UPDATE) from None
        warnings = _warnings_of(response)
        return {user_id: warnings[user_id] for user_id in user_ids if user_id in warnings}


def _shown_as(candidate: Candidate, row: Mapping[str, Any] | None) -> PersonLookup:
    found = as_found(row) if row is not None else None
    if found is None:
        return Refused("unknown_candidate", None, _NOBODY.format(candidate.candidate_id))
    if is_other_person(traits_of(candidate), traits_of(found.person)):
        return Refused("other_person", None, OTHER_PERSON)
    return without_whole_name(found)


def _creation_error(refused: Refused) -> Exception:
    if refused.code == errors.NO_PERMISSION:
        return StopJob(
            "not_allowed",
            _NOT_ALLOWED.format(what="create people", capability="moodle/user:create"),
            refused.status,
        )
    if refused.code == errors.PASSWORD_POLICY:
        return StopJob("password_refused", _POLICY.format(said=refused.message.rstrip(".")), refused.status)
    if refused.code == errors.WRITE_CONFLICT:
        return Refused(WRITE_CONFLICT, refused.status, refused.message)
    if refused.code == errors.INVALID_PARAMETER:
        message = f"The LMS refused this person and does not say why ({refused.message})"
        return Refused("candidate_refused", refused.status, message)
    code = refused.code if refused.code == CALL_TOO_LARGE else "candidate_refused"
    return Refused(code, refused.status, refused.message)


def _created(response: LmsResponse, names: Sequence[str]) -> Mapping[int, str]:
    if not isinstance(response.body, list):
        raise AnswerLost("The LMS answered without the users' IDs; they may have been created", response.status)
    ids = {str(field_of(item, "username")): as_id(field_of(item, "id")) for item in response.body}
    return {place: user_id for place, name in enumerate(names) if (user_id := ids.get(name)) is not None}


def _update_error(refused: Refused, action: Action) -> Exception:
    if refused.code == errors.NO_PERMISSION:
        what = _NOT_ALLOWED.format(what="update people", capability="moodle/user:update")
        return StopJob("not_allowed", what, refused.status)
    return refused if refused.code == CALL_TOO_LARGE else _refusal(refused, action)


def _refusal(refused: Refused, action: Action) -> Refused:
    code = "update_refused" if action is Action.UPDATE else "deactivation_refused"
    said = _NOT_WRITTEN if refused.code == errors.WRITE_CONFLICT else refused.message
    return Refused(_UPDATE_CODES.get(refused.code, code), refused.status, said)


def _warnings_of(response: LmsResponse) -> dict[str, Refused]:
    """Return the refusals in the answer to an update by user; raise AnswerLost for an answer of another form."""
    warnings = field_of(response.body, "warnings")
    if not isinstance(warnings, list):
        raise AnswerLost("The LMS answered without saying what it updated", response.status)
    return {
        as_id(field_of(item, "itemid")) or "": Refused(
            str(field_of(item, "warningcode") or "refused"),
            response.status,
            errors.plain(str(field_of(item, "message") or field_of(item, "warningcode") or "no message")),
        )
        for item in warnings
    }


def _changes(request: ActionRequest, shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an update sends of one user."""
    user = {"id": request.candidate_id}
    return user | ({"suspended": True} if request.action is Action.DEACTIVATE else _differing(request, shown))


def _differing(request: ActionRequest, shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields whose value in the roster differs from the site's; an empty cell changes nothing."""
    candidate = request.row.candidate
    wanted = user_fields(candidate) | ({"username": candidate.login_name} if candidate.login_name else {})
    values = {name: value for name, value in wanted.items() if not _is_same(name, shown, value)}
    if _shows_names(shown, candidate):
        values = {name: value for name, value in values.items() if name not in _NAMES}
    custom = _custom_values(shown)
    other = {name: value for name, value in candidate.fields.items() if custom.get(name) != value}
    return values | custom_fields(other)


def _shows_names(shown: Mapping[str, Any], candidate: Candidate) -> bool:
    """Return whether a whole name is the row's; Moodle 4.3 shows its parts only with moodle/site:viewfullnames."""
    if any(name in shown for name in _NAMES):
        return False
    whole = str(shown.get("fullname") or "").split()
    first, last = (candidate.first_name or "").split(), (candidate.last_name or "").split()
    if first and last:
        return whole in (first + last, last + first)
    given = first or last
    return bool(given) and given in (whole[: len(given)], whole[-len(given) :])


def _is_same(name: str, shown: Mapping[str, Any], wanted: str) -> bool:
    have = str(shown.get(name) or "").strip()
    if name == "email":
        return email_key(have) == email_key(wanted)
    return have == wanted


def _custom_values(row: Mapping[str, Any]) -> dict[str, str]:
    items = row.get("customfields")
    return {
        str(item.get("shortname")): str(item.get("value") or "")
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, dict)
    }


def _state_of(row: Mapping[str, Any], request: ActionRequest, own: str) -> RemoteState:
    is_suspended = row.get("suspended") is True
    found = as_found(row)
    is_other = found is not None and is_other_person(traits_of(request.row.candidate), traits_of(found.person))
    refusal = Refused("other_person", None, OTHER_PERSON) if is_other else None
    if request.action is Action.DEACTIVATE and request.candidate_id == own:
        refusal = Refused("deactivation_refused", None, _OWN_ACCOUNT)
    differing = _differing(request, row) if request.action is Action.UPDATE else {}
    is_done = not differing if request.action is Action.UPDATE else is_suspended
    shown = "suspended" if is_suspended else "active"
    shown = f"other values in {', '.join(sorted(differing))}" if differing else shown
    return RemoteState(
        lms_id=as_id(row.get("id")) or "",
        is_done=is_done,
        description=shown,
        body=row,
        refusal=refusal,
    )


def found_id(found: PersonLookup) -> str | LookupMiss:
    """Return the ID of a user who was found; AMBIGUOUS where those found cannot be used."""
    if isinstance(found, FoundPerson):
        return found.person.candidate_id
    if isinstance(found, Refused):
        return LookupMiss.OTHER_PERSON if found.code == "other_person" else LookupMiss.AMBIGUOUS
    return found
