"""What a connector must offer, and the types that it returns. A new LMS is one file next to `tahdah` and `kmi`.

A connector knows paths, bodies and responses. It does not know the ledger, batches, retries or rate limits: it
makes one call when asked, and every call that changes something awaits the `intent` that it is given, after the
rate limiter has granted a permit and before the first byte is sent. It raises the `LmsError`s of `worker.errors`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Protocol, cast

from worker.errors import Refused
from worker.model import Action, Candidate, Course, Person, RosterRow, RowRules

#: Committed to the ledger just before a call that changes something; if it raises, the call is not sent.
Intent = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """A registration to be made for one row: the candidate by the LMS's id, the course, and our idempotency key."""

    row_id: int
    candidate_id: str
    row: RosterRow
    #: Our own id for the registration, for an LMS that takes one.
    idempotency_key: str
    #: Whether a registration that exists and is inactive is to be activated, since Roster withdrew it.
    may_activate: bool = False

    @property
    def course(self) -> Course:
        """Return the course; a row without one has no enrolment."""
        if self.row.course is None:
            raise ValueError("this row names no course")
        return self.row.course


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRegistration:
    """A registration that the LMS confirms, with its id (None when the LMS gave none)."""

    registration_id: str | None
    #: The registration existed before our call.
    existed: bool = False
    #: The LMS's id of the course, where the response names it.
    course_id: str | None = None
    http_status: int | None = None


#: Why a row is not sent whose id finds a person with another name and another address.
OTHER_PERSON = (
    "The LMS has another person under this id: their names and e-mail address are other ones; correct the id, or "
    "the names and the address if this is the same person"
)


class LookupMiss(Enum):
    """Why a look-up found nothing that can be used."""

    #: The LMS was asked and does not have it (yet).
    ABSENT = auto()
    #: More than one matches; a person must choose.
    AMBIGUOUS = auto()
    #: This LMS cannot be asked, or its answer does not say; it may exist or not.
    NO_LOOKUP = auto()
    #: The id is in use for a person whose names and address are all other ones.
    OTHER_PERSON = auto()


#: The result of looking a candidate up: the LMS's id, or why there is none.
CandidateLookup = str | LookupMiss
#: The result of looking a registration up.
RegistrationLookup = RemoteRegistration | LookupMiss


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequest:
    """An action on a registration or a person that exists: approve, complete, update and so on."""

    row_id: int
    action: Action
    row: RosterRow
    candidate_id: str
    #: Our own id for the registration, and the LMS's as far as the ledger knows it.
    idempotency_key: str = ""
    registration_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteState:
    """A registration or a person as the LMS shows it, compared with what an action asks for."""

    #: The LMS's id of the registration, or of the person.
    lms_id: str
    #: It is as the action wants it: there is nothing to send.
    is_done: bool = False
    #: The LMS's id of the course, where it shows one.
    course_id: str | None = None
    #: The registration was withdrawn.
    withdrawn: bool = False
    #: How the LMS shows it, briefly and without personal data: its status, or the fields that differ.
    description: str = ""
    #: Why the action must not be sent at all.
    refusal: Refused | None = None
    #: What the LMS showed, for the connector's own use.
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationOwner:
    """The candidate and the course of a registration with an external id; both by the LMS's ids."""

    candidate_id: str
    course_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRecord:
    """What the LMS shows under an id that a person gave: a person, or a registration with its person and course.

    What it does not show is None. Not kept: it is compared with a row and forgotten.
    """

    lms_id: str
    #: Of a registration: the LMS's id of its person.
    candidate_id: str | None = None
    course_id: str | None = None
    course_name: str | None = None
    is_withdrawn: bool = False
    #: Of a person.
    email: str | None = None
    external_id: str | None = None
    first_name: str | None = None
    last_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult:
    """The LMS confirms that an action was done."""

    http_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEvent:
    """An LMS's own report that a candidate was registered on a course; all by the LMS's ids."""

    candidate_id: str
    course_id: str
    legal_entity_id: str | None = None
    registration_id: str | None = None


