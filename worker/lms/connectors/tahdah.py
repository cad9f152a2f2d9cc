"""Tahdah: candidates are created one by one, then registered on an experience many at a time.

Pages: Create Candidate (developers.tahdah.me, 15830528e0), Create Registrations and Register Learners (15830274e0).
The pages say nothing of limits, errors, look-ups or the body of a candidate; what is assumed is marked so.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from worker.errors import AnswerLost, Refused, StopJob
from worker.lms.contract import (
    Deed,
    Done,
    Enrolment,
    FoundCandidate,
    FoundRegistration,
    Intent,
    Registered,
    Seen,
    Unfound,
)
from worker.lms.http import Door
from worker.lms.responses import Answer, as_id, recoded
from worker.lms.tahdah.webhooks import TahdahHook
from worker.model import Action, Candidate, Course, Person, RosterRow, RowRules
from worker.settings import Connection, Secret, Text

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
#: A path that answers so to a GET has no look-up; it says nothing about who is registered.
NO_LOOKUP = frozenset({400, 403, 404, 405, 501})
#: A list of just so many may be the first page of more.
ROUND_LENGTHS = frozenset({10, 20, 25, 50, 100, 200, 250, 500, 1000})
_NOT_FOUND = 404
_LINK = re.compile(r"/candidates/(\d+)", re.IGNORECASE)

#: The environment gives numbers as text.
Behavior = Annotated[Literal[1, 2], BeforeValidator(lambda value: int(value) if str(value).isdigit() else value)]


class TahdahConnection(Connection):
    """A Tahdah account in roster.toml."""

    system: Literal["tahdah"]
    base_url: str = "https://api.tahdah.me"
    #: The API key, sent as bearer token.
    token: Secret
    #: The legal entity that registers, for rows that name none.
    legal_entity_id: Text | None = None
    #: The last segment of the path: `registrations`, or `learners` on the older one.
    registration_path: Literal["registrations", "learners"] = "registrations"
    #: 1 or 2, for rows that say nothing. No default: its meaning is documented nowhere.
    behavior: Behavior | None = None
    #: Roster column → field of a candidate, to add to or change the defaults; "" leaves a column out.
    candidate_fields: Mapping[str, str] = Field(default_factory=dict)
    #: The signing secret of its webhooks, which `roster serve` takes at /hooks/NAME; without it none is taken.
    webhook_secret: Secret | None = None


class Tahdah:
    """One Tahdah account."""

    def __init__(self, connection: TahdahConnection, door: Door) -> None:
        self.connection = connection
        self.door = door
        self.rules = rules(connection)
        self._fields = {
            name: field for name, field in (CANDIDATE_FIELDS | dict(connection.candidate_fields)).items() if field
        }

    async def create(self, candidate: Candidate, intent: Intent) -> str:
        """Create a candidate, linked to the legal entity of the key (Create Candidate)."""
        try:
            answer = await self.door.change(
                "create_candidate", "POST", "/api/candidates", self._body(candidate), intent
            )
        except Refused as refused:
            raise recoded(refused, already="candidate_exists", otherwise="candidate_refused") from None
        candidate_id = _new_id(answer)
        if candidate_id is None:
            raise AnswerLost("The LMS answered without the candidate's id; perhaps it was created", answer.status)
        return candidate_id

    async def register(self, enrolments: Sequence[Enrolment], intent: Intent) -> Mapping[int, Registered]:
        """Register many candidates on one experience (Create Registrations); one path, one call."""
        body = {"candidateIds": [self._item(enrolment) for enrolment in enrolments]}
        try:
            answer = await self.door.change("register", "POST", self._path(enrolments[0].course), body, intent)
        except Refused as refused:
            raise self._as_registration(refused) from None
        found = dict(_registrations(answer))
        return {who.row_id: found[who.candidate_id] for who in enrolments if who.candidate_id in found}

    async def find_candidate(self, candidate: Candidate, sent_at: float | None) -> FoundCandidate:
        """Say that nobody can be looked up: no page documents it."""
        return Unfound.NO_LOOKUP

    async def find_registrations(self, enrolments: Sequence[Enrolment]) -> Mapping[int, FoundRegistration]:
        """Look registrations up with a GET on the registrations path, where the LMS has one.

        A candidate in the list is registered; one missing from it is absent only when the list is whole.
        """
        listed, nothing = await self._listed(enrolments[0].course)
        found = dict(listed)
        return {who.row_id: found.get(who.candidate_id, nothing) for who in enrolments}

    async def find_named(self, row: RosterRow) -> Unfound:
        """Say that there is no such look-up: no page shows external ids of registrations."""
        return Unfound.NO_LOOKUP

    async def look(self, deeds: Sequence[Deed]) -> Mapping[int, Seen | Unfound | Refused]:
        """Look registrations up in the list of their course; of anything else no page documents a look."""
        course = deeds[0].row.course
        if deeds[0].action is not Action.REGISTER or course is None:
            return {deed.row_id: Unfound.NO_LOOKUP for deed in deeds}
        listed, nothing = await self._listed(course)
        by_candidate: dict[str, list[Registered]] = {}
        for candidate_id, there in listed:
            by_candidate.setdefault(candidate_id, []).append(there)
        return {deed.row_id: _as_seen(by_candidate.get(deed.candidate_id, []), nothing) for deed in deeds}

    async def _listed(self, course: Course) -> tuple[list[tuple[str, Registered]], Unfound]:
        """Return (candidate id, registration) of the list of a course, and what it means not to be in it."""
        try:
            answer = await self.door.read("list_registrations", self._path(course))
        except Refused as refused:
            if refused.status in NO_LOOKUP:
                return [], Unfound.NO_LOOKUP
            raise
        listed = _registrations(answer)
        return listed, Unfound.ABSENT if _is_whole(answer, len(listed)) else Unfound.NO_LOOKUP

    async def act(
        self, deeds: Sequence[Deed], seen: Mapping[int, Seen], intent: Intent
    ) -> Mapping[int, Done | Refused]:
        """Do nothing: no page documents approve, complete, withdraw, or the body of an update."""
        nothing = Refused("action_not_supported", None, "This LMS offers no such action through its interface")
        return {deed.row_id: nothing for deed in deeds}

    async def count_people(self, at_least: int) -> bool | None:
        """Say that nobody is listed: no page documents it."""
        return None

    async def list_people(self, updated_after: float | None) -> AsyncIterator[Sequence[Person]]:
        """List nobody."""
        return
        yield

    async def list_registered(self, course: Course, pages: int) -> Mapping[str, str] | None:
        """Say nothing: the GET is listed in the menu, its path and paging are not documented."""
        return None

    async def probe(self) -> str:
        """Read the registrations of experience 0, which shows whether the key is taken."""
        course = Course(course_id="0", legal_entity_id=self.connection.legal_entity_id or "0")
        try:
            await self.door.read("probe", self._path(course))
        except Refused as refused:
            return f"answered {refused.status} to a harmless read; the token was not refused"
        return "answered a harmless read"

    def _body(self, candidate: Candidate) -> dict[str, Any]:
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

    def _item(self, enrolment: Enrolment) -> dict[str, Any]:
        """Return one candidate of the call; without a date in the roster it is registered as of today."""
        day = enrolment.row.registration_date or datetime.now(UTC).date()
        who = enrolment.candidate_id
        return {
            "candidateId": int(who) if who.isdigit() else who,
            "behavior": enrolment.row.behavior,
            "registrationDate": day.isoformat(),
        }

    def _as_registration(self, refused: Refused) -> Exception:
        path_missing = 405
        if refused.status == path_missing:
            return StopJob(
                "path_missing",
                f"The LMS takes no registrations on …/{self.connection.registration_path} ({refused.status}); "
                "set registration_path to the other of `registrations` and `learners`, then resume the job",
                refused.status,
            )
        if refused.status == _NOT_FOUND:
            refused.message += "; or the path is the other of the two: see registration_path"
        return recoded(refused, already="already_registered", otherwise="registration_refused")


def rules(connection: TahdahConnection) -> RowRules:
    """Return what this connection asks of a row. Approve, complete and withdraw are documented nowhere."""
    defaults = {"legal_entity_id": connection.legal_entity_id, "behavior": connection.behavior}
    return RowRules(
        actions=frozenset({Action.REGISTER}),
        course_columns=frozenset({"course_id"}),
        to_create=("email", "first_name", "last_name"),
        needs_behavior=True,
        needs_legal_entity=True,
        rows_per_call=connection.batch_size,
        defaults={name: str(value) for name, value in defaults.items() if value is not None},
    )


def _new_id(answer: Answer) -> str | None:
    """Return the id of a new candidate. Its field is documented nowhere: look in the places such ids stand."""
    body = answer.body
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    found = _id_in(body)
    link = _LINK.search(answer.headers.get("location", ""))
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


def _registrations(answer: Answer) -> list[tuple[str, Registered]]:
    """Return (candidate id, registration) of each item of an answer, in whatever order and types it comes."""
    found = []
    for item in _items(answer.body):
        registration_id = as_id(item.get("candidateExperienceId"))
        if candidate_id := as_id(item.get("candidateId")):
            found.append((candidate_id, Registered(registration_id=registration_id, http_status=answer.status)))
    return found


def _as_seen(theirs: Sequence[Registered], nothing: Unfound) -> Seen | Unfound:
    """Return what the list of a course shows of one candidate."""
    if len(theirs) > 1:
        return Unfound.SEVERAL
    return Seen(lms_id=theirs[0].registration_id or "", reached=True, shown="registered") if theirs else nothing


def _items(body: Any) -> list[dict[str, Any]]:
    if isinstance(body, dict):
        body = next((part for part in body.values() if isinstance(part, list)), [])
    return [item for item in body if isinstance(item, dict)] if isinstance(body, list) else []


def _is_whole(answer: Answer, length: int) -> bool:
    """Tell whether a list shows no sign of being one page of several."""
    paged = any(name in answer.headers for name in ("link", "x-total-count", "x-pagination"))
    return isinstance(answer.body, list) and not paged and length not in ROUND_LENGTHS


#: What stands under `connections.<name>` in roster.toml, and the connector of an account.
Settings, connect = TahdahConnection, Tahdah


def headers(connection: TahdahConnection) -> dict[str, str]:
    """Return what every call carries (Create Registrations: bearer token)."""
    return {"Authorization": f"Bearer {connection.token.get_secret_value()}"}


def hook(connection: TahdahConnection) -> TahdahHook | None:
    """Return how its webhooks are read, where a secret is configured."""
    secret = connection.webhook_secret
    return TahdahHook(secret.get_secret_value()) if secret is not None else None
