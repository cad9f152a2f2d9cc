"""KMI LMS, API v2: users and registrations one by one, by KMI's ids or by ours.

Pages (docs.kmilearning.com/lms/dev-documentation): Course registrations (K-reg), Users (K-users), Users: external
id (K-ext), Pagination (K-page), Authorization (K-auth). Every path ends with a slash; every call carries key and
secret.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

from worker.errors import AnswerLost, Refused
from worker.lms.answers import Answer, recoded
from worker.lms.bodies import as_id, field_of, list_of, utc_text
from worker.lms.contract import Enrolment, FoundCandidate, FoundRegistration, Intent, Registered, Unfound
from worker.lms.http import Door
from worker.model import Action, Candidate, Course, Person, RowRules
from worker.settings import Connection, Secret

#: K-page: without `limit` at most 100 come; whether more are allowed is not said.
PAGE = 100
#: How far back a look-up of something just sent goes, beyond what the two clocks differ by.
MARGIN_SECONDS = 120.0
NEEDED_TO_CREATE = ("email", "first_name", "last_name")
#: Roster column → field of a user (K-reg).
USER_FIELDS = {
    "email": "email",
    "first_name": "firstName",
    "last_name": "lastName",
    "login_name": "loginName",
    "external_id": "externalId",
    "address": "address",
    "address2": "address2",
    "city": "city",
    "state": "state",
    "zip": "zip",
    "country": "country",
}
#: As a segment of a path these mean another path: such an id cannot be asked for.
UNSAFE_IN_A_PATH = frozenset({".", ".."})
_NOT_FOUND = 404
_WITHDRAWN = "withdrawn"


class KmiConnection(Connection):
    """A KMI account in roster.toml."""

    system: Literal["kmi"]
    api_key: Secret
    api_secret: Secret
    #: Whether a new user without a login name gets their e-mail address as one (K-ext calls loginName needed).
    login_from_email: bool = True


class Kmi:
    """One KMI account."""

    def __init__(self, connection: KmiConnection, door: Door) -> None:
        self.connection = connection
        self.door = door
        self.rules = rules(connection)

    async def create(self, candidate: Candidate, intent: Intent) -> str:
        """Create a user (K-users). KMI does not check external ids: two calls make two users."""
        missing = [name for name in NEEDED_TO_CREATE if getattr(candidate, name) is None]
        if missing:
            raise Refused(
                "candidate_incomplete",
                None,
                f"The LMS does not know this person; to create them, give {', '.join(missing)}",
            )
        try:
            answer = await self.door.change("create_user", "POST", "/users/", self._user(candidate), intent)
        except Refused as refused:
            otherwise = "candidate_exists" if _is_taken(refused) else "candidate_refused"
            raise recoded(refused, already="candidate_exists", otherwise=otherwise) from None
        user_id = as_id(field_of(answer.body, "id"))
        if user_id is None:
            raise AnswerLost("The LMS answered without the user's id; perhaps it was created", answer.status)
        return user_id

    async def register(self, enrolments: Sequence[Enrolment], intent: Intent) -> Mapping[int, Registered]:
        """Register one user on one course (K-reg); on success the LMS mails the user."""
        enrolment = enrolments[0]
        body = _course(enrolment.course) | {
            "userId": int(enrolment.candidate_id) if enrolment.candidate_id.isdigit() else enrolment.candidate_id,
            "externalId": enrolment.key,
        }
        try:
            answer = await self.door.change("create_registration", "POST", "/registrations/", body, intent)
        except Refused as refused:
            raise recoded(refused, already="already_registered", otherwise="registration_refused") from None
        registered = _as_registered(answer, enrolment)
        return {enrolment.row_id: registered} if registered else {}

    async def find_candidate(self, candidate: Candidate, sent_at: float | None) -> FoundCandidate:
        """Look a user up: by external id (K-ext), else among those created since `sent_at` (K-users)."""
        if candidate.external_id:
            return await self._by_external_id(candidate.external_id)
        if sent_at is None:
            return Unfound.NO_LOOKUP
        since = sent_at + self.door.wire.clock_ahead - MARGIN_SECONDS
        matching = set()
        async for page in self._users(createdAfter=utc_text(since)):
            matching |= {person.candidate_id for person in page if _is(person, candidate)}
        return _only(matching)

    async def find_registrations(self, enrolments: Sequence[Enrolment]) -> Mapping[int, FoundRegistration]:
        """Look a registration up: under our key, then among the user's registrations on the course (K-reg)."""
        enrolment = enrolments[0]
        found = await self._by_key(enrolment)
        if found is Unfound.ABSENT:
            found = await self._by_user(enrolment)
        return {enrolment.row_id: found}

    async def count_people(self, at_least: int) -> bool | None:
        """Ask for the user behind the `at_least`-th: there is one, or there is not (K-page: no totals)."""
        answer = await self.door.read("list_users", "/users/", {"offset": at_least, "limit": 1})
        return bool(list_of(answer))

    async def list_people(self, updated_after: float | None) -> AsyncIterator[Sequence[Person]]:
        """Yield the users by pages of 100 (K-page), or those updated since."""
        since = {"updatedAfter": utc_text(updated_after)} if updated_after is not None else {}
        async for page in self._users(**since):
            yield page

    async def list_registered(self, course: Course, pages: int) -> Mapping[str, str] | None:
        """Return user id → registration id of those who stand registered; None when they fill more than `pages`."""
        if course.course_id is None:
            return None
        found: dict[str, str] = {}
        for page in range(pages):
            items = await self._registrations(course.course_id, page * PAGE, PAGE)
            standing = [item for item in items if _stands(item)]
            found |= {as_id(item.get("userId")) or "": as_id(item.get("id")) or "" for item in standing}
            if len(items) < PAGE:
                return found
            if page == 0 and await self._registrations(course.course_id, pages * PAGE, 1):
                return None
        return None

    async def probe(self) -> str:
        """Read one user."""
        await self.door.read("probe", "/users/", {"limit": 1})
        return "answered a harmless read; key and secret are taken"

    def _user(self, candidate: Candidate) -> dict[str, Any]:
        values = {field: getattr(candidate, name) for name, field in USER_FIELDS.items()}
        if self.connection.login_from_email:
            values["loginName"] = candidate.login_name or candidate.email
        ends = candidate.expiration_date
        values["expirationDate"] = f"{ends.isoformat()}T00:00:00Z" if ends else None
        return {field: value for field, value in values.items() if value is not None} | dict(candidate.fields)

    async def _by_external_id(self, external_id: str) -> FoundCandidate:
        if external_id in UNSAFE_IN_A_PATH:
            return Unfound.NO_LOOKUP
        try:
            answer = await self.door.read("find_user", f"/users/external_id/{quote(external_id, safe='')}/")
        except Refused as refused:
            return _unfound(refused)
        return as_id(field_of(answer.body, "id")) or Unfound.NO_LOOKUP

    async def _by_key(self, enrolment: Enrolment) -> FoundRegistration:
        if enrolment.key in UNSAFE_IN_A_PATH:
            return Unfound.NO_LOOKUP
        try:
            path = f"/registrations/external/{quote(enrolment.key, safe='')}/"
            answer = await self.door.read("find_registration", path)
        except Refused as refused:
            return _unfound(refused)
        return _as_found(answer.body, enrolment)

    async def _by_user(self, enrolment: Enrolment) -> FoundRegistration:
        params = {"user_id": enrolment.candidate_id, "offset": 0, "limit": PAGE}
        if enrolment.course.course_id is not None:
            params["course_id"] = enrolment.course.course_id
        items = list_of(await self.door.read("list_registrations", "/registrations/", params))
        if len(items) >= PAGE:
            return Unfound.NO_LOOKUP
        found = {as_id(item.get("id")): item for item in items if _is_on(item, enrolment.course) and _stands(item)}
        if len(found) > 1:
            return Unfound.SEVERAL
        if not found:
            return Unfound.ABSENT if enrolment.course.external_id is None or not items else Unfound.NO_LOOKUP
        registration_id, item = next(iter(found.items()))
        return Registered(registration_id=registration_id, already=True, course_id=as_id(item.get("courseId")))

    async def _registrations(self, course_id: str, offset: int, limit: int) -> list[dict[str, Any]]:
        params = {"course_id": course_id, "offset": offset, "limit": limit}
        return list_of(await self.door.read("list_registrations", "/registrations/", params))

    async def _users(self, **params: Any) -> AsyncIterator[Sequence[Person]]:
        offset = 0
        while True:
            answer = await self.door.read("list_users", "/users/", {**params, "offset": offset, "limit": PAGE})
            items = list_of(answer)
            yield [person for item in items if (person := _person(item))]
            if len(items) < PAGE:
                return
            offset += PAGE


