"""The words of the trade and their states. Knows nothing but itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum


class Action(StrEnum):
    """What a row asks for."""

    REGISTER = "register"
    APPROVE = "approve"
    COMPLETE = "complete"
    WITHDRAW = "withdraw"
    UPDATE = "update"
    DEACTIVATE = "deactivate"

    @property
    def is_about_a_person(self) -> bool:
        """Tell whether it needs no course."""
        return self in {Action.UPDATE, Action.DEACTIVATE}


#: In which order a job does what its rows ask for: what one needs comes before it, what ends it comes last.
STAGES = (
    Action.UPDATE,
    Action.REGISTER,
    Action.APPROVE,
    Action.COMPLETE,
    Action.WITHDRAW,
    Action.DEACTIVATE,
)

#: What is done to a registration that is there.
STEPS = frozenset({Action.APPROVE, Action.COMPLETE, Action.WITHDRAW})


class RowStatus(StrEnum):
    """The outcome of a row, as reports name it."""

    REGISTERED = "registered"
    ALREADY_REGISTERED = "already_registered"
    APPROVED = "approved"
    COMPLETED = "completed"
    WITHDRAWN = "withdrawn"
    UPDATED = "updated"
    DEACTIVATED = "deactivated"
    #: Roster rejected it before anything was sent.
    INVALID = "invalid"
    #: The LMS rejected it.
    REJECTED = "rejected"
    #: A call for it was sent, and it is not known whether it had its effect.
    IN_DOUBT = "in_doubt"
    NOT_ATTEMPTED = "not_attempted"
    #: A duplicate within the roster.
    SKIPPED = "skipped"

    @property
    def is_done(self) -> bool:
        """Return whether the row is as its action asks, so that nothing is left to do for it."""
        return _ROW_STATUSES[self].is_done

    @property
    def is_open(self) -> bool:
        """Return whether the row is neither done nor a duplicate: it goes into `<roster>.failed.csv`."""
        return _ROW_STATUSES[self].is_open

    @property
    def needs_attention(self) -> bool:
        """Return whether a person has to correct or resolve the row."""
        return _ROW_STATUSES[self].needs_attention

    @property
    def is_retriable(self) -> bool:
        """Return whether `retry` may send the row."""
        return _ROW_STATUSES[self].is_retriable

    @property
    def is_pending(self) -> bool:
        """Return whether a batch takes the row: its outcome is still to be found."""
        return _ROW_STATUSES[self].is_pending


@dataclass(frozen=True, slots=True, kw_only=True)
class _StatusProperties:
    is_done: bool = False
    is_open: bool = False
    needs_attention: bool = False
    is_retriable: bool = False
    is_pending: bool = False


_DONE = _StatusProperties(is_done=True)
_ROW_STATUSES = {
    RowStatus.REGISTERED: _DONE,
    RowStatus.ALREADY_REGISTERED: _DONE,
    RowStatus.APPROVED: _DONE,
    RowStatus.COMPLETED: _DONE,
    RowStatus.WITHDRAWN: _DONE,
    RowStatus.UPDATED: _DONE,
    RowStatus.DEACTIVATED: _DONE,
    RowStatus.INVALID: _StatusProperties(is_open=True, needs_attention=True),
    RowStatus.REJECTED: _StatusProperties(is_open=True, needs_attention=True, is_retriable=True),
    RowStatus.IN_DOUBT: _StatusProperties(is_open=True, needs_attention=True, is_pending=True),
    RowStatus.NOT_ATTEMPTED: _StatusProperties(is_open=True, is_retriable=True, is_pending=True),
    RowStatus.SKIPPED: _StatusProperties(),
}
#: Sets for queries, where a property cannot be asked.
DONE = frozenset(status for status in RowStatus if status.is_done)
PENDING = tuple(status for status in RowStatus if status.is_pending)


#: What a row reads when what it asked for is so, done now or before.
DONE_AS = {
    Action.REGISTER: RowStatus.REGISTERED,
    Action.APPROVE: RowStatus.APPROVED,
    Action.COMPLETE: RowStatus.COMPLETED,
    Action.WITHDRAW: RowStatus.WITHDRAWN,
    Action.UPDATE: RowStatus.UPDATED,
    Action.DEACTIVATE: RowStatus.DEACTIVATED,
}


class Verdict(StrEnum):
    """What reading a row back at the LMS showed."""

    CONFIRMED = "confirmed"
    DIFFERS = "differs"
    #: This LMS, or this account, cannot be asked for it.
    CANNOT_BE_VERIFIED = "cannot_be_verified"


class JobState(StrEnum):
    """The state of a job."""

    UPLOADED = "uploaded"
    VALIDATING = "validating"
    INVALID = "invalid"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    #: The LMS asked for a pause; the job says until when.
    WAITING = "waiting"
    #: A person paused it.
    PAUSED = "paused"
    #: The breaker opened; a person must resume it.
    HELD = "held"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    #: Every row is done.
    SUCCEEDED = "succeeded"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    FAILED = "failed"

    @property
    def has_ended(self) -> bool:
        """Return whether nothing more happens to the job; `retry` or `resolve` may open it again."""
        return _JOB_STATES[self].has_ended

    @property
    def is_moving(self) -> bool:
        """Return whether the state changes without a person: the job has not ended, and is not paused or held."""
        return _JOB_STATES[self].is_moving

    @property
    def is_idle(self) -> bool:
        """Return whether the job has not ended and no process works on it until it is resumed or its time comes."""
        return _JOB_STATES[self].is_idle

    @property
    def is_unread(self) -> bool:
        """Return whether the roster is still to be read."""
        return _JOB_STATES[self].is_unread

    @property
    def is_preparing(self) -> bool:
        """Return whether the roster is still to be read, its people found and its rows planned."""
        return _JOB_STATES[self].is_preparing

    @property
    def is_sending(self) -> bool:
        """Return whether rows are being sent; from these states a worker may change the job's state."""
        return _JOB_STATES[self].is_sending

    @property
    def may_have_calls(self) -> bool:
        """Return whether calls may be in flight."""
        return _JOB_STATES[self].may_have_calls

    @property
    def went_through(self) -> bool:
        """Return whether the job sent all that it could; some rows may have failed."""
        return _JOB_STATES[self].went_through

    @property
    def needs_person(self) -> bool:
        """Return whether nothing more happens unless a person corrects something."""
        return _JOB_STATES[self].needs_person


