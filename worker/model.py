"""The terms of the product: actions, statuses, states, candidates, courses, rows. Imports no other module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who does something, for the audit log: an account (`-` where there is no sign-in), and from where."""

    name: str
    #: The address of the caller; `cli` for a command.
    address: str = ""


class Action(StrEnum):
    """What a row asks for."""

    REGISTER = "register"
    APPROVE = "approve"
    COMPLETE = "complete"
    WITHDRAW = "withdraw"
    UPDATE = "update"
    DEACTIVATE = "deactivate"

    @property
    def is_about_person(self) -> bool:
        """Return whether the action concerns a person and needs no course."""
        return self in {Action.UPDATE, Action.DEACTIVATE}


#: The order in which a job carries out the actions of its rows: each comes after the ones that it depends on.
STAGES = (Action.UPDATE, Action.REGISTER, Action.APPROVE, Action.COMPLETE, Action.WITHDRAW, Action.DEACTIVATE)

#: Actions on an existing registration.
REGISTRATION_ACTIONS = frozenset({Action.APPROVE, Action.COMPLETE, Action.WITHDRAW})


class HiddenRows(StrEnum):
    """What to do with rows that a filter or a person hid in a spreadsheet."""

    SEND = "send"
    SKIP = "skip"


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
    #: A duplicate within the roster, or marked as inactive by the roster's own source.
    SKIPPED = "skipped"

    @property
    def is_done(self) -> bool:
        """Return whether the row is as its action asks, so that nothing is left to do for it."""
        return _ROW_STATUSES[self].is_done

    @property
    def is_open(self) -> bool:
        """Return whether the row is neither done nor skipped: it goes into `<roster>.failed.csv`."""
        return _ROW_STATUSES[self].is_open

    @property
    def needs_attention(self) -> bool:
        """Return whether a person has to correct or resolve the row."""
        return _ROW_STATUSES[self].needs_attention

    @property
    def is_retriable(self) -> bool:
        """Return whether `retry` sends the row without being asked to send rejected ones too."""
        return _ROW_STATUSES[self].is_retriable

    @property
    def is_pending(self) -> bool:
        """Return whether the row is still to be sent or looked up in a batch."""
        return _ROW_STATUSES[self].is_pending

    @property
    def may_lack_registration(self) -> bool:
        """Return whether the row's person may be in the LMS while the registration is not, or not for certain."""
        return _ROW_STATUSES[self].may_lack_registration


@dataclass(frozen=True, slots=True, kw_only=True)
class _StatusProperties:
    is_done: bool = False
    is_open: bool = False
    needs_attention: bool = False
    is_retriable: bool = False
    is_pending: bool = False
    may_lack_registration: bool = False


_DONE = _StatusProperties(is_done=True)
_PENDING = _StatusProperties(is_open=True, is_pending=True, may_lack_registration=True)
_ROW_STATUSES = {
    RowStatus.REGISTERED: _DONE,
    RowStatus.ALREADY_REGISTERED: _DONE,
    RowStatus.APPROVED: _DONE,
    RowStatus.COMPLETED: _DONE,
    RowStatus.WITHDRAWN: _DONE,
    RowStatus.UPDATED: _DONE,
    RowStatus.DEACTIVATED: _DONE,
    RowStatus.INVALID: _StatusProperties(is_open=True, needs_attention=True),
    RowStatus.REJECTED: _StatusProperties(is_open=True, needs_attention=True, may_lack_registration=True),
    RowStatus.IN_DOUBT: replace(_PENDING, needs_attention=True),
    RowStatus.NOT_ATTEMPTED: replace(_PENDING, is_retriable=True),
    RowStatus.SKIPPED: _StatusProperties(),
}
#: Sets for queries, where a property cannot be asked.
DONE = frozenset(status for status in RowStatus if status.is_done)
PENDING = tuple(status for status in RowStatus if status.is_pending)
MAY_LACK_REGISTRATION = tuple(status for status in RowStatus if status.may_lack_registration)


class RowStage(StrEnum):
    """How far a row that is not done has come."""

    #: It is still to be sent or looked up, and as far as is known its person is not in the LMS.
    WAITING = "waiting"
    #: The person is in the LMS; the registration is not, or not for certain.
    CANDIDATE_CREATED = "candidate_created"