def rules(connection: KmiConnection) -> RowRules:  # noqa: ARG001 - every connector's rules take its connection
    """Return what this connection asks of a row; who exists already needs no name."""
    return RowRules(
        actions=frozenset({Action.REGISTER}),
        course_columns=frozenset({"course_id", "course_name", "course_external_id"}),
        to_create=(),
        lists_people=True,
    )


def _course(course: Course) -> dict[str, Any]:
    """Return the one key that names the course (K-reg: ids before names; one key, so that nothing is ambiguous)."""
    if course.course_id is not None:
        return {"courseId": int(course.course_id) if course.course_id.isdigit() else course.course_id}
    if course.name is not None:
        return {"courseName": course.name}
    return {"courseExternalId": course.external_id}


def _person(item: Mapping[str, Any]) -> Person | None:
    user_id = as_id(item.get("id"))
    if user_id is None:
        return None
    texts = [str(item[name]).strip() if item.get(name) else None for name in ("externalId", "email", "loginName")]
    return Person(candidate_id=user_id, external_id=texts[0], email=texts[1], login_name=texts[2])


def _is(person: Person, candidate: Candidate) -> bool:
    same_mail = bool(candidate.email) and (person.email or "").casefold() == (candidate.email or "").casefold()
    same_login = not candidate.login_name or person.login_name == candidate.login_name
    return same_mail and same_login


