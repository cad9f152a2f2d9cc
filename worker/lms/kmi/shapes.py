"""KMI's users and registrations as JSON: building requests and interpreting responses. Pure.

Pages as in `worker.lms.connectors.kmi`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from worker.errors import Refused
from worker.identity import email_key
from worker.lms.contract import (
    CandidateLookup,
    Enrolment,
    LookupMiss,
    RegistrationLookup,
    RemoteRecord,
    RemoteRegistration,
)
from worker.lms.responses import LmsResponse, as_id, field_of
from worker.model import Candidate, Course, Person

#: Roster column → field of a user (K-reg).
USER_FIELDS = {
    "email": "email",
    "first_name": "firstName",
    "last_name": "lastName",
    "login_name": "loginName",
    "external_id": "externalId",
    "address": "address",
    "address2": "address2",
    "city": "city",
    "state": "state",
    "zip": "zip",
    "country": "country",
}
#: As a segment of a path these mean another path: such an id cannot be requested.
UNSAFE_IN_PATH = frozenset({".", ".."})
#: The statuses of a registration, case-folded (K-reg); a new one is "not started".
APPROVED, COMPLETED, WITHDRAWN = "approved", "completed", "withdrawn"
_NOT_FOUND = 404


def path_segment(text: str) -> str:
    """Return an id as one segment of a path; K-ext calls an external id an integer, but shows `ID10-05113`."""
    return quote(text, safe="")


def user_fields(candidate: Candidate) -> dict[str, Any]:
    """Return the roster's values of a user under KMI's field names; custom fields keep their own."""
    values = {field: getattr(candidate, name) for name, field in USER_FIELDS.items()}
    ends = candidate.expiration_date
    values["expirationDate"] = f"{ends.isoformat()}T00:00:00Z" if ends else None
    return {field: value for field, value in values.items() if value is not None} | dict(candidate.fields)


def status_of(item: Mapping[str, Any]) -> str:
    """Return the status of a registration, case-folded."""
    return str(item.get("statusName", "")).strip().casefold()


def course_reference(course: Course) -> dict[str, Any]:
    """Return the one field that identifies the course (K-reg: ids before names; one field, to avoid ambiguity)."""
    if course.course_id is not None:
        return {"courseId": int(course.course_id) if course.course_id.isdigit() else course.course_id}
    if course.name is not None:
        return {"courseName": course.name}
    return {"courseExternalId": course.external_id}


def as_person(item: Mapping[str, Any]) -> Person | None:
    """Return the identity of a user; None for an item without an id."""
    user_id = as_id(item.get("id"))
    if user_id is None:
        return None
    fields = ("externalId", "email", "loginName", "firstName", "lastName")
    external_id, email, login_name, first_name, last_name = (
        str(item[name]).strip() if item.get(name) else None for name in fields
    )
    return Person(
        candidate_id=user_id,
        external_id=external_id,
        email=email,
        login_name=login_name,
        first_name=first_name,
        last_name=last_name,
    )


def as_record(body: Any) -> RemoteRecord | None:
    """Return a user or a registration as far as KMI shows it (K-reg); None for a body without an id."""
    record_id = as_id(field_of(body, "id"))
    if record_id is None:
        return None
    texts = {
        name: str(body[field]).strip() if body.get(field) else None
        for name, field in (
            ("email", "email"),
            ("external_id", "externalId"),
            ("first_name", "firstName"),
            ("last_name", "lastName"),
            ("course_name", "courseName"),
        )
    }
    return RemoteRecord(
        lms_id=record_id,
        candidate_id=as_id(body.get("userId")),
        course_id=as_id(body.get("courseId")),
        is_withdrawn=status_of(body) == WITHDRAWN,
        **texts,
    )


def is_same_person(person: Person, candidate: Candidate) -> bool:
    """Return whether a user is the candidate: the same e-mail, and the same login name if one was given."""
    same_mail = bool(candidate.email) and email_key(person.email or "") == email_key(candidate.email or "")
    same_login = not candidate.login_name or person.login_name == candidate.login_name
    return same_mail and same_login


def single_id(ids: set[str]) -> CandidateLookup:
    """Return the single id that was found, or why there is none."""
    if len(ids) > 1:
        return LookupMiss.AMBIGUOUS
    return next(iter(ids)) if ids else LookupMiss.ABSENT


def lookup_miss_of(refused: Refused) -> LookupMiss:
    """Return what a refused look-up means: 404 is absent, a 300, 400 or 409 that several match, others nothing."""
    if refused.status == _NOT_FOUND or "not registered" in refused.message.lower():
        return LookupMiss.ABSENT
    several = {400, 409, 300}
    return LookupMiss.AMBIGUOUS if refused.status in several else LookupMiss.NO_LOOKUP


def is_in_use(refused: Refused) -> bool:
    """Return whether a refusal says that this e-mail address or login name is in use."""
    return any(word in refused.message.lower() for word in ("exists", "taken", "unique"))


def is_about_login(refused: Refused) -> bool:
    """Return whether a refusal names the login name, and not the e-mail address."""
    words = refused.message.lower()
    return any(word in words for word in ("login", "username", "user name"))


def refusal_code(refused: Refused) -> str:
    """Return the report's code for a refused registration: KMI must find exactly one course and user (K-reg)."""
    words = refused.message.lower()
    if "more than one" not in words:
        return "registration_refused"
    return "ambiguous_course" if "course" in words else "ambiguous_candidate"


def is_active(item: Mapping[str, Any]) -> bool:
    """Return whether a registration was not withdrawn."""
    return status_of(item) != WITHDRAWN


def is_on(item: Mapping[str, Any], course: Course) -> bool:
    """Return whether a registration is certainly on this course; it shows the course's id and name only."""
    if course.course_id is not None:
        return as_id(item.get("courseId")) == course.course_id
    return course.name is not None and str(item.get("courseName", "")).casefold() == course.name.casefold()


def confirmed_registration(response: LmsResponse, enrolment: Enrolment) -> RemoteRegistration | None:
    """Return the registration that a response confirms; one with another external id existed before."""
    registration_id = as_id(field_of(response.body, "id"))
    theirs = field_of(response.body, "externalId")
    if registration_id is None:
        return None
    return RemoteRegistration(
        registration_id=registration_id,
        existed=theirs is not None and str(theirs) not in {"", enrolment.idempotency_key},
        course_id=as_id(field_of(response.body, "courseId")),
        http_status=response.status,
    )


def registration_by_key(body: Any, enrolment: Enrolment) -> RegistrationLookup:
    """Return the registration with our key, if it is this candidate's and was not withdrawn."""
    if not isinstance(body, dict) or as_id(body.get("id")) is None:
        return LookupMiss.NO_LOOKUP
    if as_id(body.get("userId")) not in {None, enrolment.candidate_id}:
        return LookupMiss.AMBIGUOUS
    return RemoteRegistration(registration_id=as_id(body["id"])) if is_active(body) else LookupMiss.ABSENT
