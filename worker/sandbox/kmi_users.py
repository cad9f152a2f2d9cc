"""KMI's users operations: list, create, get, update, delete; by id and by external id (K-reg, K-users, K-ext)."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable
from http import HTTPStatus
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from worker.sandbox.choices import EmailTaken
from worker.sandbox.kmi_options import KmiOptions
from worker.sandbox.kmi_people import People, Reference, User, moment
from worker.sandbox.messages import EMPTY, Answer, Call, Person, Refused

#: Needed to update by external id (K-ext), and to create (assumed: the page does not say).
NEEDED = ("email", "firstName", "lastName", "loginName")
#: Needed to update by id: the example has no login name (K-reg).
NEEDED_BY_ID = ("email", "firstName", "lastName")
#: "Without limit at most 100 come" (K-page); that a greater one is cut to it is assumed.
PAGE = 100
#: Everybody is in this group (assumed).
GROUP = "1"

T = TypeVar("T")


def refuse(payload: Any, status: int = HTTPStatus.BAD_REQUEST) -> Refused:
    """Return a refusal; a text becomes `{"detail": …}`."""
    return Refused(Answer(status=status, payload={"detail": payload} if isinstance(payload, str) else payload))


def body_of(call: Call) -> dict[str, Any]:
    """Return the body of a call, or refuse it."""
    try:
        return call.json()
    except (msgspec.DecodeError, TypeError):
        raise refuse("JSON parse error.") from None


def page(items: Iterable[T], query: dict[str, str]) -> list[T]:
    """Return the part of a list that `offset` and `limit` ask for (K-page)."""
    offset = _number(query.get("offset"), 0)
    limit = min(_number(query.get("limit"), PAGE) or PAGE, PAGE)
    return list(islice(items, offset, offset + limit))


def person(user: User, call: Call) -> Person:
    """Return a user as rules and refusals need them."""
    return Person(name=str(user.id), email=user.email, external_id=user.external_ids.get(call.account, ""))


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() else default


def _after(query: dict[str, str], name: str) -> float | None:
    if not query.get(name):
        return None
    try:
        return moment(query[name])
    except ValueError:
        raise refuse({name: ["Datetime has wrong format."]}) from None


class Users:
    """The operations on users."""

    def __init__(self, options: KmiOptions, lag: float, people: People) -> None:
        self.options = options
        self.lag = lag
        self.people = people

    def list(self, call: Call) -> Answer:
        """List users in the order of their ids, a page at a time, as a bare array (K-page)."""
        query = dict(parse_qsl(call.query))
        users = filter(self._visible(call.at, query), self.people.users.values())
        newest = call.at - self.lag
        shown = [user.shown(call.account, newest) for user in page(users, query)]
        return Answer(status=HTTPStatus.OK, payload=shown)

    def create(self, call: Call) -> Answer:
        """Create a user. The external id is not checked (K-ext): the same body twice makes two users."""
        body = body_of(call)
        faults = self.people.faults(body, NEEDED)
        if faults:
            raise refuse(faults)
        known = self.people.by_email(body["email"])
        if known and self.options.email_taken == EmailTaken.EXISTING:
            return Answer(status=HTTPStatus.OK, payload=known[0].shown(call.account))
        if known and self.options.email_taken != EmailTaken.NEW:
            taken = {"email": ["A user with that email already exists."]}
            raise refuse(taken, int(self.options.email_taken))
        user = self.people.add(body, call.account, call.at)
        return Answer(status=self.options.created_status, payload=user.shown(call.account))

    def get(self, reference: Reference, call: Call) -> Answer:
        """Return one user."""
        newest = call.at - self.lag
        user = self._one(reference, call, newest)
        if user.created > newest:
            raise refuse("Not found.", HTTPStatus.NOT_FOUND)
        return Answer(status=HTTPStatus.OK, payload=user.shown(call.account, newest))

    def update(self, reference: Reference, call: Call) -> Answer:
        """Update one user; by external id the login name is needed too (K-ext)."""
        user, body = self._one(reference, call), body_of(call)
        faults = self.people.faults(body, NEEDED if reference.external else NEEDED_BY_ID, but=user)
        if faults:
            raise refuse(faults)
        if self.options.update_empties:
            body = dict.fromkeys(user.fields, "") | body
        self.people.change(user, body, call.account, call.at)
        return Answer(status=HTTPStatus.OK, payload=user.shown(call.account))

    def delete(self, reference: Reference, call: Call) -> Answer:
        """Mark one user as deleted (K-reg); that 204 is the answer is assumed."""
        self.people.delete(self._one(reference, call), call.at)
        return EMPTY

    def persons(self, call: Call) -> builtins.list[Person]:
        """Return the person that a body names."""
        try:
            body = call.json()
        except (msgspec.DecodeError, TypeError):
            return []
        email = str(body.get("email", ""))
        return [Person(name=email, email=email, external_id=str(body.get("externalId", "")))]

    def persons_of(self, reference: Reference, call: Call) -> builtins.list[Person]:
        """Return the user whom a path names, as far as there is one."""
        try:
            return [person(self._one(reference, call), call)]
        except Refused:
            return []

    def _one(self, reference: Reference, call: Call, newest: float | None = None) -> User:
        """Return the user whom a path names; with changes up to `newest`, when an LMS that lags is asked."""
        if reference.external:
            found = self.people.by_external_id(reference.text, call.account)
            if len(found) > 1:
                # Nothing is documented; Django fails when one is asked for and two are there.
                raise refuse("More than one user has this external id.")
        else:
            user = self.people.users.get(int(reference.text)) if reference.text.isdecimal() else None
            gone = user is not None and user.gone(call.at if newest is None else newest)
            found = [user] if user is not None and not gone else []
        if not found:
            raise refuse("Not found.", HTTPStatus.NOT_FOUND)
        return found[0]

    def _visible(self, at: float, query: dict[str, str]) -> Callable[[User], bool]:
        created, updated = _after(query, "createdAfter"), _after(query, "updatedAfter")
        newest = at - self.lag
        in_group = query.get("groupId", GROUP) == GROUP

        def visible(user: User) -> bool:
            return (
                in_group
                and not user.gone(newest)
                and user.created <= newest
                and (created is None or user.created > created)
                and (updated is None or user.updated > updated)
            )

        return visible
