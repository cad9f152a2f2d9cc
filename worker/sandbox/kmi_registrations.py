"""KMI's registrations: list, create, get, approve, complete, withdraw; by id and by external id (K-reg).

Assumed: the words of refusals, which steps are allowed from which status, what registering twice does.
"""

from __future__ import annotations

import builtins
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from worker.sandbox.choices import Twice
from worker.sandbox.kmi_options import CourseOptions, KmiOptions
from worker.sandbox.kmi_people import People, Reference, User, stamp
from worker.sandbox.kmi_users import body_of, page, person, refuse
from worker.sandbox.messages import EMPTY, Answer, Call, Person, Refused


class Status(StrEnum):
    """The statuses of a registration (K-reg)."""

    NOT_STARTED = "Not Started"
    APPROVED = "Approved"
    COMPLETED = "Completed"
    WITHDRAWN = "Withdrawn"


@dataclass(slots=True)
class Registration:
    """One user on one course; `external_id` is the client's."""

    id: int
    course: CourseOptions
    user: User
    external_id: str
    created: float
    status: Status = Status.NOT_STARTED
    completed: float | None = None
    score: float | None = None
    success: bool | None = None
    #: When it last took a step, and how it stood before: what an LMS that lags still shows.
    stepped: float = 0.0
    before: tuple[Status, float | None, float | None] = (Status.NOT_STARTED, None, None)

    def step(self, status: Status, at: float) -> None:
        """Take a step to another status."""
        self.before, self.stepped = (self.status, self.completed, self.score), at
        self.status = status

    def withdrawn(self, newest: float) -> bool:
        """Whether it shows as withdrawn, with steps up to `newest`."""
        status = self.before[0] if self.stepped > newest else self.status
        return status is Status.WITHDRAWN

    def shown(self, key: str, newest: float | None = None) -> dict[str, Any]:
        """Return it as the page has it, with steps up to `newest`: the user's id is a float (K-reg)."""
        status, completed, score = self.status, self.completed, self.score
        if newest is not None and self.stepped > newest:
            status, completed, score = self.before
        return {
            "id": self.id,
            "courseId": self.course.id,
            "courseName": self.course.name,
            "createdDate": stamp(self.created),
            "registrationDate": stamp(self.created),
            "completionDate": "" if completed is None else stamp(completed),
            "statusName": status,
            "externalId": self.external_id,
            "userExternalId": self.user.external_ids.get(key, ""),
            "userId": float(self.user.id),
            "score": score,
        }


