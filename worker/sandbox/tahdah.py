"""Tahdah as its documentation has it: create candidates, register them many at a time. Knows no quota, no fault.

Documented: the paths, the body and the answer of a registration (S0, S1), the path of Create Candidate (T-cand),
the bearer token. Everything else is an assumption: the fields of a candidate, all refusals and their words, that a
batch is all or nothing, and that GET on the registrations path lists them.
"""

from __future__ import annotations

import builtins
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar

import msgspec

from worker.sandbox.choices import EmailTaken, Twice
from worker.sandbox.messages import Answer, Call, Person, Refused, Request, Route, header
from worker.sandbox.options import Options
from worker.sandbox.systems import Connection
from worker.sandbox.tahdah_batch import body_of, listed, problem, subject, wanted_of
from worker.sandbox.tahdah_options import Lookup, TahdahOptions
from worker.sandbox.webhooks import Announcer

_PREFIX = "/api/learningexperiences/legalentities/"
_PARTS = 4
#: Needed to create a candidate (assumed; no page lists the fields).
_NEEDED = ("firstName", "lastName", "email")

_INVALID_TOKEN = problem(HTTPStatus.UNAUTHORIZED, "Invalid token.")
_NO_SUCH_PATH = problem(HTTPStatus.NOT_FOUND, "No such path.")
_NOT_ALLOWED = problem(HTTPStatus.METHOD_NOT_ALLOWED, "Method not allowed.")