@dataclass(frozen=True, slots=True, kw_only=True)
class _StateProperties:
    has_ended: bool = False
    is_moving: bool = False
    is_idle: bool = False
    is_unread: bool = False
    is_preparing: bool = False
    is_sending: bool = False
    may_have_calls: bool = False
    went_through: bool = False
    needs_person: bool = False


_UNREAD = _StateProperties(is_moving=True, is_unread=True, is_preparing=True)
_SENDING = _StateProperties(is_moving=True, is_sending=True, may_have_calls=True)
_JOB_STATES = {
    JobState.UPLOADED: _UNREAD,
    JobState.VALIDATING: _UNREAD,
    JobState.INVALID: _StateProperties(has_ended=True, needs_person=True),
    JobState.SCHEDULED: _StateProperties(is_moving=True, is_idle=True),
    JobState.QUEUED: _StateProperties(is_moving=True, is_preparing=True),
    JobState.RUNNING: _SENDING,
    JobState.WAITING: _SENDING,
    JobState.PAUSED: _StateProperties(is_idle=True, may_have_calls=True),
    JobState.HELD: _StateProperties(is_idle=True, needs_person=True),
    JobState.CANCELLING: _StateProperties(is_moving=True, may_have_calls=True),
    JobState.CANCELLED: _StateProperties(has_ended=True),
    JobState.SUCCEEDED: _StateProperties(has_ended=True, went_through=True),
    JobState.COMPLETED_WITH_ERRORS: _StateProperties(has_ended=True, went_through=True),
    JobState.FAILED: _StateProperties(has_ended=True, needs_person=True),
}
#: Sets for queries, where a property cannot be asked.
ENDED = frozenset(state for state in JobState if state.has_ended)
UNREAD = tuple(state for state in JobState if state.is_unread)
TO_READ = tuple(state for state in JobState if state.is_preparing)
AT_WORK = tuple(state for state in JobState if state.is_sending)
WENT_THROUGH = tuple(state for state in JobState if state.went_through)


class Driver(StrEnum):
    """Who works a job off."""

    #: A command, in its own process.
    PROCESS = "process"
    #: The workers behind the broker.
    QUEUE = "queue"