class Registrations:
    """The registrations, and the operations on them."""

    def __init__(self, options: KmiOptions, lag: float, people: People, now: float) -> None:
        self.options = options
        self.lag = lag
        self.people = people
        self.all: dict[int, Registration] = {}
        self.mails_sent = 0
        self._by_external_id: dict[str, list[Registration]] = {}
        self._by_pair: dict[tuple[int, int], list[Registration]] = {}
        courses = {course.id: course for course in options.courses}
        users = list(people.users.values())
        for seed in options.registered:
            for user in users[seed.first - 1 : seed.last]:
                self._add(courses[seed.course_id], user, "", now - 86400)

    def list(self, call: Call) -> Answer:
        """List registrations, of one course or one user only when asked to (K-reg)."""
        query = dict(parse_qsl(call.query))
        course_id, user_id = _filter(query, "course_id"), _filter(query, "user_id")
        newest, withdrawn = call.at - self.lag, self.options.list_withdrawn
        if course_id is not None and user_id is not None:
            some = self._by_pair.get((course_id, user_id), [])
        else:
            some = [
                each
                for each in self.all.values()
                if course_id in {None, each.course.id} and user_id in {None, each.user.id}
            ]
        seen = (each for each in some if each.created <= newest and (withdrawn or not each.withdrawn(newest)))
        return Answer(
            status=HTTPStatus.OK, payload=[each.shown(call.account, newest) for each in page(seen, query)]
        )

    def create(self, call: Call) -> Answer:
        """Register exactly one user for exactly one course, and send the mail (K-reg)."""
        body = body_of(call)
        course, user = self._course(body), self._user(body, call.account)
        if not course.published:
            raise refuse("The course is not active or not published.")
        if not course.needs_registration:
            raise refuse("The course does not require registration.")
        if not user.active(call.at):
            raise refuse("The user is not active.")
        pair = self._by_pair.get((course.id, user.id), [])
        standing = [each for each in pair if each.status is not Status.WITHDRAWN]
        if standing and self.options.twice == Twice.EXISTING:
            return Answer(status=HTTPStatus.OK, payload=standing[0].shown(call.account))
        if standing and self.options.twice != Twice.SECOND:
            raise refuse("The user is already registered for this course.", int(self.options.twice))
        made = self._add(course, user, str(body.get("externalId") or ""), call.at)
        self.mails_sent += 1
        return Answer(status=self.options.created_status, payload=made.shown(call.account))

    def get(self, reference: Reference, call: Call) -> Answer:
        """Return one registration."""
        found, newest = self._one(reference), call.at - self.lag
        if found.created > newest:
            raise refuse("Not registered for this course.", HTTPStatus.NOT_FOUND)
        return Answer(status=HTTPStatus.OK, payload=found.shown(call.account, newest))

    def approve(self, reference: Reference, call: Call) -> Answer:
        """Approve one registration; again when it is approved already, with no effect (assumed)."""
        found = self._step(reference, {Status.NOT_STARTED, Status.APPROVED}, "approved")
        found.step(Status.APPROVED, call.at)
        return Answer(status=HTTPStatus.OK, payload=found.shown(call.account))

    def complete(self, reference: Reference, call: Call) -> Answer:
        """Complete one registration; `success` is a text in the example (K-reg)."""
        steps = {Status.NOT_STARTED, Status.APPROVED, Status.COMPLETED}
        found = self._step(reference, steps, "completed")
        body = body_of(call) if call.body else {}
        score, success = body.get("score"), body.get("success")
        if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
            raise refuse({"score": ["A valid number is required."]})
        if success not in (None, "true", "false"):  # a body may hold a list
            raise refuse({"success": ['Must be "true" or "false".']})
        found.step(Status.COMPLETED, call.at)
        found.completed = call.at
        found.score = found.score if score is None else float(score)
        found.success = found.success if success is None else success == "true"
        return Answer(status=HTTPStatus.OK, payload=found.shown(call.account))

    def withdraw(self, reference: Reference, call: Call) -> Answer:
        """Withdraw one registration; the page shows no body, so 204 (assumed)."""
        self._one(reference).step(Status.WITHDRAWN, call.at)
        return EMPTY

    def persons(self, call: Call) -> builtins.list[Person]:
        """Return the user whom a body names, as far as there is one."""
        try:
            user = self._user(body_of(call), call.account)
        except Refused:
            return []
        return [person(user, call)]

    def persons_of(self, reference: Reference, call: Call) -> builtins.list[Person]:
        """Return the user of a registration, as far as there is one."""
        try:
            return [person(self._one(reference).user, call)]
        except Refused:
            return []

    def duplicates(self) -> int:
        """Count the (person, course) pairs with more than one standing registration; e-mail tells persons apart."""
        standing = (each for each in self.all.values() if each.status is not Status.WITHDRAWN)
        pairs = Counter((each.user.email.lower(), each.course.id) for each in standing)
        return sum(count > 1 for count in pairs.values())

    def _add(self, course: CourseOptions, user: User, external_id: str, at: float) -> Registration:
        made = Registration(100_500 + len(self.all), course, user, external_id, at)
        self.all[made.id] = made
        self._by_pair.setdefault((course.id, user.id), []).append(made)
        if external_id:
            self._by_external_id.setdefault(external_id, []).append(made)
        return made

    def _course(self, body: dict[str, Any]) -> CourseOptions:
        """Find the one course, by the first key that is given: id, name, external id (K-reg)."""
        courses = self.options.courses
        if body.get("courseId") is not None:
            wanted = _whole(body["courseId"], "courseId")
            found = [each for each in courses if each.id == wanted]
        elif body.get("courseName"):
            found = [each for each in courses if each.name == body["courseName"]]
        elif body.get("courseExternalId"):
            found = [each for each in courses if each.external_id == str(body["courseExternalId"])]
        else:
            raise refuse("One of courseId, courseName, courseExternalId is required.")
        if len(found) != 1:
            raise refuse("More than one course was found." if found else "No course was found.")
        return found[0]

    def _user(self, body: dict[str, Any], key: str) -> User:
        """Find the one user, by the first key that is given: id, external id, e-mail."""
        if body.get("userId") is not None:
            user = self.people.users.get(_whole(body["userId"], "userId"))
            found = [user] if user is not None else []
        elif body.get("userExternalId"):
            found = self.people.by_external_id(str(body["userExternalId"]), key)
        elif body.get("userEmail"):
            found = self.people.by_email(str(body["userEmail"]))
        else:
            raise refuse("One of userId, userExternalId, userEmail is required.")
        if len(found) != 1:
            raise refuse("More than one user was found." if found else "No user was found.")
        return found[0]

    def _one(self, reference: Reference) -> Registration:
        if reference.external:
            found = self._by_external_id.get(reference.text, [])
        else:
            one = self.all.get(int(reference.text)) if reference.text.isdecimal() else None
            found = [one] if one is not None else []
        if not found:
            raise refuse("Not registered for this course.", HTTPStatus.NOT_FOUND)
        if len(found) > 1:
            raise refuse("More than one registration has this external id.")
        return found[0]

    def _step(self, reference: Reference, steps: set[Status], to: str) -> Registration:
        found = self._one(reference)
        if found.status not in steps:
            raise refuse(f"A registration that is {found.status} cannot be {to}.")
        return found


def _whole(value: Any, name: str) -> int:
    """Read an id: an integer, or the digits of one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    raise refuse({name: ["A valid integer is required."]})


def _filter(query: dict[str, str], name: str) -> int | None:
    return _whole(query[name], name) if query.get(name) else None