class Operation(StrEnum):
    """What a call asks for."""

    CREATE_CANDIDATE = "create_candidate"
    REGISTER = "register"
    LIST_REGISTRATIONS = "list_registrations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Somebody who was created; `fields` as they were sent."""

    id: int
    fields: dict[str, Any]
    created: float

    @property
    def email(self) -> str:
        """Return the e-mail address."""
        return str(self.fields["email"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Somebody on an experience; `id` is the `candidateExperienceId`."""

    id: int
    candidate_id: int
    legal_entity_id: int
    experience_id: int
    behavior: int
    date: str
    created: float

    def shown(self) -> dict[str, str]:
        """Return the registration as the answer has it: strings throughout (S0)."""
        return {
            "candidateId": str(self.candidate_id),
            "candidateExperienceId": str(self.id),
            "registrationDate": self.date,
        }


class Tahdah:
    """The candidates and registrations, and the calls that make them."""

    name = "tahdah"
    title = "Tahdah"
    base = "/api/"
    options_type = TahdahOptions
    readers: ClassVar[Mapping[str, Callable[[str], Any]]] = {}
    operations = frozenset(Operation)
    faults: ClassVar[frozenset[str]] = frozenset()
    problem = staticmethod(problem)

    def __init__(self, options: TahdahOptions, shared: Options, _now: float) -> None:
        self.options = options
        self.lag = shared.lag
        self.tokens = {f"Bearer {token}": token for token in (options.token, *options.more_tokens)}
        self.candidates: dict[int, Candidate] = {}
        self.registrations: list[Registration] = []
        self.mails_sent = 0
        self.announcer = Announcer(options.webhook, options.webhook_secret)
        self.id_fields = frozenset({options.candidate_id_field})
        self._by_email: dict[str, int] = {}
        self._by_place: dict[tuple[int, int], dict[int, Registration]] = {
            (entity, experience): {}
            for entity, experiences in options.legal_entities.items()
            for experience in experiences
        }

    def account(self, request: Request) -> str | Answer:
        """Return the account of the bearer token."""
        return self.tokens.get(header(request.headers, b"authorization"), _INVALID_TOKEN)

    def fault(self, name: str) -> Answer:
        """Return nothing: it has no faults of its own."""
        raise NotImplementedError(name)

    def credentials(self) -> list[str]:
        """Return the tokens."""
        return list(self.tokens.values())

    def route(self, request: Request) -> Route | Answer:
        """Find out what a request asks for."""
        method, path = request.method, request.path
        if path == "/api/candidates":
            if method != "POST":
                return _NOT_ALLOWED
            return Route(operation=Operation.CREATE_CANDIDATE, handle=self.create_candidate)
        parts = path.removeprefix(_PREFIX).split("/") if path.startswith(_PREFIX) else []
        is_place = (
            len(parts) == _PARTS and parts[1] == "experiences" and parts[3] in self.options.registration_paths
        )
        return self._place_route(method, parts[0], parts[2]) if is_place else _NO_SUCH_PATH

    def persons(self, call: Call) -> list[Person]:
        """Return those whom a call names."""
        try:
            body = call.json()
        except (msgspec.DecodeError, TypeError):
            return []
        if call.operation is Operation.CREATE_CANDIDATE:
            email = str(body.get("email", ""))
            return [Person(name=email, email=email, external_id=str(body.get("externalId", "")))]
        named = [each.get("candidateId") for each in _list(body.get("candidateIds")) if isinstance(each, dict)]
        known = [(id_, self.candidates.get(id_)) for id_ in named if isinstance(id_, int)]
        return [Person(name=str(id_), email=found.email if found else "") for id_, found in known]

    def create_candidate(self, call: Call) -> Answer:
        """Create a candidate and answer with the id; each call makes a new one, unless the options say not."""
        fields = body_of(call)
        for name in _NEEDED:
            if not isinstance(fields.get(name), str) or not fields[name].strip():
                raise Refused(problem(HTTPStatus.BAD_REQUEST, f"{name} is required."))
        email = fields["email"].strip().lower()
        known = self._by_email.get(email)
        if known is not None and self.options.email_taken != EmailTaken.NEW:
            return self._answer_for_known(known, fields["email"])
        candidate = Candidate(id=100_123 + len(self.candidates), fields=fields, created=call.at)
        self.candidates[candidate.id] = candidate
        self._by_email.setdefault(email, candidate.id)
        # RLSS UK's template says that an invitation is mailed on upload.
        self.mails_sent += 1
        return self._shown(candidate)

    def register(self, entity: str, experience: str, call: Call) -> Answer:
        """Register a batch on an experience, all or nothing."""
        place = self._place(entity, experience)
        wanted = wanted_of(body_of(call), self.options.max_batch)
        standing = self._by_place[place]
        unknown = [each["candidateId"] for each in wanted if each["candidateId"] not in self.candidates]
        if unknown:
            raise Refused(problem(HTTPStatus.BAD_REQUEST, f"{subject(unknown)} not exist."))
        already = [each["candidateId"] for each in wanted if each["candidateId"] in standing]
        if already and self.options.twice in {Twice.REJECT, Twice.CONFLICT}:
            text = f"Already registered on this learning experience: {listed(already)}."
            raise Refused(problem(int(self.options.twice), text))
        made = [self._registration(place, each, call.at) for each in wanted]
        return Answer(status=HTTPStatus.OK, payload=[each.shown() for each in made])

    def list(self, entity: str, experience: str, call: Call) -> Answer:
        """List the registrations of an experience, in the form in which they were answered (assumed)."""
        place, newest = self._place(entity, experience), call.at - self.lag
        shown = [
            each.shown()
            for each in self.registrations
            if (each.legal_entity_id, each.experience_id) == place and each.created <= newest
        ]
        return Answer(status=HTTPStatus.OK, payload=shown)

    def duplicates(self) -> dict[str, int]:
        """Count the persons created more than once, and the (person, course) pairs registered more than once."""
        emails = Counter(each.email.strip().lower() for each in self.candidates.values())
        pairs = Counter(
            (each.legal_entity_id, each.experience_id, self.candidates[each.candidate_id].email.strip().lower())
            for each in self.registrations
        )
        return {"persons": _repeated(emails), "registrations": _repeated(pairs)}

    def counts(self) -> dict[str, Any]:
        """Return the figures for the page."""
        return {
            "candidates": len(self.candidates),
            "registrations": len(self.registrations),
            "by_course": dict(Counter(str(each.experience_id) for each in self.registrations)),
            "mails_sent": self.mails_sent,
            "webhooks": {str(status): count for status, count in self.announcer.answers.items()},
        }

    def candidate_rows(self) -> builtins.list[dict[str, Any]]:
        """Return everybody."""
        return [
            {"id": str(each.id), "email": each.email, "created": each.created, "fields": each.fields}
            for each in self.candidates.values()
        ]

    def registration_rows(self) -> builtins.list[dict[str, Any]]:
        """Return every registration."""
        return [
            {
                "id": str(each.id),
                "candidate_id": str(each.candidate_id),
                "email": self.candidates[each.candidate_id].email,
                "legal_entity_id": each.legal_entity_id,
                "course_id": each.experience_id,
                "behavior": each.behavior,
                "registration_date": each.date,
                "created": each.created,
            }
            for each in self.registrations
        ]

    def course_names(self) -> dict[str, str]:
        """Return the names of the experiences by id."""
        return {str(id_): name for id_, name in self.options.names.items()}

    def connection(self, url: str) -> Connection:
        """Return a connection with the first legal entity."""
        return Connection(
            name="north",
            values={
                "base_url": url,
                "token": self.options.token,
                "legal_entity_id": next(iter(self.options.legal_entities), 0),
                "behavior": 1,
                "batch_size": 50,
            },
            secrets=frozenset({"token"}),
        )

    def _place_route(self, method: str, entity: str, experience: str) -> Route | Answer:
        if method == "POST":
            return Route(operation=Operation.REGISTER, handle=partial(self.register, entity, experience))
        if method != "GET" or self.options.lookup == Lookup.NOT_ALLOWED:
            return _NOT_ALLOWED
        if self.options.lookup == Lookup.NOT_FOUND:
            return _NO_SUCH_PATH
        return Route(operation=Operation.LIST_REGISTRATIONS, handle=partial(self.list, entity, experience))

    def _place(self, entity: str, experience: str) -> tuple[int, int]:
        entities = self.options.legal_entities
        if not entity.isdecimal() or int(entity) not in entities:
            raise Refused(problem(HTTPStatus.NOT_FOUND, f"Legal entity {entity} does not exist."))
        if not experience.isdecimal() or int(experience) not in entities[int(entity)]:
            raise Refused(problem(HTTPStatus.NOT_FOUND, f"Learning experience {experience} does not exist."))
        return int(entity), int(experience)

    def _registration(self, place: tuple[int, int], wanted: dict[str, Any], at: float) -> Registration:
        standing = self._by_place[place].get(wanted["candidateId"])
        if standing is not None and self.options.twice == Twice.EXISTING:
            return standing
        made = Registration(
            id=900_001 + len(self.registrations),
            candidate_id=wanted["candidateId"],
            legal_entity_id=place[0],
            experience_id=place[1],
            behavior=wanted["behavior"],
            date=wanted["registrationDate"],
            created=at,
        )
        self.registrations.append(made)
        self._by_place[place].setdefault(made.candidate_id, made)
        self.announcer.tell({"legalEntityId": place[0], "experienceId": place[1], **made.shown()})
        return made

    def _answer_for_known(self, known: int, email: str) -> Answer:
        if self.options.email_taken == EmailTaken.EXISTING:
            return self._shown(self.candidates[known])
        return problem(int(self.options.email_taken), f"A candidate with the e-mail {email} already exists.")

    def _shown(self, candidate: Candidate) -> Answer:
        return Answer(
            status=HTTPStatus.OK, payload={self.options.candidate_id_field: candidate.id, **candidate.fields}
        )


def _repeated(counts: Counter[Any]) -> int:
    return sum(count > 1 for count in counts.values())


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
