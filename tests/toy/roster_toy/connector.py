"""Toy LMS: people and enrolments one by one; its ids are words, such as `ada-byron` and `fire-safety`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

from worker.errors import AnswerLost, Refused
from worker.lms.contract import (
    ActionRequest,
    ActionResult,
    CandidateLookup,
    Enrolment,
    Intent,
    LookupMiss,
    RegistrationLookup,
    RemoteRecord,
    RemoteRegistration,
    RemoteState,
)
from worker.lms.http import LmsClient
from worker.lms.responses import as_id, field_of, objects_of, with_report_code
from worker.model import Action, Candidate, Course, Person, RosterRow, RowRules
from worker.settings import Connection, Secret

#: Roster column → field of a person.
FIELDS = ("email", "first_name", "last_name", "login_name", "external_id", "address", "city", "zip", "country")


class Settings(Connection):
    """A toy account in roster.toml."""

    system: Literal["toy"]
    #: The API token.
    token: Secret


def headers(connection: Settings) -> dict[str, str]:
    """Return the headers of every call."""
    return {"Authorization": f"Bearer {connection.token.get_secret_value()}"}


def rules(connection: Settings) -> RowRules:
    """Return what a row must have."""
    return RowRules(
        actions=frozenset({Action.REGISTER, Action.WITHDRAW}),
        course_columns=frozenset({"course_id"}),
        id_pattern="[a-z0-9-]+",
    )


class Toy:
    """One toy account."""

    def __init__(self, connection: Settings, client: LmsClient) -> None:
        self.client = client
        self.rules = rules(connection)

    async def create_candidate(self, candidate: Candidate, intent: Intent) -> str:
        """Create a person."""
        body = {name: value for name in FIELDS if (value := getattr(candidate, name))} | dict(candidate.fields)
        try:
            response = await self.client.change("create_person", "POST", "/people", body, intent)
        except Refused as refused:
            raise with_report_code(refused, already="candidate_exists", otherwise="candidate_refused") from None
        person = as_id(field_of(response.body, "id"))
        if person is None:
            raise AnswerLost(
                "The LMS answered without the person's id; they may have been created", response.status
            )
        return person

    async def register_batch(
        self, enrolments: Sequence[Enrolment], intent: Intent
    ) -> Mapping[int, RemoteRegistration]:
        """Enrol one person on one course; the answer counts only when it names the person."""
        wanted = enrolments[0]
        body = {"person": wanted.candidate_id, "course": wanted.course.course_id}
        try:
            response = await self.client.change("enrol", "POST", "/enrolments", body, intent, completes_rows=True)
        except Refused as refused:
            raise with_report_code(
                refused, already="already_registered", otherwise="registration_refused"
            ) from None
        id_, person = as_id(field_of(response.body, "id")), as_id(field_of(response.body, "person"))
        if id_ is None or person != wanted.candidate_id:
            return {}
        return {wanted.row_id: RemoteRegistration(registration_id=id_, http_status=response.status)}

    async def find_candidate(self, candidate: Candidate, sent_at: float | None) -> CandidateLookup:
        """Look a person up by external id, else by e-mail address."""
        by = "external_id" if candidate.external_id else "email"
        value = getattr(candidate, by)
        if value is None:
            return LookupMiss.NO_LOOKUP
        items = objects_of(await self.client.read("find_person", "/people", {by: value}))
        found = [id_ for item in items if item.get(by) == value and (id_ := as_id(item.get("id")))]
        if len(found) > 1:
            return LookupMiss.AMBIGUOUS
        return found[0] if found else LookupMiss.ABSENT

    async def find_registrations(self, enrolments: Sequence[Enrolment]) -> Mapping[int, RegistrationLookup]:
        """Look for an enrolment of each person on the course."""
        found: dict[int, RegistrationLookup] = {}
        for each in enrolments:
            try:
                id_ = await self._enrolment(each.candidate_id, each.course.course_id)
            except Refused:
                found[each.row_id] = LookupMiss.NO_LOOKUP
            else:
                there = RemoteRegistration(registration_id=id_, existed=True)
                found[each.row_id] = there if id_ else LookupMiss.ABSENT
        return found

    async def find_by_external_id(self, row: RosterRow) -> LookupMiss:
        """Return that enrolments have no external ids."""
        return LookupMiss.NO_LOOKUP

    async def show_candidate(self, candidate_id: str) -> RemoteRecord | LookupMiss:
        """Return the person under an id."""
        body = await self._show("find_person", f"/people/{quote(candidate_id, safe='')}")
        if isinstance(body, LookupMiss):
            return body
        names = ("email", "external_id", "first_name", "last_name")
        return RemoteRecord(lms_id=candidate_id, **{name: body.get(name) for name in names})

    async def show_registration(self, registration_id: str, course: Course | None) -> RemoteRecord | LookupMiss:
        """Return the enrolment under an id."""
        body = await self._show("list_enrolments", f"/enrolments/{quote(registration_id, safe='')}")
        if isinstance(body, LookupMiss):
            return body
        return RemoteRecord(lms_id=registration_id, candidate_id=body.get("person"), course_id=body.get("course"))

    async def read_states(
        self, requests: Sequence[ActionRequest]
    ) -> Mapping[int, RemoteState | LookupMiss | Refused]:
        """Read the enrolments of these requests; nobody can be withdrawn who has none."""
        found: dict[int, RemoteState | LookupMiss | Refused] = {}
        for each in requests:
            course = each.row.course.course_id if each.row.course else None
            id_ = await self._enrolment(each.candidate_id, course)
            done = each.action is Action.REGISTER
            found[each.row_id] = RemoteState(lms_id=id_, is_done=done) if id_ else LookupMiss.ABSENT
        return found

    async def apply(
        self, requests: Sequence[ActionRequest], states: Mapping[int, RemoteState], intent: Intent
    ) -> Mapping[int, ActionResult | Refused]:
        """Withdraw one enrolment; the answer repeats its id."""
        row_id, enrolment = requests[0].row_id, states[requests[0].row_id].lms_id
        path = f"/enrolments/{quote(enrolment, safe='')}"
        response = await self.client.change("withdraw", "DELETE", path, None, intent)
        done = as_id(field_of(response.body, "deleted")) == enrolment
        return {row_id: ActionResult(http_status=response.status)} if done else {}

    async def has_more_people_than(self, at_least: int) -> bool | None:
        """Return that there is no list of people."""
        return None

    async def list_people(self, updated_after: float | None) -> AsyncIterator[Sequence[Person]]:
        """Yield nobody: there is no list of people."""
        for page in ():
            yield page

    async def list_registrations(self, course: Course, pages: int) -> Mapping[str, str] | None:
        """Return that a course has no list."""
        return None

    async def probe(self) -> str:
        """Ask for a person whom nobody has."""
        await self.client.read("probe", "/people", {"email": "nobody"})
        return "Connection works; credentials accepted"

    async def _enrolment(self, person: str, course: str | None) -> str | None:
        items = objects_of(await self.client.read("list_enrolments", "/enrolments", {"person": person}))
        return next((as_id(item.get("id")) for item in items if as_id(item.get("course")) == course), None)

    async def _show(self, operation: str, path: str) -> dict[str, Any] | LookupMiss:
        try:
            response = await self.client.read(operation, path)
        except Refused as refused:
            return LookupMiss.ABSENT if refused.status == 404 else LookupMiss.NO_LOOKUP
        return response.body if isinstance(response.body, dict) else LookupMiss.NO_LOOKUP


connect = Toy
