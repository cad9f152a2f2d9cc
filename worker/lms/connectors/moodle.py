"""Moodle, by its web services over REST: many people per call, all or nothing.

What the functions answer was measured on real sites (4.3 and 5.1), not taken from documentation: every error of
Moodle is HTTP 200, and says neither which record nor which field it means.
docs/moodle.md says what the account needs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import lru_cache

from worker.errors import Refused
from worker.lms.contract import (
    ActionRequest,
    ActionResult,
    CandidateLookup,
    CourseList,
    Enrolment,
    Intent,
    LookupMiss,
    PersonLookup,
    RegistrationLookup,
    RemoteRecord,
    RemoteRegistration,
    RemoteState,
)
from worker.lms.http import LmsClient
from worker.lms.moodle.courses import FIELDS_EACH, FIELDS_EACH_SUSPENDED, Courses
from worker.lms.moodle.lookups import as_found, look_up
from worker.lms.moodle.people import REQUIRED_TO_CREATE, Users, found_id
from worker.lms.moodle.settings import MoodleConnection
from worker.lms.moodle.site import PEOPLE_PER_LOOKUP, Site
from worker.lms.moodle.values import identities, problem_of
from worker.lms.moodle.wire import CONTROL_FIELDS, Api
from worker.model import Action, Candidate, Course, Person, RosterRow, RowRules


class Moodle:
    """One account of one Moodle site."""

    def __init__(self, connection: MoodleConnection, client: LmsClient) -> None:
        self.connection = connection
        self.client = client
        api = Api(client, connection.token.get_secret_value(), connection.fields_per_call)
        self.site = Site(api, connection.known_user)
        self.users = Users(self.site, connection)
        self.courses = Courses(self.site, connection)

    @property
    def rules(self) -> RowRules:
        """Return what this connection requires of a row; a call takes as much as was seen to arrive."""
        return _rules(self.connection.batch_size, self.site.api.fields_per_call)

    async def find_people(self, candidates: Sequence[Candidate], known: Sequence[str]) -> Sequence[PersonLookup]:
        """Look people up by user name, address and ID number, hundreds in a call."""
        return await look_up(self.site, candidates, known)

    async def show_people(self, candidates: Sequence[Candidate], known: Sequence[str]) -> Sequence[PersonLookup]:
        """Read people by the IDs that rows give, hundreds in a call."""
        return await self.users.show(candidates, known)

    async def find_refused(self, candidates: Sequence[Candidate]) -> Sequence[PersonLookup]:
        """Look up people whose creation was refused, by their addresses in other letter cases."""
        return await self.users.find_refused(candidates)

    def identities(self, candidate: Candidate) -> frozenset[str]:
        """Return what a user is found by: two calls at once may both create one of an address or an ID number."""
        return identities(candidate)

    async def people_per_create(self, candidates: Sequence[Candidate]) -> int:
        """Return how many of these people one creating call accepts."""
        return await self.users.people_per_create(candidates)

    def creation_problem(self, candidate: Candidate) -> Refused | None:
        """Return why Moodle would refuse to create a candidate."""
        return self.users.creation_problem(candidate)

    async def create_candidates(self, candidates: Sequence[Candidate], intent: Intent) -> Mapping[int, str]:
        """Create people in one call."""
        return await self.users.create(candidates, intent)

    async def activate(self, candidate_ids: Sequence[str], intent: Intent) -> Mapping[str, Refused]:
        """Activate users who were suspended, in one call."""
        return await self.users.activate(candidate_ids, intent)

    def needs_read_back(self, candidates: Sequence[Candidate]) -> bool:
        """Return whether it is unknown if the custom fields of these people exist."""
        return self.users.needs_read_back(candidates)

    async def read_back(self, created: Mapping[str, Candidate]) -> Mapping[str, str]:
        """Read new people back, as long as it is unknown whether their custom fields exist."""
        return await self.users.read_back(created)

    async def find_course(self, course: Course) -> str:
        """Return the ID of a course that people can be enrolled on."""
        return await self.courses.find(course)

    async def list_course(self, course_id: str) -> CourseList:
        """Read who is on a course."""
        return await self.courses.members(course_id)

    async def list_members(self, course_id: str) -> frozenset[str]:
        """Read who is on a course, active or not."""
        return await self.courses.everybody(course_id)

    async def create_candidate(self, candidate: Candidate, intent: Intent) -> str:
        """Create one person."""
        problem = self.creation_problem(candidate)
        if problem is not None:
            raise problem
        created = await self.users.create([candidate], intent)
        return created[0]

    async def register_batch(
        self, enrolments: Sequence[Enrolment], intent: Intent
    ) -> Mapping[int, RemoteRegistration]:
        """Enrol people on one course in one call."""
        return await self.courses.enrol(enrolments, intent)

    async def find_candidate(self, candidate: Candidate, sent_at: float | None) -> CandidateLookup:
        """Look one person up."""
        (found,) = await self.find_people([candidate], ())
        return found_id(found)

    async def find_registrations(self, enrolments: Sequence[Enrolment]) -> Mapping[int, RegistrationLookup]:
        """Look enrolments up in the list of their course."""
        return await self.courses.find_registrations(enrolments)

    async def find_by_external_id(self, row: RosterRow) -> LookupMiss:
        """Return that there is no such look-up: an enrolment has no ID."""
        return LookupMiss.NO_LOOKUP

    async def show_candidate(self, candidate_id: str) -> RemoteRecord | LookupMiss:
        """Return the user under an ID."""
        await self.site.known()
        row = (await self.users.read([candidate_id])).get(candidate_id)
        found = as_found(row) if row is not None else None
        if found is None:
            return LookupMiss.ABSENT
        who = found.person
        return RemoteRecord(
            lms_id=who.candidate_id,
            email=who.email,
            external_id=who.external_id,
            first_name=who.first_name,
            last_name=who.last_name,
        )

    async def show_registration(self, registration_id: str, course: Course | None) -> RemoteRecord | LookupMiss:
        """Return that there is no such look-up: an enrolment has no ID."""
        return LookupMiss.NO_LOOKUP

    async def read_states(
        self, requests: Sequence[ActionRequest]
    ) -> Mapping[int, RemoteState | LookupMiss | Refused]:
        """Read users hundreds in a call, enrolments from the list of their course."""
        about_people = requests[0].action.is_about_person
        return await (self.users.read_states(requests) if about_people else self.courses.read_states(requests))

    async def apply(
        self, requests: Sequence[ActionRequest], states: Mapping[int, RemoteState], intent: Intent
    ) -> Mapping[int, ActionResult | Refused]:
        """Update or deactivate people, or withdraw enrolments, in one call."""
        if requests[0].action.is_about_person:
            return await self.users.apply(requests, states, intent)
        if requests[0].action is Action.WITHDRAW:
            return await self.courses.withdraw(requests, states, intent)
        nothing = Refused("action_not_supported", None, "Moodle offers no such action")
        return {request.row_id: nothing for request in requests}

    async def has_more_people_than(self, at_least: int) -> bool | None:
        """Return None: people are looked up, and never listed."""
        return None

    async def list_people(self, updated_after: float | None) -> AsyncIterator[Sequence[Person]]:
        """Yield nothing: the only list of all users has no pages."""
        return
        yield

    async def list_registrations(self, course: Course, pages: int) -> Mapping[str, str] | None:
        """Return the users who are active on a course; an enrolment has no ID."""
        listed = await self.courses.members(await self.courses.find(course))
        return dict.fromkeys(listed.active, "")

    async def probe(self) -> str:
        """Read the site's description, then look up a user who exists in each way."""
        return await self.site.check()


