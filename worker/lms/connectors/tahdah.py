"""Tahdah: candidates are created one by one, then registered on an experience many at a time.

Pages: Create Candidate (developers.tahdah.me, 15830528e0), Create Registrations and Register Learners (15830274e0).
The pages say nothing of limits, errors, look-ups or the body of a candidate; assumptions are marked as such.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from worker.errors import AnswerLost, Refused, StopJob
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
from worker.lms.responses import LmsResponse, as_id, with_report_code
from worker.lms.tahdah.settings import TahdahConnection
from worker.lms.tahdah.webhooks import TahdahWebhookReader
from worker.model import Action, Candidate, Course, Person, RosterRow, RowRules

#: Roster column → field of a candidate. Assumed: the page shows no body; `candidate_fields` changes it.
CANDIDATE_FIELDS = {
    "email": "email",
    "first_name": "firstName",
    "last_name": "lastName",
    "login_name": "loginName",
    "external_id": "externalId",
    "date_of_birth": "dateOfBirth",
    "address": "address",
    "address2": "address2",
    "city": "city",
    "state": "state",
    "zip": "zip",
    "country": "country",
    "expiration_date": "expirationDate",
}
#: Statuses of a GET that mean that the path has no look-up; they say nothing about who is registered.
NO_LOOKUP_STATUSES = frozenset({400, 403, 404, 405, 501})
#: A list of one of these lengths may be the first page of more.
PAGE_LIKE_LENGTHS = frozenset({10, 20, 25, 50, 100, 200, 250, 500, 1000})
_NOT_FOUND = 404
_LINK = re.compile(r"/candidates/(\d+)", re.IGNORECASE)


class Tahdah:
    """One Tahdah account."""

    def __init__(self, connection: TahdahConnection, client: LmsClient) -> None:
        self.connection = connection
        self.client = client
        self.rules = rules(connection)
        self._fields = {
            name: field for name, field in (CANDIDATE_FIELDS | dict(connection.candidate_fields)).items() if field
        }

    async def create_candidate(self, candidate: Candidate, intent: Intent) -> str:
        """Create a candidate, linked to the legal entity of the key (Create Candidate)."""
        try:
            response = await self.client.change(
                "create_candidate", "POST", "/api/candidates", self._candidate_body(candidate), intent
            )
        except Refused as refused:
            raise with_report_code(refused, already="candidate_exists", otherwise="candidate_refused") from None
        candidate_id = _candidate_id_of(response)
        if candidate_id is None:
            raise AnswerLost(
                "The LMS answered without the candidate's id; the candidate may have been created", response.status
            )
        return candidate_id

    async def register_batch(
        self, enrolments: Sequence[Enrolment], intent: Intent
    ) -> Mapping[int, RemoteRegistration]:
        """Register many candidates on one experience (Create Registrations); one path, one call."""
        body = {"candidateIds": [self._registration_item(enrolment) for enrolment in enrolments]}
        try:
            response = await self.client.change(
                "register", "POST", self._path(enrolments[0].course), body, intent, completes_rows=True
            )
        except Refused as refused:
            raise self._registration_error(refused) from None
        found = dict(_registrations(response))
        return {who.row_id: found[who.candidate_id] for who in enrolments if who.candidate_id in found}

    async def find_candidate(self, candidate: Candidate, sent_at: float | None) -> CandidateLookup:
        """Return that candidates cannot be looked up: no page documents it."""
        return LookupMiss.NO_LOOKUP

    async def find_registrations(self, enrolments: Sequence[Enrolment]) -> Mapping[int, RegistrationLookup]:
        """Look registrations up with a GET on the registrations path, where the LMS has one.

        A candidate in the list is registered; a missing one is absent only when the list is complete.
        """
        listed, nothing = await self._list_course(enrolments[0].course)
        found = dict(listed)
        return {who.row_id: found.get(who.candidate_id, nothing) for who in enrolments}

    async def find_by_external_id(self, row: RosterRow) -> LookupMiss:
        """Return that there is no such look-up: no page shows external ids of registrations."""
        return LookupMiss.NO_LOOKUP

    async def show_candidate(self, candidate_id: str) -> LookupMiss:
        """Return that candidates cannot be looked up: no page documents it."""
        return LookupMiss.NO_LOOKUP

    async def show_registration(self, registration_id: str, course: Course | None) -> RemoteRecord | LookupMiss:
        """Return the registration from the list of its course; absent only when the list is complete."""
        if course is None:
            return LookupMiss.NO_LOOKUP
        listed, nothing = await self._list_course(course)
        for candidate_id, shown in listed:
            if shown.registration_id == registration_id:
                return RemoteRecord(lms_id=registration_id, candidate_id=candidate_id, course_id=course.course_id)
        return nothing

    async def read_states(
        self, requests: Sequence[ActionRequest]
    ) -> Mapping[int, RemoteState | LookupMiss | Refused]:
        """Read registrations from the list of their course; no page documents reading anything else."""
        course = requests[0].row.course
        if requests[0].action is not Action.REGISTER or course is None:
            return {request.row_id: LookupMiss.NO_LOOKUP for request in requests}
        listed, nothing = await self._list_course(course)
        by_candidate: dict[str, list[RemoteRegistration]] = {}
        for candidate_id, there in listed:
            by_candidate.setdefault(candidate_id, []).append(there)
        return {
            request.row_id: _state_of(by_candidate.get(request.candidate_id, []), nothing) for request in requests
        }

    async def _list_course(self, course: Course) -> tuple[list[tuple[str, RemoteRegistration]], LookupMiss]:
        """Return (candidate id, registration) of the list of a course, and what a missing candidate means."""
        try:
            response = await self.client.read("list_registrations", self._path(course))
        except Refused as refused:
            if refused.status in NO_LOOKUP_STATUSES:
                return [], LookupMiss.NO_LOOKUP
            raise
        listed = _registrations(response)
        return listed, LookupMiss.ABSENT if _is_complete(response, len(listed)) else LookupMiss.NO_LOOKUP

    async def apply(
        self, requests: Sequence[ActionRequest], states: Mapping[int, RemoteState], intent: Intent
    ) -> Mapping[int, ActionResult | Refused]:
        """Refuse every action: no page documents approve, complete, withdraw, or the body of an update."""
        nothing = Refused("action_not_supported", None, "This LMS offers no such action through its API")
        return {request.row_id: nothing for request in requests}

    async def has_more_people_than(self, at_least: int) -> bool | None:
        """Return None: no page documents a list of people."""
        return None

    async def list_people(self, updated_after: float | None) -> AsyncIterator[Sequence[Person]]:
        """Yield nothing: no page documents a list of people."""
        return
        yield

    async def list_registrations(self, course: Course, pages: int) -> Mapping[str, str] | None:
        """Return None: the GET is in the menu of the pages, but its path and paging are not documented."""
        return None

    async def probe(self) -> str:
        """Read the registrations of experience 0, which shows whether the key is accepted."""
        course = Course(course_id="0", legal_entity_id=self.connection.legal_entity_id or "0")
        try:
            await self.client.read("probe", self._path(course))
        except Refused as refused:
            return f"Connection works; token not refused (status {refused.status} for a harmless read)"
        return "Connection works; credentials accepted"

    def _candidate_body(self, candidate: Candidate) -> dict[str, Any]:
        values = {field: getattr(candidate, name, None) for name, field in self._fields.items()}
        named = {
            field: value.isoformat() if hasattr(value, "isoformat") else value
            for field, value in values.items()
            if value is not None
        }
        return named | dict(candidate.fields)

    def _path(self, course: Course) -> str:
        entity = f"legalentities/{course.legal_entity_id}"
        return (
            f"/api/learningexperiences/{entity}/experiences/{course.course_id}/{self.connection.registration_path}"
        )

    def _registration_item(self, enrolment: Enrolment) -> dict[str, Any]:
        """Return one candidate of the call; without a date in the roster it is registered as of today."""
        day = enrolment.row.registration_date or datetime.now(UTC).date()
        who = enrolment.candidate_id
        return {
            "candidateId": int(who) if who.isdigit() else who,
            "behavior": enrolment.row.behavior,
            "registrationDate": day.isoformat(),
        }

    def _registration_error(self, refused: Refused) -> Exception:
        path_missing = 405
        if refused.status == path_missing:
            return StopJob(
                "path_missing",
                f"The LMS accepts no registrations at …/{self.connection.registration_path} ({refused.status}); "
                "set registration_path to the other of `registrations` and `learners`, then resume the job",
                refused.status,
            )
        if refused.status == _NOT_FOUND:
            refused.message += "; or the path is the other of the two: see registration_path"
        return with_report_code(refused, already="already_registered", otherwise="registration_refused")


def rules(connection: TahdahConnection) -> RowRules:
    """Return what this connection requires of a row. Approve, complete and withdraw are not documented."""
    defaults = {"legal_entity_id": connection.legal_entity_id, "behavior": connection.behavior}
    return RowRules(
        actions=frozenset({Action.REGISTER}),
        course_columns=frozenset({"course_id"}),
        required_to_create=("email", "first_name", "last_name"),
        needs_behavior=True,
        needs_legal_entity=True,
        rows_per_call=connection.batch_size,
        defaults={name: str(value) for name, value in defaults.items() if value is not None},
    )


def _candidate_id_of(response: LmsResponse) -> str | None:
    """Return the id of a new candidate. Its field is not documented: search the usual ones."""
    body = response.body
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    found = _id_in(body)
    link = _LINK.search(response.headers.get("location", ""))
    return found or (link.group(1) if link else None)


def _id_in(body: Any) -> str | None:
    if not isinstance(body, dict):
        return as_id(body)
    lowered = {str(name).lower(): value for name, value in body.items()}
    for name in ("candidateid", "id"):
        if found := as_id(lowered.get(name)):
            return found
    for name in ("candidate", "data", "result"):
        if isinstance(lowered.get(name), dict | int | str) and (found := _id_in(lowered[name])):
            return found
    return None


def _registrations(response: LmsResponse) -> list[tuple[str, RemoteRegistration]]:
    """Return (candidate id, registration) of each item of a response, in any order and of any types."""
    found = []
    for item in _items(response.body):
        registration_id = as_id(item.get("candidateExperienceId"))
        if candidate_id := as_id(item.get("candidateId")):
            found.append(
                (candidate_id, RemoteRegistration(registration_id=registration_id, http_status=response.status))
            )
    return found


def _state_of(theirs: Sequence[RemoteRegistration], nothing: LookupMiss) -> RemoteState | LookupMiss:
    """Return the state of one candidate in the list of a course."""
    if len(theirs) > 1:
        return LookupMiss.AMBIGUOUS
    return (
        RemoteState(lms_id=theirs[0].registration_id or "", is_done=True, description="registered")
        if theirs
        else nothing
    )


def _items(body: Any) -> list[dict[str, Any]]:
    if isinstance(body, dict):
        body = next((part for part in body.values() if isinstance(part, list)), [])
    return [item for item in body if isinstance(item, dict)] if isinstance(body, list) else []


def _is_complete(response: LmsResponse, length: int) -> bool:
    """Return whether a list shows no sign of being one page of several."""
    paged = any(name in response.headers for name in ("link", "x-total-count", "x-pagination"))
    return isinstance(response.body, list) and not paged and length not in PAGE_LIKE_LENGTHS


#: The keys under `connections.<name>` in roster.toml, and the connector of an account.
Settings, connect = TahdahConnection, Tahdah


def headers(connection: TahdahConnection) -> dict[str, str]:
    """Return the headers of every call (Create Registrations: bearer token)."""
    return {"Authorization": f"Bearer {connection.token.get_secret_value()}"}


def webhook_reader(connection: TahdahConnection) -> TahdahWebhookReader | None:
    """Return the reader of its webhooks, where a secret is configured."""
    secret = connection.webhook_secret
    return TahdahWebhookReader(secret.get_secret_value()) if secret is not None else None