class Role(StrEnum):
    """What somebody who signs in may do; each may do what those before it may."""

    #: Looks, and downloads reports.
    VIEWER = "viewer"
    #: Drops rosters and steers jobs.
    OPERATOR = "operator"
    ADMIN = "admin"

    def may(self, needed: Role) -> bool:
        """Tell whether this role may do what needs that one."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class CandidateState(StrEnum):
    """What the ledger knows of a candidate on one connection."""

    NEW = "new"
    SENDING = "sending"
    IN_DOUBT = "in_doubt"
    KNOWN = "known"
    #: We deactivated them; whoever registers them again finds them reactivated, or creates them anew.
    DEACTIVATED = "deactivated"


class RegistrationState(StrEnum):
    """What the ledger knows of a registration on one connection."""

    NEW = "new"
    SENDING = "sending"
    IN_DOUBT = "in_doubt"
    REGISTERED = "registered"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A person as the roster names them; every value trimmed, None where the roster says nothing."""

    #: The LMS's own id: such a candidate is never created.
    candidate_id: str | None = None
    external_id: str | None = None
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    login_name: str | None = None
    date_of_birth: date | None = None
    address: str | None = None
    address2: str | None = None
    city: str | None = None
    state: str | None = None
    zip: str | None = None
    country: str | None = None
    expiration_date: date | None = None
    #: `field:<name>` columns: they go to the LMS under that very name.
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What one registers for, named by exactly one of three; `key` tells courses apart within a connection."""

    course_id: str | None = None
    name: str | None = None
    external_id: str | None = None
    #: Tahdah: the legal entity that registers.
    legal_entity_id: str | None = None

    @property
    def label(self) -> str:
        """Return the course as a person would name it: `58`, `name:Fire Safety` or `ext:C-58`."""
        if self.course_id is not None:
            return self.course_id
        return f"name:{self.name}" if self.name is not None else f"ext:{self.external_id}"

    @property
    def key(self) -> str:
        """Return what is the same for the same course, the legal entity included."""
        label = self.label.casefold() if self.name is not None else self.label
        return f"{self.legal_entity_id}/{label}" if self.legal_entity_id is not None else label

    def with_id(self, course_id: str | None) -> Course:
        """Return the course with the LMS's id, when it has none of its own."""
        return replace(self, course_id=course_id) if course_id and self.course_id is None else self


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterRow:
    """One valid row of a roster: who, what for, and how."""

    #: The number that the spreadsheet shows.
    row: int
    candidate: Candidate
    #: None for the actions that need no course, and where the registration is named by its external id alone.
    course: Course | None = None
    action: Action = Action.REGISTER
    #: Tahdah: 1 or 2; nothing is assumed about what they mean.
    behavior: int | None = None
    registration_date: date | None = None
    #: KMI: our id for the registration, when the roster gives one.
    registration_external_id: str | None = None
    score: Decimal | None = None
    success: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody whom the LMS lists."""

    candidate_id: str
    external_id: str | None
    email: str | None
    login_name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a row: a plain sentence with the remedy in it."""

    #: The heading as it stands in the file, or our column's name where the file has none.
    column: str | None
    #: A stable code for the report.
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRow:
    """One line of the roster as it stood: its number and the text of its cells."""

    row: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRules:
    """What a connection asks of a row; declared by its connector."""

    actions: frozenset[Action] = frozenset({Action.REGISTER})
    #: Which of `course_id`, `course_name`, `course_external_id` may name the course.
    course_columns: frozenset[str] = frozenset({"course_id"})
    #: Columns without which a candidate cannot be created (a row with `candidate_id` needs none of them).
    to_create: tuple[str, ...] = ("email", "first_name", "last_name")
    #: Whether a registration needs `behavior` and a legal entity (Tahdah).
    needs_behavior: bool = False
    needs_legal_entity: bool = False
    #: Values for the rows that leave a column empty: the connection's own settings.
    defaults: Mapping[str, str] = field(default_factory=dict)
    #: How many rows one registering call takes, and one call of another action.
    rows_per_call: int = 1
    rows_per_deed: int = 1
    #: Whether the LMS lists its people, so that who is there already need not be created.
    lists_people: bool = False
    #: Whether `registration_external_id` alone may name a registration that is to take a step.
    finds_by_external_id: bool = False
