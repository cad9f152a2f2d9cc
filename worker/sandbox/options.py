"""What a pretend LMS is like: accounts, courses, and the choices that the documentation leaves open.

The pages of the LMSs' documentation are abbreviated: S0, T-cand, K-reg, K-users, K-ext (docs/sandbox.md). Every
default that no page gives is an assumption and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from worker.sandbox.faults import Rule
from worker.sandbox.moodle.options import MoodleOptions
from worker.sandbox.quota import Quota


class Twice(StrEnum):
    """What registering somebody a second time does; no page says."""

    REJECT = "400"
    CONFLICT = "409"
    #: The standing registration is the answer; nothing is done.
    EXISTING = "existing"
    #: A second registration is made.
    SECOND = "second"


class EmailTaken(StrEnum):
    """What creating somebody with a known e-mail does; no page says."""

    #: A further candidate is made.
    NEW = "new"
    REJECT = "400"
    CONFLICT = "409"
    #: The id of the one who is there is the answer; nothing is done.
    EXISTING = "existing"


class Lookup(StrEnum):
    """What GET on Tahdah's registrations path does; S0 only says that some such call exists."""

    ON = "on"
    NOT_FOUND = "404"
    NOT_ALLOWED = "405"


@dataclass(frozen=True, slots=True, kw_only=True)
class CourseOptions:
    """A course of KMI, or the name of an experience of Tahdah."""

    id: int
    name: str
    #: The provider's number, `courseExternalId` (K-reg).
    external_id: str = ""
    #: An Article does not: registering for it is rejected (K-reg).
    needs_registration: bool = True
    #: Only active and published courses can be registered for (K-reg).
    published: bool = True


#: The courses of KMI: three good ones, an ambiguous name, an Article, one unpublished.
COURSES = (
    CourseOptions(id=58, name="Fire Safety", external_id="C-58"),
    CourseOptions(id=59, name="First Aid", external_id="C-59"),
    CourseOptions(id=60, name="Manual Handling", external_id="C-60"),
    CourseOptions(id=61, name="Ambiguous", external_id="C-61"),
    CourseOptions(id=62, name="Ambiguous", external_id="C-62"),
    CourseOptions(id=63, name="House Rules (Article)", external_id="C-63", needs_registration=False),
    CourseOptions(id=64, name="Coming Soon", external_id="C-64", published=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedRegistrations:
    """Registrations that exist before the first call: persons `first` to `last` of the seed users on one course."""

    course_id: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything that may be chosen of the state; frozen, so that a reset finds the same state again."""

    #: Tahdah's bearer token; `more_tokens` are further accounts with a quota of their own.
    token: str = "sandbox-token"  # noqa: S105 the sandbox's token opens nothing
    more_tokens: tuple[str, ...] = ()
    #: Tahdah: experiences by legal entity.
    legal_entities: Mapping[int, tuple[int, ...]] = field(default_factory=lambda: {42: (58, 59, 60)})
    #: Tahdah: the last segments of the path that exist, `registrations` (S0) and `learners` (S1).
    registration_paths: frozenset[str] = frozenset({"registrations", "learners"})
    #: Tahdah: whether registrations can be listed.
    lookup: Lookup = Lookup.ON
    #: Tahdah: the most candidates in one call; the true number is unknown.
    max_batch: int = 500
    #: Tahdah: the name of the id in the answer to Create Candidate, which no page gives (T-cand).
    candidate_id_field: str = "candidateId"
    #: Tahdah: a known e-mail, somebody registered twice.
    email_taken: EmailTaken = EmailTaken.NEW
    tahdah_twice: Twice = Twice.CONFLICT
    #: Tahdah: where a webhook reports each registration ("": nowhere), and the secret that it is signed with.
    webhook: str = ""
    webhook_secret: str = "wh_sandbox"  # noqa: S105 the sandbox's secret opens nothing
    #: KMI: key and secret; `more_api_keys` are further (key, secret) pairs with external ids of their own (K-ext).
    api_key: str = "sandbox-key"
    api_secret: str = "sandbox-secret"  # noqa: S105 the sandbox's secret opens nothing
    more_api_keys: tuple[tuple[str, str], ...] = ()
    courses: tuple[CourseOptions, ...] = COURSES
    #: KMI: a known e-mail, somebody registered twice, the status of an answer that says "created".
    kmi_email_taken: EmailTaken = EmailTaken.NEW
    kmi_twice: Twice = Twice.REJECT
    kmi_created_status: int = 201
    #: KMI: whether an update empties the fields that it leaves out; K-ext says only that they may be left out.
    update_empties: bool = False
    #: KMI: whether withdrawn registrations stay in the list ("active registrations in any status", K-reg).
    list_withdrawn: bool = True
    #: KMI: this many users exist before the first call: `person1@example.com`, external id `P-1`, and so on.
    seed_users: int = 0
    seed_registrations: tuple[SeedRegistrations, ...] = ()
    moodle: MoodleOptions = field(default_factory=MoodleOptions)
    #: How long every answer takes, in seconds; the work is done half way.
    latency: float = 0.0
    #: The patience (seconds) of a gateway before the LMS: then it answers 504, and the work goes on. 0: none.
    gateway: float = 0.0
    #: What is newly written appears in look-ups and lists only after this time (seconds).
    lag: float = 0.0
    quotas: tuple[Quota, ...] = ()
    rules: tuple[Rule, ...] = ()
    #: Of the dice that `p=` rules throw.
    seed: int = 1
    #: Calls kept in the journal.
    journal_length: int = 10_000
