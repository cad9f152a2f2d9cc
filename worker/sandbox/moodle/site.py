"""What the pretend Moodle holds: people, courses, enrolments, roles. Knows neither requests nor permissions."""

from __future__ import annotations

import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from worker.sandbox.moodle.options import Database, MoodleOptions

GUEST, ADMIN, SERVICE, FIRST = 1, 2, 3, 4
SITE_COURSE = 1
MANUAL = "manual"
METHODS = (MANUAL, "self", "cohort")


@dataclass(slots=True)
class Account:
    """Somebody; `fields` are the further ones, such as city."""

    id: int
    username: str
    firstname: str
    lastname: str
    email: str
    idnumber: str = ""
    auth: str = MANUAL
    suspended: bool = False
    deleted: bool = False
    created: float = 0.0
    fields: dict[str, Any] = field(default_factory=dict)
    #: Custom profile fields by short name.
    profile: dict[str, str] = field(default_factory=dict)
    preferences: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Enrolment:
    """Somebody on a course by one method; times in seconds since the epoch, 0 for none."""

    id: int
    course_id: int
    user_id: int
    method: str = MANUAL
    suspended: bool = False
    timestart: int = 0
    timeend: int = 0
    created: float = 0.0

    def active(self, at: float) -> bool:
        """Whether it lets them in at this moment."""
        return not self.suspended and self.timestart <= at and (not self.timeend or self.timeend > at)


class Site:
    """The tables of the site, and the indexes that its database has."""

    def __init__(self, options: MoodleOptions, now: float) -> None:
        self.options = options
        self.exact = options.database is Database.POSTGRESQL
        self.accounts: dict[int, Account] = {}
        self.courses = {course.id: course for course in options.courses}
        #: By course, then by person and method.
        self.enrolments: dict[int, dict[tuple[int, str], Enrolment]] = {id_: {} for id_ in self.courses}
        #: Role ids by course and user.
        self.roles: dict[tuple[int, int], set[int]] = {}
        #: Who was sent a password, in order; those among them whose account was never made.
        self.mailed: list[str] = []
        self._usernames: dict[str, int] = {}
        self._addresses: defaultdict[str, set[int]] = defaultdict(set)
        self._last_account = FIRST - 1
        self._last_enrolment = 0
        for id_, name in ((GUEST, "guest"), (ADMIN, "admin"), (SERVICE, "provsvc")):
            self.add(Account(id_, name, name.title(), "Account", f"{name}@moodle.example", created=now))

    # People

    def next_account_id(self) -> int:
        """Use up an id; one that a transaction does not keep is gone all the same."""
        self._last_account += 1
        return self._last_account

    def add(self, account: Account) -> None:
        """Add an account; the username must be free."""
        self.accounts[account.id] = account
        self._usernames[account.username] = account.id
        self._addresses[account.email.lower()].add(account.id)

    def rename(self, account: Account, username: str) -> None:
        """Give an account another username."""
        del self._usernames[account.username]
        account.username = username
        self._usernames[username] = account.id

    def readdress(self, account: Account, email: str) -> None:
        """Give an account another e-mail address."""
        self._addresses[account.email.lower()].discard(account.id)
        account.email = email
        self._addresses[email.lower()].add(account.id)

    def by_username(self, username: str) -> Account | None:
        """Return the account of a username: the only index on people that is unique."""
        return self.accounts.get(self._usernames.get(username, 0))

    def by_email(self, email: str) -> list[Account]:
        """Return those with this address, in any letter case."""
        return [self.accounts[id_] for id_ in sorted(self._addresses.get(email.lower(), ()))]

    def standing(self) -> list[Account]:
        """Return everybody who is not deleted."""
        return self.ordered(each for each in self.accounts.values() if not each.deleted)

    @staticmethod
    def ordered(people: Iterable[Account]) -> list[Account]:
        """Return people in the database's order, which is no request's."""
        return sorted(people, key=lambda each: zlib.crc32(each.username.encode()))

    def collated(self, text: str) -> str:
        """Return what the database compares of a text."""
        return text if self.exact else _folded(text)

    def same(self, left: str, right: str) -> bool:
        """Compare two texts as the database does."""
        return self.collated(left) == self.collated(right)

    def delete(self, account: Account, at: float) -> None:
        """Delete an account as Moodle does: username and address are rewritten, enrolments go."""
        self.rename(account, f"{account.email}.{int(at)}")
        self.readdress(account, f"{account.id:032x}")
        account.idnumber, account.deleted = "", True
        for course_id, enrolments in self.enrolments.items():
            for key in [key for key in enrolments if key[0] == account.id]:
                del enrolments[key]
            self.roles.pop((course_id, account.id), None)

    # Enrolments

    def enrol(self, course_id: int, user_id: int, method: str = MANUAL, **values: Any) -> Enrolment:
        """Enrol somebody; a standing enrolment of the same method gets these values and no others."""
        of_course = self.enrolments[course_id]
        standing = of_course.get((user_id, method))
        if standing is None:
            self._last_enrolment += 1
            standing = of_course[user_id, method] = Enrolment(self._last_enrolment, course_id, user_id, method)
        standing.suspended = bool(values.get("suspended", False))
        standing.timestart, standing.timeend = int(values.get("timestart", 0)), int(values.get("timeend", 0))
        standing.created = standing.created or values.get("at", 0.0)
        if values.get("role_id"):
            self.roles.setdefault((course_id, user_id), set()).add(values["role_id"])
        return standing

    def unenrol(self, course_id: int, user_id: int) -> None:
        """Take somebody's manual enrolment away; with the last enrolment go the roles."""
        self.enrolments[course_id].pop((user_id, MANUAL), None)
        if not self.enrolments_of(course_id, user_id):
            self.roles.pop((course_id, user_id), None)

    def enrolments_of(self, course_id: int, user_id: int) -> list[Enrolment]:
        """Return somebody's enrolments on a course, one a method."""
        found = (self.enrolments[course_id].get((user_id, method)) for method in METHODS)
        return [each for each in found if each is not None]

    def on_course(self, course_id: int) -> dict[int, list[Enrolment]]:
        """Return the enrolments of a course by person."""
        found: dict[int, list[Enrolment]] = {}
        for (user_id, _), enrolment in self.enrolments[course_id].items():
            found.setdefault(user_id, []).append(enrolment)
        return found


def seed_people(site: Site, now: float) -> None:
    """Add the people and enrolments that are there before the first call."""
    for number in range(1, site.options.seed_users + 1):
        name = f"person{number}"
        site.add(
            Account(
                site.next_account_id(),
                name,
                "Person",
                f"Number {number}",
                f"{name}@example.com",
                idnumber=f"P-{number}",
                created=now,
            )
        )
    for seed in site.options.registered:
        for user_id in range(FIRST + seed.first - 1, FIRST + seed.last):
            site.enrol(seed.course_id, user_id, role_id=5, at=now)


def _folded(text: str) -> str:
    """Return what utf8mb4_unicode_ci compares: neither case nor accents nor blanks at the end count."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(each for each in plain if not unicodedata.combining(each)).rstrip()
