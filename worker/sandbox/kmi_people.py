"""The users of the pretend KMI: kept, found, checked. Knows no HTTP path.

Documented: the fields (K-reg), that external ids are not checked for uniqueness and are kept apart per API key
(K-ext), that a deletion only marks (K-reg). Assumed: who counts as active, which fields are needed to create.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

#: The text fields of a user that every answer has (K-users), empty where nothing is known; a date too (K-ext).
BLANK = dict.fromkeys(
    (
        "address",
        "address2",
        "city",
        "country",
        "email",
        "expirationDate",
        "firstName",
        "lastName",
        "loginName",
        "state",
        "zip",
    ),
    "",
)
#: Set by the LMS, whatever a body says.
_OURS = frozenset({"id", "createdDate", "updatedDate", "externalId"})
#: Users who exist before the first call were made a year ago.
_YEAR_SECONDS = 365 * 86400.0

Faults = dict[str, list[str]]


def stamp(at: float) -> str:
    """Return a time as KMI writes it: `2024-05-24T14:58:41Z` (K-page)."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> float:
    """Read a time in ISO 8601, UTC where it names no zone; seconds since the epoch."""
    read = datetime.fromisoformat(text)
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a path names somebody or something by: the LMS's id, or ours."""

    text: str
    external: bool


@dataclass(slots=True)
class User:
    """A user; `external_ids` by API key."""

    id: int
    fields: dict[str, Any]
    external_ids: dict[str, str]
    created: float
    updated: float
    deleted: bool = False
    #: The fields and external ids before the last change: what an LMS that lags still shows.
    before: tuple[dict[str, Any], dict[str, str]] | None = None

    @property
    def email(self) -> str:
        """Return the e-mail address."""
        return str(self.fields.get("email", ""))

    def active(self, at: float) -> bool:
        """Whether the user can be registered: not deleted, not expired (assumed)."""
        expires = self.fields.get("expirationDate")
        return not self.deleted and not (expires and moment(expires) <= at)

    def gone(self, newest: float) -> bool:
        """Whether the user shows as deleted, with changes up to `newest`."""
        return self.deleted and self.updated <= newest

    def shown(self, key: str, newest: float | None = None) -> dict[str, Any]:
        """Return the user as an API key sees it (K-users), with changes up to `newest`."""
        fields, external_ids = self.fields, self.external_ids
        if newest is not None and self.updated > newest and self.before is not None:
            fields, external_ids = self.before
        return {
            **BLANK,
            **fields,
            "externalId": external_ids.get(key, ""),
            "id": self.id,
            "createdDate": stamp(self.created),
            "updatedDate": stamp(self.updated),
        }


class People:
    """All users, and who bears an e-mail, a login name or an external id."""

    def __init__(self, seed: int, key: str, now: float) -> None:
        self.users: dict[int, User] = {}
        self._by: dict[tuple[str, ...], list[User]] = {}
        for number in range(1, seed + 1):
            fields = {
                "email": f"person{number}@example.com",
                "firstName": "Person",
                "lastName": f"Number {number}",
                "loginName": f"person{number}",
            }
            self.add(fields | {"externalId": f"P-{number}"}, key, now - _YEAR_SECONDS)

    def add(self, body: dict[str, Any], key: str, at: float) -> User:
        """Add a user made under an API key."""
        user = User(1001 + len(self.users), {}, {}, at, at)
        self.users[user.id] = user
        self.change(user, body, key, at)
        return user

    def change(self, user: User, body: dict[str, Any], key: str, at: float) -> None:
        """Change a user; fields that are left out stay as they are (assumed)."""
        for place in self._places(user):
            self._by[place].remove(user)
        user.before = (dict(user.fields), dict(user.external_ids)) if user.fields else None
        user.fields |= {name: value for name, value in body.items() if name not in _OURS}
        if body.get("externalId") is not None:
            user.external_ids[key] = str(body["externalId"])
        user.updated = at
        for place in self._places(user):
            self._by.setdefault(place, []).append(user)

    def delete(self, user: User, at: float) -> None:
        """Mark a user as deleted; nothing finds it any more (assumed)."""
        for place in self._places(user):
            self._by[place].remove(user)
        user.deleted, user.updated = True, at

    def by_external_id(self, external_id: str, key: str) -> list[User]:
        """Return the users with an external id, of those made under the API key."""
        return self._by.get(("ext", key, external_id), [])

    def by_email(self, email: str) -> list[User]:
        """Return the users with an e-mail address, whatever its case."""
        return self._by.get(("email", email.strip().lower()), [])

    def faults(self, body: dict[str, Any], needed: tuple[str, ...], but: User | None = None) -> Faults:
        """Return what is wrong with a body, field by field, in the words of Django REST Framework (assumed)."""
        faults: Faults = {}
        for name in needed:
            if body.get(name) is None:
                faults[name] = ["This field is required."]
        for name, value in body.items():
            if name in BLANK and name not in faults and not isinstance(value, str):
                faults[name] = ["Not a valid string."]
            elif name in needed and not str(value).strip():
                faults[name] = ["This field may not be blank."]
        return faults or self._later_faults(body, but)

    def duplicates(self) -> int:
        """Count the persons who are there more than once: by e-mail, or by external id alone."""
        standing = [user for user in self.users.values() if not user.deleted]
        emails = Counter(user.email.lower() for user in standing)
        ids = [(user, pair) for user in standing for pair in user.external_ids.items() if pair[1]]
        external_ids = Counter(pair for _, pair in ids)
        by_id = {pair for user, pair in ids if external_ids[pair] > 1 and emails[user.email.lower()] == 1}
        return sum(count > 1 for count in emails.values()) + len(by_id)

    def _later_faults(self, body: dict[str, Any], but: User | None) -> Faults:
        faults: Faults = {}
        if "email" in body and "@" not in body["email"]:
            faults["email"] = ["Enter a valid email address."]
        if body.get("expirationDate"):
            try:
                moment(body["expirationDate"])
            except ValueError:
                faults["expirationDate"] = ["Datetime has wrong format."]
        taken = self._by.get(("login", str(body.get("loginName", "")).lower()), [])
        if any(user is not but for user in taken):
            faults["loginName"] = ["A user with that login name already exists."]
        return faults

    @staticmethod
    def _places(user: User) -> Iterator[tuple[str, ...]]:
        if user.email:
            yield "email", user.email.strip().lower()
        if user.fields.get("loginName"):
            yield "login", str(user.fields["loginName"]).lower()
        for key, external_id in user.external_ids.items():
            if external_id:
                yield "ext", key, external_id
