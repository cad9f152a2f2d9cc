"""The toy LMS, for the sandbox: people and enrolments whose ids are words."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import msgspec

from worker.sandbox.choices import EmailTaken, Twice
from worker.sandbox.messages import Answer, Call, Person, Refused, Request, Route, header
from worker.sandbox.options import Options
from worker.sandbox.systems import Connection

COURSES = {"fire-safety": "Fire Safety", "first-aid": "First Aid", "58": "Number 58", "59": "Number 59"}
_NEEDED = ("email", "first_name", "last_name")


class Operation(StrEnum):
    """What a call asks for."""

    CREATE_PERSON = "create_person"
    FIND_PERSON = "find_person"
    ENROL = "enrol"
    LIST_ENROLMENTS = "list_enrolments"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyOptions:
    """What may be chosen."""

    token: str = "sandbox-toy-token"
    email_taken: EmailTaken = EmailTaken.NEW
    twice: Twice = Twice.CONFLICT


def problem(status: int, text: str) -> Answer:
    """Return a refusal."""
    return Answer(status=status, payload={"error": text})


class Toy:
    """The people and the enrolments."""

    name = "toy"
    title = "Toy LMS"
    base = "/toy/"
    options_type = ToyOptions
    readers: ClassVar[Mapping[str, Callable[[str], Any]]] = {}
    operations = frozenset(Operation)
    faults: ClassVar[frozenset[str]] = frozenset()
    id_fields = frozenset({"person", "course"})
    problem = staticmethod(problem)

    def __init__(self, options: ToyOptions, _shared: Options, _now: float) -> None:
        self.options = options
        self.people: dict[str, dict[str, Any]] = {}
        self.enrolments: dict[str, dict[str, Any]] = {}

    def fault(self, name: str) -> Answer:
        raise NotImplementedError(name)

    def credentials(self) -> list[str]:
        return [self.options.token]

    def account(self, request: Request) -> str | Answer:
        given = header(request.headers, b"authorization")
        return self.options.token if given == f"Bearer {self.options.token}" else problem(401, "Who are you?")

    def route(self, request: Request) -> Route | Answer:
        what, _, id_ = request.path.removeprefix(self.base).partition("/")
        routes: dict[tuple[str, str, bool], tuple[Operation, Callable[[str, Call], Answer]]] = {
            ("POST", "people", False): (Operation.CREATE_PERSON, self._create),
            ("GET", "people", False): (Operation.FIND_PERSON, self._find),
            ("GET", "people", True): (Operation.FIND_PERSON, partial(self._one, self.people)),
            ("POST", "enrolments", False): (Operation.ENROL, self._enrol),
            ("GET", "enrolments", False): (Operation.LIST_ENROLMENTS, self._list),
            ("GET", "enrolments", True): (Operation.LIST_ENROLMENTS, partial(self._one, self.enrolments)),
            ("DELETE", "enrolments", True): (Operation.WITHDRAW, self._withdraw),
        }
        found = routes.get((request.method, what, bool(id_)))
        return Route(operation=found[0], handle=partial(found[1], id_)) if found else problem(404, "No such path.")

    def persons(self, call: Call) -> list[Person]:
        try:
            body = call.json()
        except (msgspec.DecodeError, TypeError):
            return []
        email = str(body.get("email", self.people.get(str(body.get("person")), {}).get("email", "")))
        return [Person(name=email, email=email, external_id=str(body.get("external_id", "")))]

    def counts(self) -> dict[str, Any]:
        return {
            "candidates": len(self.people),
            "registrations": len(self.enrolments),
            "by_course": dict(Counter(each["course"] for each in self.enrolments.values())),
            "mails_sent": 0,
        }

    def duplicates(self) -> dict[str, int]:
        people = Counter(each["email"] for each in self.people.values())
        pairs = Counter((each["person"], each["course"]) for each in self.enrolments.values())
        return {"persons": _repeated(people), "registrations": _repeated(pairs)}

    def candidate_rows(self) -> list[dict[str, Any]]:
        return [
            {"id": id_, "email": each["email"], "created": 0.0, "fields": each} for id_, each in self.people.items()
        ]

    def registration_rows(self) -> list[dict[str, Any]]:
        return [
            {
                "id": id_,
                "candidate_id": each["person"],
                "course_id": each["course"],
                "email": self.people[each["person"]]["email"],
                "created": 0.0,
            }
            for id_, each in self.enrolments.items()
        ]

    def course_names(self) -> dict[str, str]:
        return COURSES

    def connection(self, url: str) -> Connection:
        values = {"base_url": f"{url}/toy", "token": self.options.token}
        return Connection(name="toy", values=values, secrets=frozenset({"token"}))

    def _create(self, _id: str, call: Call) -> Answer:
        body = _body(call)
        if not all(isinstance(body.get(name), str) and body[name] for name in _NEEDED):
            raise Refused(problem(400, f"{', '.join(_NEEDED)} are needed."))
        known = [id_ for id_, each in self.people.items() if each["email"].lower() == body["email"].lower()]
        if known and self.options.email_taken is not EmailTaken.NEW:
            raise Refused(problem(int(self.options.email_taken), "There already is somebody with this address."))
        name = re.sub("[^a-z0-9]+", "-", f"{body['first_name']} {body['last_name']}".lower()).strip("-")
        id_ = f"{name}-{len(self.people) + 1}"
        self.people[id_] = body
        return Answer(status=200, payload={"id": id_, **body})

    def _find(self, _id: str, call: Call) -> Answer:
        wanted = dict(parse_qsl(call.query))
        found = [
            {"id": id_, **each}
            for id_, each in self.people.items()
            if all(each.get(key) == value for key, value in wanted.items())
        ]
        return Answer(status=200, payload=found)

    @staticmethod
    def _one(among: dict[str, dict[str, Any]], id_: str, _call: Call) -> Answer:
        if id_ not in among:
            raise Refused(problem(404, "There is none."))
        return Answer(status=200, payload={"id": id_, **among[id_]})

    def _enrol(self, _id: str, call: Call) -> Answer:
        body = _body(call)
        person, course = body.get("person"), body.get("course")
        if person not in self.people or course not in COURSES:
            raise Refused(problem(400, "There is no such person or course."))
        if any((each["person"], each["course"]) == (person, course) for each in self.enrolments.values()):
            raise Refused(problem(int(self.options.twice), "This person already is on this course."))
        id_ = str(uuid.uuid4())
        self.enrolments[id_] = {"person": person, "course": course}
        return Answer(status=200, payload={"id": id_, **self.enrolments[id_]})

    def _list(self, _id: str, call: Call) -> Answer:
        wanted = dict(parse_qsl(call.query))
        return Answer(
            status=200,
            payload=[
                {"id": id_, **each}
                for id_, each in self.enrolments.items()
                if each["person"] == wanted.get("person")
            ],
        )

    def _withdraw(self, id_: str, _call: Call) -> Answer:
        if self.enrolments.pop(id_, None) is None:
            raise Refused(problem(404, "There is none."))
        return Answer(status=200, payload={"deleted": id_})


def _body(call: Call) -> dict[str, Any]:
    try:
        return call.json()
    except (msgspec.DecodeError, TypeError):
        raise Refused(problem(400, "The body must be a JSON object.")) from None


def _repeated(counts: Counter[Any]) -> int:
    return sum(count > 1 for count in counts.values())
