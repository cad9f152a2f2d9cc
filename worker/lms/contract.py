"""What a connector must offer, and the words in which it answers. A new LMS is one file beside `tahdah` and `kmi`.

A connector knows paths, bodies and answers. It does not know the ledger, batches, retries or the pace: it makes one
call when asked, and every call that changes something runs the `intent` it is handed after the pace has given leave
and before the first byte goes out. It raises the `LmsError`s of `worker.errors`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Protocol

from worker.errors import Refused
from worker.model import Action, Candidate, Course, Person, RosterRow, RowRules

#: Committed to the ledger just before a call that changes something; what it raises keeps the call from being sent.
Intent = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """One row on its way to a registration: who, by the LMS's id, on what, under which key of ours."""

    row_id: int
    candidate_id: str
    row: RosterRow
    #: Our own id for the registration, for an LMS that takes one.
    key: str

    @property
    def course(self) -> Course:
        """Return the course; a row without one has no enrolment."""
        if self.row.course is None:
            raise ValueError("this row names no course")
        return self.row.course


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """The LMS said so: a registration and its id (None when it gave none)."""

    registration_id: str | None
    #: The LMS answered with one that was there before our call.
    already: bool = False
    #: The LMS's id of the course, where the answer names it.
    course_id: str | None = None
    http_status: int | None = None


class Unfound(Enum):
    """Why a look-up found nothing that can be used."""

    #: Looked, and it is not there (yet).
    ABSENT = auto()
    #: More than one matches; a person must choose.
    SEVERAL = auto()
    #: This LMS cannot be asked; it says nothing about whether it is there.
    NO_LOOKUP = auto()


#: What a look-up says of a candidate: the LMS's id, or why there is none.
FoundCandidate = str | Unfound
#: What a look-up says of a registration.
FoundRegistration = Registered | Unfound


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something to be done to a registration or a person that is there: approve, complete, update and so on."""

    row_id: int
    action: Action
    row: RosterRow
    candidate_id: str
    #: Our own id for the registration, and the LMS's as far as the ledger knows it.
    key: str = ""
    registration_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A registration or a person as the LMS shows it, held against what a deed asks for."""

    #: The LMS's id of the registration, or of the person.
    lms_id: str
    #: It is so already: there is nothing to send.
    reached: bool = False
    #: The LMS's id of the course, where it shows one.
    course_id: str | None = None
    #: The registration stands no more.
    withdrawn: bool = False
    #: How the LMS shows it, in few words and without anybody's data: its status, or the fields that differ.
    shown: str = ""
    #: Why it is not to be sent at all.
    hindrance: Refused | None = None
    #: What the LMS showed, for the connector's own use.
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Whose registration has an external id, and on what; both by the LMS's ids."""

    candidate_id: str
    course_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The LMS said so: the deed is done."""

    http_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that an LMS told by itself: a candidate was registered on a course; all by the LMS's ids."""

    candidate_id: str
    course_id: str
    legal_entity_id: str | None = None
    registration_id: str | None = None


class Hook(Protocol):
    """How the webhooks of one account are told from forged ones, and read. Pure: it calls nobody."""

    def is_genuine(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Tell whether the raw body was signed by the LMS; in constant time."""

    def read(self, headers: Mapping[str, str], body: bytes) -> Sequence[Notice]:
        """Return what it says for certain; nothing of a body that could mean two things, or that is not known."""


class Connector(Protocol):
    """One account on one LMS, as the rest of Roster sees it."""

    #: What this connection asks of a row.
    rules: RowRules

    async def create(self, candidate: Candidate, intent: Intent) -> str:
        """Create the candidate and return the LMS's id."""

    async def register(self, enrolments: Sequence[Enrolment], intent: Intent) -> Mapping[int, Registered]:
        """Register all in one call; return by row id what the answer confirms. Who is missing is in doubt."""

    async def find_candidate(self, candidate: Candidate, sent_at: float | None) -> FoundCandidate:
        """Look a candidate up; `sent_at` is when a creation that is in doubt was sent (seconds since 1970)."""

    async def find_registrations(self, enrolments: Sequence[Enrolment]) -> Mapping[int, FoundRegistration]:
        """Look registrations of one course up, by row id."""

    async def find_named(self, row: RosterRow) -> Named | Unfound:
        """Find the registration that a row names by `registration_external_id`, for want of a person or a course.

        Only asked where `rules.finds_by_external_id`. Raises Refused (`registration_mismatch`) when the row names
        a person or a course too, and it is another one.
        """

    async def look(self, deeds: Sequence[Deed]) -> Mapping[int, Seen | Unfound | Refused]:
        """Read what these deeds are about, by row id, in as few calls as it can: all of one action and one course.

        Of the action `register` too, which is done when the registration stands. Nothing is taken from an earlier
        look: this also settles what is in doubt, and verifies. Raises when nothing can be read.
        """

    async def act(
        self, deeds: Sequence[Deed], seen: Mapping[int, Seen], intent: Intent
    ) -> Mapping[int, Done | Refused]:
        """Do the deeds, all of one action, in one call; return by row id what the answer says of each.

        An LMS that answers refusals within a success gives a `Refused` for the row. Who is missing is in doubt.
        """

    async def count_people(self, at_least: int) -> bool | None:
        """Tell whether the LMS lists more than `at_least` people; None when it lists nobody."""

    def list_people(self, updated_after: float | None) -> AsyncIterator[Sequence[Person]]:
        """Yield the people of the LMS, page by page, or only those changed since."""

    async def list_registered(self, course: Course, pages: int) -> Mapping[str, str] | None:
        """Return candidate id → registration id of a course; None when it cannot in so many `pages`."""

    async def probe(self) -> str:
        """Make one harmless call and return a sentence on what it showed."""
