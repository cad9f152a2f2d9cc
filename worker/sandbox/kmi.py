"""KMI LMS v2 as its documentation has it: the paths, the keys, and what they lead to. Knows no quota, no fault.

Documented: paths with their closing slash, headers (K-auth), paging (K-page), errors as `{"detail": …}` (K-reg).
Assumed: the numbers of the statuses, the redirect of a path without its slash (Django does so).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import unquote

from worker.sandbox.choices import seed_registrations
from worker.sandbox.kmi_options import KmiOptions
from worker.sandbox.kmi_people import People, Reference
from worker.sandbox.kmi_registrations import Registrations, Status
from worker.sandbox.kmi_users import Users
from worker.sandbox.messages import Answer, Call, Person, Request, Route, header
from worker.sandbox.options import Options
from worker.sandbox.systems import Connection

BASE = "/api/v2/"


class Operation(StrEnum):
    """What a call asks for."""

    LIST_USERS = "list_users"
    CREATE_USER = "create_user"
    FIND_USER = "find_user"
    UPDATE_USER = "update_user"
    DELETE_USER = "delete_user"
    LIST_REGISTRATIONS = "list_registrations"
    CREATE_REGISTRATION = "create_registration"
    FIND_REGISTRATION = "find_registration"
    APPROVE = "approve"
    COMPLETE = "complete"
    WITHDRAW = "withdraw"


def problem(status: int, text: str) -> Answer:
    """Return a refusal as `{"detail": …}` (K-reg)."""
    return Answer(status=status, payload={"detail": text})


_INVALID_TOKEN = problem(HTTPStatus.UNAUTHORIZED, "Invalid token.")
_NO_SUCH_PATH = problem(HTTPStatus.NOT_FOUND, "Not found.")
#: A handler that gets whom or what from the path.
_ByPath = Callable[[Reference, Call], Answer]


class Kmi:
    """The users and registrations, and the calls that make them."""

    name = "kmi"
    title = "KMI LMS v2"
    base = BASE
    options_type = KmiOptions
    readers: ClassVar[Mapping[str, Callable[[str], Any]]] = {"registered": seed_registrations}
    operations = frozenset(Operation)
    faults: ClassVar[frozenset[str]] = frozenset()
    problem = staticmethod(problem)
    id_fields: frozenset[str] = frozenset()

    def __init__(self, options: KmiOptions, shared: Options, now: float) -> None:
        self.options = options
        self.keys = {options.api_key: options.api_secret, **dict(options.more_api_keys)}
        self.people = People(options.seed_users, options.api_key, now)
        self.users = Users(options, shared.lag, self.people)
        self.registrations = Registrations(options, shared.lag, self.people, now)
        users, registrations = self.users, self.registrations
        #: Of a collection, by name and method.
        self._lists = {
            ("users", "GET"): Route(operation=Operation.LIST_USERS, handle=users.list),
            ("users", "POST"): Route(operation=Operation.CREATE_USER, handle=users.create),
            ("registrations", "GET"): Route(operation=Operation.LIST_REGISTRATIONS, handle=registrations.list),
            ("registrations", "POST"): Route(operation=Operation.CREATE_REGISTRATION, handle=registrations.create),
        }
        #: Of one thing in a collection, by name, method and what is to be done with it.
        self._things: dict[tuple[str, str, str], tuple[Operation, _ByPath]] = {
            ("users", "GET", ""): (Operation.FIND_USER, users.get),
            ("users", "PUT", ""): (Operation.UPDATE_USER, users.update),
            ("users", "DELETE", ""): (Operation.DELETE_USER, users.delete),
            ("registrations", "GET", ""): (Operation.FIND_REGISTRATION, registrations.get),
            ("registrations", "POST", "approve"): (Operation.APPROVE, registrations.approve),
            ("registrations", "POST", "complete"): (Operation.COMPLETE, registrations.complete),
            ("registrations", "POST", "withdraw"): (Operation.WITHDRAW, registrations.withdraw),
        }

    def account(self, request: Request) -> str | Answer:
        """Return the API key when its secret is right (K-auth)."""
        key = header(request.headers, b"x-api-key")
        is_right = key and self.keys.get(key) == header(request.headers, b"x-api-secret")
        return key if is_right else _INVALID_TOKEN

    def fault(self, name: str) -> Answer:
        """Return nothing: it has no faults of its own."""
        raise NotImplementedError(name)

    def credentials(self) -> list[str]:
        """Return the API keys."""
        return list(self.keys)

    def route(self, request: Request) -> Route | Answer:
        """Find out what a request asks for."""
        method, path = request.method, request.path
        if not path.endswith("/"):
            # Django redirects, and a client that follows sends GET without the body.
            return Answer(
                status=HTTPStatus.MOVED_PERMANENTLY, raw=b"", headers=((b"location", f"{path}/".encode("latin-1")),)
            )
        name, *parts = _parts(path)
        if not parts:
            route = self._lists.get((name, method))
            return route or self._not_here(known=any(name == each for each, _ in self._lists))
        reference, verb = _reference(name, parts)
        found = self._things.get((name, method, verb))
        if found is None:
            known = any(each[0] == name and each[2] == verb for each in self._things)
            return self._not_here(known=known)
        operation, handle = found
        return Route(operation=operation, handle=partial(handle, reference))

    def persons(self, call: Call) -> list[Person]:
        """Return those whom a call names."""
        if call.operation in {Operation.CREATE_USER, Operation.UPDATE_USER}:
            return self.users.persons(call)
        if call.operation is Operation.CREATE_REGISTRATION:
            return self.registrations.persons(call)
        name, *parts = _parts(call.path)
        if not parts:
            return []
        reference, _ = _reference(name, parts)
        return (self.users if name == "users" else self.registrations).persons_of(reference, call)

    @property
    def mails_sent(self) -> int:
        """Return the number of mails that registering has sent (PatternId=222, K-reg)."""
        return self.registrations.mails_sent

    def duplicates(self) -> dict[str, int]:
        """Count the persons who are there more than once, and the (person, course) pairs that do."""
        return {"persons": self.people.duplicates(), "registrations": self.registrations.duplicates()}

    def counts(self) -> dict[str, Any]:
        """Return the figures for the page."""
        registrations = list(self.registrations.all.values())
        standing = [each for each in registrations if each.status is not Status.WITHDRAWN]
        return {
            "candidates": sum(not user.deleted for user in self.people.users.values()),
            "seeded": self.options.seed_users,
            "registrations": len(standing),
            "withdrawn": len(registrations) - len(standing),
            "by_course": dict(Counter(str(each.course.id) for each in standing)),
            "by_status": dict(Counter(str(each.status) for each in registrations)),
            "mails_sent": self.mails_sent,
        }

    def candidate_rows(self) -> list[dict[str, Any]]:
        """Return everybody; the deleted too."""
        return [
            {
                "id": str(each.id),
                "email": each.email,
                "external_ids": each.external_ids,
                "deleted": each.deleted,
                "created": each.created,
                "fields": each.fields,
            }
            for each in self.people.users.values()
        ]

    def registration_rows(self) -> list[dict[str, Any]]:
        """Return every registration; the withdrawn too."""
        return [
            {
                "id": str(each.id),
                "candidate_id": str(each.user.id),
                "email": each.user.email,
                "course_id": each.course.id,
                "external_id": each.external_id,
                "status": each.status,
                "score": each.score,
                "success": each.success,
                "created": each.created,
            }
            for each in self.registrations.all.values()
        ]

    def course_names(self) -> dict[str, str]:
        """Return the names of the courses by id."""
        return {str(course.id): course.name for course in self.options.courses}

    def connection(self, url: str) -> Connection:
        """Return a connection with the first key."""
        values = {
            "base_url": f"{url}{BASE}",
            "api_key": self.options.api_key,
            "api_secret": self.options.api_secret,
        }
        return Connection(name="kmi", values=values, secrets=frozenset({"api_key", "api_secret"}))

    @staticmethod
    def _not_here(*, known: bool) -> Answer:
        return problem(HTTPStatus.METHOD_NOT_ALLOWED, "Method not allowed.") if known else _NO_SUCH_PATH


def _parts(path: str) -> list[str]:
    return path.removeprefix(BASE).rstrip("/").split("/")


def _reference(name: str, parts: list[str]) -> tuple[Reference, str]:
    """Return what a path names, and what is to be done with it."""
    is_external = parts[0] == ("external_id" if name == "users" else "external") and len(parts) > 1
    reference, *verb = parts[1:] if is_external else parts
    return Reference(text=unquote(reference), external=is_external), "/".join(verb)