def stage_of(status: RowStatus, action: Action, *, person_exists: bool) -> RowStage | None:
    """Return the stage of a row; None when it is done, or there is nothing of it in the LMS nor still to be sent.

    `person_exists`: the ledger knows the row's person to be in the LMS.
    """
    if action is Action.REGISTER and person_exists and status.may_lack_registration:
        return RowStage.CANDIDATE_CREATED
    return RowStage.WAITING if status.is_pending else None


#: The status of a row whose action is done, now or earlier.
STATUS_WHEN_DONE = {
    Action.REGISTER: RowStatus.REGISTERED,
    Action.APPROVE: RowStatus.APPROVED,
    Action.COMPLETE: RowStatus.COMPLETED,
    Action.WITHDRAW: RowStatus.WITHDRAWN,
    Action.UPDATE: RowStatus.UPDATED,
    Action.DEACTIVATE: RowStatus.DEACTIVATED,
}


class Verdict(StrEnum):
    """The result of comparing a row with the LMS."""

    CONFIRMED = "confirmed"
    DIFFERS = "differs"
    #: This LMS, or this account, cannot look it up.
    CANNOT_BE_VERIFIED = "cannot_be_verified"


class JobState(StrEnum):
    """The state of a job."""

    UPLOADED = "uploaded"
    VALIDATING = "validating"
    INVALID = "invalid"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    #: No call may be sent yet, as when the LMS asked for a pause; the job says why, and until when.
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
    #: All that it registered was withdrawn by a later job.
    UNDONE = "undone"

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

    @property
    def may_be_undone(self) -> bool:
        """Return whether the job becomes `undone` when all that it registered was withdrawn."""
        return _JOB_STATES[self].may_be_undone


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
    may_be_undone: bool = False


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
    JobState.HELD: _StateProperties(is_idle=True, needs_person=True, may_have_calls=True),
    JobState.CANCELLING: _StateProperties(is_moving=True, may_have_calls=True),
    JobState.CANCELLED: _StateProperties(has_ended=True, may_be_undone=True),
    JobState.SUCCEEDED: _StateProperties(has_ended=True, went_through=True, may_be_undone=True),
    JobState.COMPLETED_WITH_ERRORS: _StateProperties(has_ended=True, went_through=True, may_be_undone=True),
    JobState.FAILED: _StateProperties(has_ended=True, needs_person=True, may_be_undone=True),
    JobState.UNDONE: _StateProperties(has_ended=True),
}
#: Sets for queries, where a property cannot be asked.
ENDED = frozenset(state for state in JobState if state.has_ended)
UNREAD = tuple(state for state in JobState if state.is_unread)
PREPARING = tuple(state for state in JobState if state.is_preparing)
SENDING = tuple(state for state in JobState if state.is_sending)
WENT_THROUGH = tuple(state for state in JobState if state.went_through)


#: The reason code of a job none of whose people is on the LMS or can be created: its file must be fixed first.
NOBODY_CAN_BE_CREATED = "nobody_can_be_created"


class Relation(StrEnum):
    """How a job relates to another one; it repeats one with the same bytes and options."""

    UNDONE_BY = "undone_by"
    UNDOES = "undoes"
    FIXES = "fixes"
    FIXED_BY = "fixed_by"
    REPEATS = "repeats"


class Driver(StrEnum):
    """What executes a job."""

    #: A command, in its own process.
    PROCESS = "process"
    #: The workers behind the broker.
    QUEUE = "queue"


