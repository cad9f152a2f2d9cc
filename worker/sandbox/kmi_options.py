"""What the pretend KMI is like: its keys, its courses, and the choices that the documentation leaves open.

The pages of the documentation are abbreviated: K-reg, K-users, K-ext (docs/sandbox.md). Every default that no page
gives is an assumption and says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.sandbox.choices import EmailTaken, SeedRegistrations, Twice


@dataclass(frozen=True, slots=True, kw_only=True)
class CourseOptions:
    """A course."""

    id: int
    name: str
    #: The provider's number, `courseExternalId` (K-reg).
    external_id: str = ""
    #: An Article does not: registering for it is rejected (K-reg).
    needs_registration: bool = True
    #: Only active and published courses can be registered for (K-reg).
    published: bool = True


#: Three good ones, an ambiguous name, an Article, one unpublished.
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
class KmiOptions:
    """Everything that may be chosen; frozen, so that a reset finds the same state again."""

    #: Key and secret; `more_api_keys` are further (key, secret) pairs with external ids of their own (K-ext).
    api_key: str = "sandbox-key"
    api_secret: str = "sandbox-secret"  # noqa: S105 the sandbox's secret opens nothing
    more_api_keys: tuple[tuple[str, str], ...] = ()
    courses: tuple[CourseOptions, ...] = COURSES
    #: A known e-mail, somebody registered twice, the status of an answer that says "created".
    email_taken: EmailTaken = EmailTaken.NEW
    twice: Twice = Twice.REJECT
    created_status: int = 201
    #: Whether an update empties the fields that it leaves out; K-ext says only that they may be left out.
    update_empties: bool = False
    #: Whether withdrawn registrations stay in the list ("active registrations in any status", K-reg).
    list_withdrawn: bool = True
    #: This many users exist before the first call: `person1@example.com`, external id `P-1`, and so on.
    seed_users: int = 0
    #: Who of them is registered before the first call.
    registered: tuple[SeedRegistrations, ...] = ()