def _only(ids: set[str]) -> FoundCandidate:
    if len(ids) > 1:
        return Unfound.SEVERAL
    return next(iter(ids)) if ids else Unfound.ABSENT


def _unfound(refused: Refused) -> Unfound:
    """Return what a refused look-up says: 404 is absent, a 400 or 409 that several match, a 403 nothing at all."""
    if refused.status == _NOT_FOUND or "not registered" in refused.message.lower():
        return Unfound.ABSENT
    several = {400, 409, 300}
    return Unfound.SEVERAL if refused.status in several else Unfound.NO_LOOKUP


def _is_taken(refused: Refused) -> bool:
    return any(word in refused.message.lower() for word in ("exists", "taken", "unique"))


def _stands(item: Mapping[str, Any]) -> bool:
    return str(item.get("statusName", "")).casefold() != _WITHDRAWN


def _is_on(item: Mapping[str, Any], course: Course) -> bool:
    if course.course_id is not None:
        return as_id(item.get("courseId")) == course.course_id
    return course.name is not None and str(item.get("courseName", "")).casefold() == course.name.casefold()


def _as_registered(answer: Answer, enrolment: Enrolment) -> Registered | None:
    """Return what the answer to a registration confirms; one with another external id was there before."""
    registration_id = as_id(field_of(answer.body, "id"))
    theirs = field_of(answer.body, "externalId")
    if registration_id is None:
        return None
    return Registered(
        registration_id=registration_id,
        already=theirs is not None and str(theirs) not in {"", enrolment.key},
        course_id=as_id(field_of(answer.body, "courseId")),
        http_status=answer.status,
    )


def _as_found(body: Any, enrolment: Enrolment) -> FoundRegistration:
    """Return the registration under our key, if it is this candidate's and was not withdrawn."""
    if not isinstance(body, dict) or as_id(body.get("id")) is None:
        return Unfound.NO_LOOKUP
    if as_id(body.get("userId")) not in {None, enrolment.candidate_id}:
        return Unfound.SEVERAL
    return Registered(registration_id=as_id(body["id"])) if _stands(body) else Unfound.ABSENT


#: What stands under `connections.<name>` in roster.toml, and the connector of an account.
Settings, connect = KmiConnection, Kmi


def headers(connection: KmiConnection) -> dict[str, str]:
    """Return what every call carries (K-auth)."""
    return {
        "X-Api-Key": connection.api_key.get_secret_value(),
        "X-Api-Secret": connection.api_secret.get_secret_value(),
    }
