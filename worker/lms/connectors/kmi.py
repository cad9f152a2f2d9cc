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
from worker.lms.contract import (
    Deed,
    Done,
    Enrolment,
    FoundCandidate,
    FoundRegistration,
    Intent,
    Named,
    Registered,
    Seen,
    Unfound,
)
from worker.lms.http import Door
from worker.lms.kmi import courses
from worker.lms.kmi.people import People
from worker.lms.kmi.shapes import (
    UNSAFE_IN_A_PATH,
    as_found,
    as_person,
    as_registered,
    is_on,
    is_same,
    is_taken,
    name_of,
    only,
    refusal_code,
    stands,
    unfound,
    user_fields,
)
from worker.lms.responses import as_id, field_of, list_of, recoded, utc_text
from worker.model import Action, Candidate, Course, Person, RosterRow, RowRules
from worker.settings import Connection, Secret

#: K-page: without `limit` at most 100 come; whether more are allowed is not said.
PAGE = 100
#: How far back a look-up of something just sent goes, beyond what the two clocks differ by.
MARGIN_SECONDS = 120.0
NEEDED_TO_CREATE = ("email", "first_name", "last_name")


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
        self.people = People(door)

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
            otherwise = "candidate_exists" if is_taken(refused) else "candidate_refused"
            raise recoded(refused, already="candidate_exists", otherwise=otherwise) from None
        user_id = as_id(field_of(answer.body, "id"))
        if user_id is None:
            raise AnswerLost("The LMS answered without the user's id; perhaps it was created", answer.status)
        return user_id

    async def register(self, enrolments: Sequence[Enrolment], intent: Intent) -> Mapping[int, Registered]:
        """Register one user on one course (K-reg); on success the LMS mails the user."""
        enrolment = enrolments[0]
        body = name_of(enrolment.course) | {
            "userId": int(enrolment.candidate_id) if enrolment.candidate_id.isdigit() else enrolment.candidate_id,
            "externalId": enrolment.key,
        }
        try:
            answer = await self.door.change("create_registration", "POST", "/registrations/", body, intent)
        except Refused as refused:
            raise recoded(refused, already="already_registered", otherwise=refusal_code(refused)) from None
        registered = as_registered(answer, enrolment)
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
            matching |= {person.candidate_id for person in page if is_same(person, candidate)}
        return only(matching)

    async def find_registrations(self, enrolments: Sequence[Enrolment]) -> Mapping[int, FoundRegistration]:
        """Look a registration up: under our key, then among the user's registrations on the course (K-reg)."""
        enrolment = enrolments[0]
        found = await self._by_key(enrolment)
        if found is Unfound.ABSENT:
            found = await self._by_user(enrolment)
        return {enrolment.row_id: found}

    async def find_named(self, row: RosterRow) -> Named | Unfound:
        """Find a registration by its external id (K-reg)."""
        return await courses.find_named(self.door, row)

    async def look(self, deeds: Sequence[Deed]) -> Mapping[int, Seen | Unfound | Refused]:
        """Read the registrations or the users that deeds are about (K-reg, K-users)."""
        about_people = deeds[0].action.is_about_a_person
        return await (self.people.look(deeds) if about_people else courses.look(self.door, deeds))

    async def act(
        self, deeds: Sequence[Deed], seen: Mapping[int, Seen], intent: Intent
    ) -> Mapping[int, Done | Refused]:
        """Do one deed: KMI takes one registration or user per call (K-reg)."""
        deed = deeds[0]
        if deed.action.is_about_a_person:
            done = await self.people.change(deed, seen[deed.row_id], intent)
        else:
            done = await courses.change(self.door, deed, seen[deed.row_id], intent)
        return {deed.row_id: done} if done else {}

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
            standing = [item for item in items if stands(item)]
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
        values = user_fields(candidate)
        if self.connection.login_from_email and candidate.email:
            values.setdefault("loginName", candidate.email)
        return values

    async def _by_external_id(self, external_id: str) -> FoundCandidate:
        if external_id in UNSAFE_IN_A_PATH:
            return Unfound.NO_LOOKUP
        try:
            answer = await self.door.read("find_user", f"/users/external_id/{quote(external_id, safe='')}/")
        except Refused as refused:
            return unfound(refused)
        return as_id(field_of(answer.body, "id")) or Unfound.NO_LOOKUP

    async def _by_key(self, enrolment: Enrolment) -> FoundRegistration:
        if enrolment.key in UNSAFE_IN_A_PATH:
            return Unfound.NO_LOOKUP
        try:
            path = f"/registrations/external/{quote(enrolment.key, safe='')}/"
            answer = await self.door.read("find_registration", path)
        except Refused as refused:
            return unfound(refused)
        return as_found(answer.body, enrolment)

    async def _by_user(self, enrolment: Enrolment) -> FoundRegistration:
        params = {"user_id": enrolment.candidate_id, "offset": 0, "limit": PAGE}
        if enrolment.course.course_id is not None:
            params["course_id"] = enrolment.course.course_id
        items = list_of(await self.door.read("list_registrations", "/registrations/", params))
        if len(items) >= PAGE:
            return Unfound.NO_LOOKUP
        found = {as_id(item.get("id")): item for item in items if is_on(item, enrolment.course) and stands(item)}
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
            yield [person for item in items if (person := as_person(item))]
            if len(items) < PAGE:
                return
            offset += PAGE


def rules(connection: KmiConnection) -> RowRules:  # noqa: ARG001 - every connector's rules take its connection
    """Return what this connection asks of a row; who exists already needs no name."""
    return RowRules(
        actions=frozenset(Action),
        course_columns=frozenset({"course_id", "course_name", "course_external_id"}),
        to_create=(),
        lists_people=True,
        finds_by_external_id=True,
    )


#: What stands under `connections.<name>` in roster.toml, and the connector of an account.
Settings, connect = KmiConnection, Kmi


def headers(connection: KmiConnection) -> dict[str, str]:
    """Return what every call carries (K-auth)."""
    return {
        "X-Api-Key": connection.api_key.get_secret_value(),
        "X-Api-Secret": connection.api_secret.get_secret_value(),
    }