class WebhookReader(Protocol):
    """Verifies and reads the webhooks of one account. Pure; makes no call."""

    def is_genuine(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Return whether the raw body was signed by the LMS; in constant time."""

    def read(self, headers: Mapping[str, str], body: bytes) -> Sequence[WebhookEvent]:
        """Return the events that the body states for certain; none when it is ambiguous or unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPerson:
    """A person whom a look-up found for a candidate."""

    person: Person
    #: The account may not be used at the moment.
    is_suspended: bool = False


#: The result of looking a person up among many: whom the LMS has, ABSENT, or why none of those found can be used.
PersonLookup = FoundPerson | LookupMiss | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class CourseList:
    """Who is on a course, by the LMS's ids."""

    active: frozenset[str]
    #: Their registration exists and is suspended, or its time is over or has not come.
    inactive: frozenset[str]


#: The code of a `Refused` for a call that wrote nothing because another one wrote the same, or a value does not
#: fit: after a look-up it may be sent once more.
WRITE_CONFLICT = "write_conflict"
#: The code of a `Refused` for a call that the LMS's server accepts only with fewer people or values in it.
CALL_TOO_LARGE = "call_too_large"


class Connector(Protocol):
    """One account on one LMS, as the rest of Roster sees it."""

    @property
    def rules(self) -> RowRules:
        """Return what this connection requires of a row, and what a call takes as far as that is known."""

    async def create_candidate(self, candidate: Candidate, intent: Intent) -> str:
        """Create the candidate and return the LMS's id."""

    async def register_batch(
        self, enrolments: Sequence[Enrolment], intent: Intent
    ) -> Mapping[int, RemoteRegistration]:
        """Register all in one call; return by row id what the response confirms. A missing row is in doubt."""

    async def find_candidate(self, candidate: Candidate, sent_at: float | None) -> CandidateLookup:
        """Look a candidate up; `sent_at` is when a creation that is in doubt was sent (seconds since 1970)."""

    async def find_registrations(self, enrolments: Sequence[Enrolment]) -> Mapping[int, RegistrationLookup]:
        """Look registrations of one course up, by row id."""

    async def find_by_external_id(self, row: RosterRow) -> RegistrationOwner | LookupMiss:
        """Find the registration of a row that gives a `registration_external_id` but no person or no course.

        Only asked where `rules.finds_by_external_id`. Raises Refused (`registration_mismatch`) when the row also
        names a person or a course, and the registration has another one.
        """

    async def show_candidate(self, candidate_id: str) -> RemoteRecord | LookupMiss:
        """Return the person that the LMS has under an id."""

    async def show_registration(self, registration_id: str, course: Course | None) -> RemoteRecord | LookupMiss:
        """Return the registration that the LMS has under an id; `course` is where it is expected."""

    async def read_states(
        self, requests: Sequence[ActionRequest]
    ) -> Mapping[int, RemoteState | LookupMiss | Refused]:
        """Read the registrations or people of these requests, by row id, in as few calls as possible.

        All requests have one action and one course. The action `register` is allowed too: it is done when an active
        registration exists. Nothing is cached from an earlier read: this also reconciles what is in doubt, and
        verifies. Raises when nothing can be read.
        """

    async def apply(
        self, requests: Sequence[ActionRequest], states: Mapping[int, RemoteState], intent: Intent
    ) -> Mapping[int, ActionResult | Refused]:
        """Do the requests, all of one action, in one call; return by row id what the response says of each.

        An LMS that reports refusals within a success response gives a `Refused` for the row. A row that is missing
        is in doubt.
        """

    async def has_more_people_than(self, at_least: int) -> bool | None:
        """Return whether the LMS lists more than `at_least` people; None when it has no list."""

    def list_people(self, updated_after: float | None) -> AsyncIterator[Sequence[Person]]:
        """Yield the people of the LMS, page by page, or only those changed since."""

    async def list_registrations(self, course: Course, pages: int) -> Mapping[str, str] | None:
        """Return candidate id → registration id of a course; None when that takes more than `pages` pages."""

    async def probe(self) -> str:
        """Make one harmless call and return a sentence on the result."""


class BulkConnector(Connector, Protocol):
    """An LMS that looks up and creates many people in one call; it declares `rules.people_per_lookup`.

    A creating call is all or nothing. Courses are looked up and listed before anybody is sent to them.
    """

    async def find_people(self, candidates: Sequence[Candidate], known: Sequence[str]) -> Sequence[PersonLookup]:
        """Look people up, in as few calls as possible; return one result for each, in order.

        ABSENT only when the account was seen to find somebody: `known` are ids of people who exist.
        Raises StopJob that names what the account lacks.
        """

    async def show_people(self, candidates: Sequence[Candidate], known: Sequence[str]) -> Sequence[PersonLookup]:
        """Read people by the ids that rows give (`candidate_id`); return one result for each, in order.

        Refused with `unknown_candidate` for one who is not there, and with `other_person` for one whose names and
        address are all other ones than the row's. `known` is as in `find_people`.
        """

    async def find_refused(self, candidates: Sequence[Candidate]) -> Sequence[PersonLookup]:
        """Look up people whose creation was refused, in more ways than `find_people` where those take few calls.

        A single one in every way that the LMS has. Returns one result for each, in order.
        """

    def identities(self, candidate: Candidate) -> frozenset[str]:
        """Return texts of which two candidates have one in common when the LMS could take them for one person.

        No two calls at once create people with the same one. The LMS may accept both, or refuse one of them.
        """

    async def people_per_create(self, candidates: Sequence[Candidate]) -> int:
        """Return how many of these people one creating call accepts."""

    def creation_problem(self, candidate: Candidate) -> Refused | None:
        """Return why a candidate cannot be created, before anything is sent."""

    async def create_candidates(self, candidates: Sequence[Candidate], intent: Intent) -> Mapping[int, str]:
        """Create all in one call; return by place the LMS's ids that the response confirms.

        A missing one is in doubt. Raises Refused when nobody was created.
        """

    async def activate(self, candidate_ids: Sequence[str], intent: Intent) -> Mapping[str, Refused]:
        """Activate the accounts of people who were deactivated, in one call; return by id who was refused.

        Activating an active one does nothing. Raises Refused when nobody was activated.
        """

    def needs_read_back(self, candidates: Sequence[Candidate]) -> bool:
        """Return whether a person must be created and read back first, since the LMS ignores what it lacks."""

    async def read_back(self, created: Mapping[str, Candidate]) -> Mapping[str, str]:
        """Read people back who were just created, by the LMS's id; return a note on each who lacks something.

        Raises StopJob when every further person would lack it.
        """

    async def find_course(self, course: Course) -> str:
        """Return the LMS's id of a course on which people can be registered. Raises Refused."""

    async def list_course(self, course_id: str) -> CourseList:
        """Read who is on a course. Raises Refused."""

    async def list_members(self, course_id: str) -> frozenset[str]:
        """Read who is on a course, active or not, by the LMS's ids. Raises Refused."""


def bulk(connector: Connector) -> BulkConnector | None:
    """Return the connector of an LMS that looks people up many at a time; None for another one."""
    return cast("BulkConnector", connector) if connector.rules.people_per_lookup else None
