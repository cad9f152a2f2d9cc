"""KMI's users and registrations as JSON: what goes out, and what comes back means. Pure.

Pages as in `worker.lms.connectors.kmi`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from worker.errors import Refused
from worker.lms.contract import Enrolment, FoundCandidate, FoundRegistration, Registered, Unfound
from worker.lms.responses import Answer, as_id, field_of
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
#: As a segment of a path these mean another path: such an id cannot be asked for.
UNSAFE_IN_A_PATH = frozenset({".", ".."})
#: The statuses of a registration, folded (K-reg); at its beginning it is "not started".
APPROVED, COMPLETED, WITHDRAWN = "approved", "completed", "withdrawn"
_NOT_FOUND = 404


def segment(text: str) -> str:
    """Return an id as one segment of a path; K-ext calls an external id an integer, and shows `ID10-05113`."""
    return quote(text, safe="")


def user_fields(candidate: Candidate) -> dict[str, Any]:
    """Return what a roster says of a user, under KMI's names; custom fields go under their own."""
    values = {field: getattr(candidate, name) for name, field in USER_FIELDS.items()}
    ends = candidate.expiration_date
    values["expirationDate"] = f"{ends.isoformat()}T00:00:00Z" if ends else None
    return {field: value for field, value in values.items() if value is not None} | dict(candidate.fields)


def status_of(item: Mapping[str, Any]) -> str:
    """Return the status of a registration, folded."""
    return str(item.get("statusName", "")).strip().casefold()


def name_of(course: Course) -> dict[str, Any]:
    """Return the one key that names the course (K-reg: ids before names; one key, so that nothing is ambiguous)."""
    if course.course_id is not None:
        return {"courseId": int(course.course_id) if course.course_id.isdigit() else course.course_id}
    if course.name is not None:
        return {"courseName": course.name}
    return {"courseExternalId": course.external_id}


def as_person(item: Mapping[str, Any]) -> Person | None:
    """Return who a user is; None for an item without an id."""
    user_id = as_id(item.get("id"))
    if user_id is None:
        return None
    texts = [str(item[name]).strip() if item.get(name) else None for name in ("externalId", "email", "loginName")]
    return Person(candidate_id=user_id, external_id=texts[0], email=texts[1], login_name=texts[2])


def is_same(person: Person, candidate: Candidate) -> bool:
    """Tell whether a user is the candidate: the same e-mail, and the same login name if one was given."""
    same_mail = bool(candidate.email) and (person.email or "").casefold() == (candidate.email or "").casefold()
    same_login = not candidate.login_name or person.login_name == candidate.login_name
    return same_mail and same_login


def only(ids: set[str]) -> FoundCandidate:
    """Return the one id that was found, or why there is none."""
    if len(ids) > 1:
        return Unfound.SEVERAL
    return next(iter(ids)) if ids else Unfound.ABSENT


def unfound(refused: Refused) -> Unfound:
    """Return what a refused look-up says: 404 is absent, a 400 or 409 that several match, a 403 nothing at all."""
    if refused.status == _NOT_FOUND or "not registered" in refused.message.lower():
        return Unfound.ABSENT
    several = {400, 409, 300}
    return Unfound.SEVERAL if refused.status in several else Unfound.NO_LOOKUP


def is_taken(refused: Refused) -> bool:
    """Tell whether a refusal says that somebody has this e-mail address or login name."""
    return any(word in refused.message.lower() for word in ("exists", "taken", "unique"))


def refusal_code(refused: Refused) -> str:
    """Return the report's code for a refused registration: KMI must find exactly one course and user (K-reg)."""
    words = refused.message.lower()
    if "more than one" not in words:
        return "registration_refused"
    return "ambiguous_course" if "course" in words else "ambiguous_candidate"


def stands(item: Mapping[str, Any]) -> bool:
    """Tell whether a registration was not withdrawn."""
    return status_of(item) != WITHDRAWN


def is_on(item: Mapping[str, Any], course: Course) -> bool:
    """Tell whether a registration is surely on this course; it shows the course's id and name, no external id."""
    if course.course_id is not None:
        return as_id(item.get("courseId")) == course.course_id
    return course.name is not None and str(item.get("courseName", "")).casefold() == course.name.casefold()


def as_registered(answer: Answer, enrolment: Enrolment) -> Registered | None:
    """Return what the answer to a registration confirms; one with another external id was there before."""
    registration_id = as_id(field_of(answer.body, "id"))
    theirs = field_of(answer.body, "externalId")
    if registration_id is None:
        return None
    return Registered(
        registration_id=registration_id,
        already=theirs is not None and str(theirs) not in {"", enrolment.key},
        course_id=as_id(field_of(answer.body, "courseId")),
        http_status=answer.status,
    )


def as_found(body: Any, enrolment: Enrolment) -> FoundRegistration:
    """Return the registration under our key, if it is this candidate's and was not withdrawn."""
    if not isinstance(body, dict) or as_id(body.get("id")) is None:
        return Unfound.NO_LOOKUP
    if as_id(body.get("userId")) not in {None, enrolment.candidate_id}:
        return Unfound.SEVERAL
    return Registered(registration_id=as_id(body["id"])) if stands(body) else Unfound.ABSENT