def rules(connection: MoodleConnection) -> RowRules:
    """Return what this connection requires of a row; a person who exists already needs no name."""
    return _rules(connection.batch_size, connection.fields_per_call)


@lru_cache(maxsize=64)
def _rules(batch_size: int, fields_per_call: int) -> RowRules:
    fits = max(1, (fields_per_call - CONTROL_FIELDS) // FIELDS_EACH)
    fits_acting = max(1, (fields_per_call - CONTROL_FIELDS) // FIELDS_EACH_SUSPENDED)
    return RowRules(
        actions=frozenset({Action.REGISTER, Action.WITHDRAW, Action.UPDATE, Action.DEACTIVATE}),
        course_columns=frozenset({"course_id", "course_name", "course_external_id"}),
        required_to_create=(),
        required_if_new=REQUIRED_TO_CREATE,
        rows_per_call=min(batch_size, fits),
        rows_per_action=min(batch_size, fits_acting),
        people_per_lookup=PEOPLE_PER_LOOKUP,
        # A call has committed when it is answered.
        lags=False,
        numbers_registrations=False,
        refuse=problem_of,
        unused_columns=frozenset(
            {"date_of_birth", "registration_date", "expiration_date", "address", "address2", "state", "zip"}
        ),
    )


#: The keys under `connections.<name>` in roster.toml, and the connector of an account.
Settings, connect = MoodleConnection, Moodle


def headers(connection: MoodleConnection) -> dict[str, str]:  # noqa: ARG001 - every connector's headers take it
    """Return no headers: the token is a form field."""
    return {}


def credential(connection: MoodleConnection) -> str:
    """Return what distinguishes this account from others of the same site."""
    return connection.token.get_secret_value()