class Role(StrEnum):
    """What a user may do; each role includes those before it."""

    #: Reads, and downloads reports.
    VIEWER = "viewer"
    #: Uploads rosters and controls jobs.
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, needed: Role) -> bool:
        """Return whether this role may do what needs that one."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class CandidateState(StrEnum):
    """What the ledger knows of a candidate on one connection."""

    NEW = "new"
    SENDING = "sending"
    IN_DOUBT = "in_doubt"
    KNOWN = "known"
    #: Roster deactivated them; registering them again reactivates them or creates them again.
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
    """A person as the roster names them; every value is trimmed, None where the cell is empty."""

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
    #: `field:<name>` columns, sent to the LMS under exactly that name.
    fields: Mapping[str, str] = field(default_factory=dict)
    #: Identifiers by column as earlier versions of Roster read the same cells, where they read them otherwise.
    former: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What people register for, named by exactly one of three; `key` identifies it within a connection."""

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
        """Return a key that is equal for equal courses; it includes the legal entity."""
        label = self.label.casefold() if self.name is not None else self.label
        return f"{self.legal_entity_id}/{label}" if self.legal_entity_id is not None else label

    def with_id(self, course_id: str | None) -> Course:
        """Return the course with the LMS's id, when it has none of its own."""
        return replace(self, course_id=course_id) if course_id and self.course_id is None else self


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterRow:
    """A valid row of a roster: the candidate, the course, and the action."""

    #: The number that the spreadsheet shows.
    row: int
    candidate: Candidate
    #: None for actions that need no course, and where the registration is identified by its external id alone.
    course: Course | None = None
    action: Action = Action.REGISTER
    #: Tahdah: 1 or 2; their meaning is not documented, and nothing is assumed.
    behavior: int | None = None
    registration_date: date | None = None
    #: KMI: our id of the registration, when the roster has one.
    registration_external_id: str | None = None
    score: Decimal | None = None
    success: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person in the list of an LMS."""

    candidate_id: str
    external_id: str | None
    email: str | None
    login_name: str | None
    first_name: str | None = None
    last_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error of a row: a plain sentence that says how to fix it."""

    #: The heading as in the file, or the column's own name where the file has none.
    column: str | None
    #: A stable code for the report.
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRow:
    """A line of the roster as it is in the file: its number and the text of its cells."""

    row: int
    cells: tuple[str, ...]


NUMERIC_ID = "[0-9]+"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRules:
    """What a connection requires of a row; declared by its connector."""

    actions: frozenset[Action] = frozenset({Action.REGISTER})
    #: Which of `course_id`, `course_name`, `course_external_id` may identify the course.
    course_columns: frozenset[str] = frozenset({"course_id"})
    #: The LMS's own ids of people and courses: a regular expression for the whole of one.
    id_pattern: str = NUMERIC_ID
    #: Columns without which a candidate cannot be created (a row with `candidate_id` needs none of them).
    required_to_create: tuple[str, ...] = ("email", "first_name", "last_name")
    #: Columns that a candidate needs only when the LMS does not have them yet.
    required_if_new: tuple[str, ...] = ()
    #: Whether a registration needs `behavior` and a legal entity (Tahdah).
    needs_behavior: bool = False
    needs_legal_entity: bool = False
    #: Further columns that this connection does not use.
    unused_columns: frozenset[str] = frozenset()
    #: Values for empty cells, by column: the connection's own settings.
    defaults: Mapping[str, str] = field(default_factory=dict)
    #: Maximum number of rows in one call: of `register`, and of any other action.
    rows_per_call: int = 1
    rows_per_action: int = 1
    #: Whether the LMS lists its people, so that existing ones need not be created; and how many a page has.
    lists_people: bool = False
    people_per_page: int = 100
    #: Maximum number of people in one look-up, at an LMS where many are looked up at a time; 0 for another one.
    people_per_lookup: int = 0
    #: What is wrong with a value of a column, as a sentence; None when nothing is. By column and value.
    refuse: Callable[[str, str], str | None] | None = None
    #: Whether reads lag behind answered calls, registrations have ids, and `registration_external_id` finds one.
    lags: bool = True
    numbers_registrations: bool = True
    finds_by_external_id: bool = False

    def takes(self, column: str) -> bool:
        """Return whether this connection uses a column."""
        uses = {
            **{name: name in self.course_columns for name in ("course_id", "course_name", "course_external_id")},
            "behavior": self.needs_behavior,
            "legal_entity_id": self.needs_legal_entity,
            "registration_external_id": self.finds_by_external_id,
            "action": len(self.actions) > 1,
            "score": Action.COMPLETE in self.actions,
            "success": Action.COMPLETE in self.actions,
        }
        return uses.get(column, True) and column not in self.unused_columns
