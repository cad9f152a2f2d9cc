"""KMI LMS, API v2: users and registrations one by one, by KMI's ids or ours.

Pages (docs.kmilearning.com/lms/dev-documentation): Course registrations (K-reg), Users (K-users), Users: external
id (K-ext), Pagination (K-page), Authorization (K-auth). Every path ends with a slash; every call carries key and
secret.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from worker.errors import AnswerLost, Refused
from worker.identity import is_other_person, traits_of
from worker.lms.contract import (
    ActionRequest,
    ActionResult,
    CandidateLookup,
    Enrolment,
    Intent,
    LookupMiss,
    RegistrationLookup,
    RegistrationOwner,
    RemoteRecord,
    RemoteRegistration,
    RemoteState,
)
from worker.lms.http import LmsClient
from worker.lms.kmi import courses
from worker.lms.kmi.people import Users
from worker.lms.kmi.settings import KmiConnection
from worker.lms.kmi.shapes import (
    UNSAFE_IN_PATH,
    as_person,
    as_record,
    confirmed_registration,
    course_reference,
    is_about_login,
    is_active,
    is_in_use,
    is_on,
    is_same_person,
    lookup_miss_of,
    refusal_code,
    registration_by_key,
    single_id,
    user_fields,
)
from worker.lms.responses import as_id, field_of, objects_of, utc_text, with_report_code
from worker.model import Action, Candidate, Course, Person, RosterRow, RowRules

#: K-page: without `limit` a page has up to 100; whether more are allowed is not documented.
PAGE_SIZE = 100
#: How far back a look-up of something just sent goes, beyond the offset of the two clocks (seconds).
CLOCK_MARGIN_SECONDS = 120.0
REQUIRED_TO_CREATE = ("email", "first_name", "last_name")


_LOGIN_IN_USE = (
    "Somebody at the LMS has this e-mail address as their login name, and a person without a login_name gets the "
    "address as one. For another person, fill in login_name; for the same one, give their candidate_id"
)


class Kmi:
    """One KMI account."""

    def __init__(self, connection: KmiConnection, client: LmsClient) -> None:
        self.connection = connection
        self.client = client
        self.rules = rules(connection)
        self.users = Users(client)

    async def create_candidate(self, candidate: Candidate, intent: Intent) -> str:
        """Create a user (K-users). KMI does not check external ids: two calls make two users."""
        missing = [name for name in REQUIRED_TO_CREATE if getattr(candidate, name) is None]
        if missing:
            raise Refused(
                "candidate_incomplete",
                None,
                f"The LMS does not know this person; to create them, give {', '.join(missing)}",
            )
        try:
            response = await self.client.change(
                "create_user", "POST", "/users/", self._user_body(candidate), intent
            )
        except Refused as refused:
            if is_in_use(refused) and self._has_login_from_email(candidate) and is_about_login(refused):
                raise Refused("candidate_exists", refused.status, _LOGIN_IN_USE, refused.text) from None
            otherwise = "candidate_exists" if is_in_use(refused) else "candidate_refused"
            raise with_report_code(refused, already="candidate_exists", otherwise=otherwise) from None
        user_id = as_id(field_of(response.body, "id"))
        if user_id is None:
            raise AnswerLost(
                "The LMS answered without the user's id; the user may have been created", response.status
            )
        return user_id

    async def register_batch(
        self, enrolments: Sequence[Enrolment], intent: Intent
    ) -> Mapping[int, RemoteRegistration]:
        """Register one user on one course (K-reg); on success the LMS sends the user an e-mail."""
        enrolment = enrolments[0]
        body = course_reference(enrolment.course) | {
            "userId": int(enrolment.candidate_id) if enrolment.candidate_id.isdigit() else enrolment.candidate_id,
            "externalId": enrolment.idempotency_key,
        }
        try:
            response = await self.client.change(
                "create_registration", "POST", "/registrations/", body, intent, completes_rows=True
            )
        except Refused as refused:
            raise with_report_code(refused, already="already_registered", otherwise=refusal_code(refused)) from None
        registered = confirmed_registration(response, enrolment)
        return {enrolment.row_id: registered} if registered else {}

    async def find_candidate(self, candidate: Candidate, sent_at: float | None) -> CandidateLookup:
        """Look a user up: by external id (K-ext), else among those created since `sent_at` (K-users)."""
        if candidate.external_id:
            return await self._by_external_id(candidate.external_id, candidate)
        if sent_at is None:
            return LookupMiss.NO_LOOKUP
        since = sent_at + self.client.session.clock_offset - CLOCK_MARGIN_SECONDS
        matching = set()
        async for page in self._user_pages(createdAfter=utc_text(since)):
            matching |= {person.candidate_id for person in page if is_same_person(person, candidate)}
        return single_id(matching)

    async def find_registrations(self, enrolments: Sequence[Enrolment]) -> Mapping[int, RegistrationLookup]:
        """Look a registration up: by our key, then among the user's registrations on the course (K-reg).

        AMBIGUOUS when the course is named without its id and the user is on a course of that name.
        """
        enrolment = enrolments[0]
        found = await self._by_key(enrolment)
        if found is LookupMiss.ABSENT:
            found = await self._by_user(enrolment)
        return {enrolment.row_id: found}

    async def find_by_external_id(self, row: RosterRow) -> RegistrationOwner | LookupMiss:
        """Find a registration by its external id (K-reg)."""
        return await courses.find_by_external_id(self.client, row)

    async def show_candidate(self, candidate_id: str) -> RemoteRecord | LookupMiss:
        """Return the user under an id (K-reg: get by id)."""
        return await self._show(f"/users/{quote(candidate_id, safe='')}/", "find_user")

    async def show_registration(self, registration_id: str, course: Course | None) -> RemoteRecord | LookupMiss:
        """Return the registration under an id (K-reg: get by id)."""
        return await self._show(f"/registrations/{quote(registration_id, safe='')}/", "find_registration")

    async def _show(self, path: str, operation: str) -> RemoteRecord | LookupMiss:
        try:
            response = await self.client.read(operation, path)
        except Refused as refused:
            return lookup_miss_of(refused)
        return as_record(response.body) or LookupMiss.NO_LOOKUP

    async def read_states(
        self, requests: Sequence[ActionRequest]
    ) -> Mapping[int, RemoteState | LookupMiss | Refused]:
        """Read the registrations or the users of these requests (K-reg, K-users)."""
        about_people = requests[0].action.is_about_person
        return await (
            self.users.read_states(requests) if about_people else courses.read_states(self.client, requests)
        )

    async def apply(
        self, requests: Sequence[ActionRequest], states: Mapping[int, RemoteState], intent: Intent
    ) -> Mapping[int, ActionResult | Refused]:
        """Do one request: KMI takes one registration or user per call (K-reg)."""
        request = requests[0]
        if request.action.is_about_person:
            done = await self.users.change(request, states[request.row_id], intent)
        else:
            done = await courses.change(self.client, request, states[request.row_id], intent)
        return {request.row_id: done} if done else {}

    async def has_more_people_than(self, at_least: int) -> bool | None:
        """Return whether there is a user after the first `at_least` (K-page: no totals)."""
        response = await self.client.read("list_users", "/users/", {"offset": at_least, "limit": 1})
        return bool(objects_of(response))

    async def list_people(self, updated_after: float | None) -> AsyncIterator[Sequence[Person]]:
        """Yield the users by pages of 100 (K-page), or those updated since."""
        since = {"updatedAfter": utc_text(updated_after)} if updated_after is not None else {}
        async for page in self._user_pages(**since):
            yield page

    async def list_registrations(self, course: Course, pages: int) -> Mapping[str, str] | None:
        """Return user id → registration id of active registrations; None when that takes over `pages` pages."""
        if course.course_id is None:
            return None
        found: dict[str, str] = {}
        for page in range(pages):
            items = await self._registration_page(course.course_id, page * PAGE_SIZE, PAGE_SIZE)
            active = [item for item in items if is_active(item)]
            found |= {as_id(item.get("userId")) or "": as_id(item.get("id")) or "" for item in active}
            if len(items) < PAGE_SIZE:
                return found
            if page == 0 and await self._registration_page(course.course_id, pages * PAGE_SIZE, 1):
                return None
        return None

    async def probe(self) -> str:
        """Read one user."""
        await self.client.read("probe", "/users/", {"limit": 1})
        return "Connection works; credentials accepted"

    def _user_body(self, candidate: Candidate) -> dict[str, Any]:
        values = user_fields(candidate)
        if self.connection.login_from_email and candidate.email:
            values.setdefault("loginName", candidate.email)
        return values

    def _has_login_from_email(self, candidate: Candidate) -> bool:
        return self.connection.login_from_email and candidate.login_name is None

    async def _by_external_id(self, external_id: str, candidate: Candidate) -> CandidateLookup:
        if external_id in UNSAFE_IN_PATH:
            return LookupMiss.NO_LOOKUP
        try:
            response = await self.client.read("find_user", f"/users/external_id/{quote(external_id, safe='')}/")
        except Refused as refused:
            return lookup_miss_of(refused)
        found = as_person(response.body) if isinstance(response.body, dict) else None
        if found is None:
            return LookupMiss.NO_LOOKUP
        is_other = is_other_person(traits_of(candidate), traits_of(found))
        return LookupMiss.OTHER_PERSON if is_other else found.candidate_id

    async def _by_key(self, enrolment: Enrolment) -> RegistrationLookup:
        if enrolment.idempotency_key in UNSAFE_IN_PATH:
            return LookupMiss.NO_LOOKUP
        try:
            path = f"/registrations/external/{quote(enrolment.idempotency_key, safe='')}/"
            response = await self.client.read("find_registration", path)
        except Refused as refused:
            return lookup_miss_of(refused)
        return registration_by_key(response.body, enrolment)

    async def _by_user(self, enrolment: Enrolment) -> RegistrationLookup:
        params = {"user_id": enrolment.candidate_id, "offset": 0, "limit": PAGE_SIZE}
        if enrolment.course.course_id is not None:
            params["course_id"] = enrolment.course.course_id
        items = objects_of(await self.client.read("list_registrations", "/registrations/", params))
        if len(items) >= PAGE_SIZE:
            return LookupMiss.NO_LOOKUP
        found = {as_id(item.get("id")): item for item in items if is_on(item, enrolment.course) and is_active(item)}
        if len(found) > 1 or (found and enrolment.course.course_id is None):
            # Several courses may have one name (K-reg): a name alone identifies none.
            return LookupMiss.AMBIGUOUS
        if not found:
            return LookupMiss.ABSENT if enrolment.course.external_id is None or not items else LookupMiss.NO_LOOKUP
        registration_id, item = next(iter(found.items()))
        return RemoteRegistration(
            registration_id=registration_id, existed=True, course_id=as_id(item.get("courseId"))
        )

    async def _registration_page(self, course_id: str, offset: int, limit: int) -> list[dict[str, Any]]:
        params = {"course_id": course_id, "offset": offset, "limit": limit}
        return objects_of(await self.client.read("list_registrations", "/registrations/", params))

    async def _user_pages(self, **params: Any) -> AsyncIterator[Sequence[Person]]:
        offset = 0
        while True:
            response = await self.client.read(
                "list_users", "/users/", {**params, "offset": offset, "limit": PAGE_SIZE}
            )
            items = objects_of(response)
            yield [person for item in items if (person := as_person(item))]
            if len(items) < PAGE_SIZE:
                return
            offset += PAGE_SIZE


def rules(connection: KmiConnection) -> RowRules:  # noqa: ARG001 - every connector's rules take its connection
    """Return what this connection requires of a row; a person who exists already needs no name."""
    return RowRules(
        actions=frozenset(Action),
        course_columns=frozenset({"course_id", "course_name", "course_external_id"}),
        required_to_create=(),
        required_if_new=REQUIRED_TO_CREATE,
        lists_people=True,
        people_per_page=PAGE_SIZE,
        finds_by_external_id=True,
        unused_columns=frozenset({"date_of_birth", "registration_date"}),
    )


#: The keys under `connections.<name>` in roster.toml, and the connector of an account.
Settings, connect = KmiConnection, Kmi


def headers(connection: KmiConnection) -> dict[str, str]:
    """Return the headers of every call (K-auth)."""
    return {
        "X-Api-Key": connection.api_key.get_secret_value(),
        "X-Api-Secret": connection.api_secret.get_secret_value(),
    }
