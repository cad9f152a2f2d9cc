"""Courses, who is on them, and their enrolments. Enrolling is all or nothing, and its success is the word `null`.

Sending an enrolment that exists activates it and removes its dates: a course is listed before anybody is enrolled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from worker.errors import AnswerLost, LmsError, Refused, StopJob
from worker.lms.contract import (
    CALL_TOO_LARGE,
    ActionRequest,
    ActionResult,
    CourseList,
    Enrolment,
    Intent,
    LookupMiss,
    RegistrationLookup,
    RemoteRegistration,
    RemoteState,
)
from worker.lms.moodle import errors
from worker.lms.moodle.site import Site
from worker.lms.moodle.wire import CONTROL_FIELDS, count_fields, is_number
from worker.lms.responses import as_id, field_of, objects_of
from worker.model import Action, Course

if TYPE_CHECKING:
    from worker.lms.moodle.settings import MoodleConnection
    from worker.lms.responses import LmsResponse

#: People in one page of the list of a course.
PAGE_SIZE, MIN_PAGE_SIZE = 1000, 50
#: What showing the active and the suspended apart takes, by Moodle's documentation.
LISTING = "moodle/course:enrolreview"
ENROL, UNENROL = "enrol_manual_enrol_users", "enrol_manual_unenrol_users"
#: The site itself is course 1; nobody is enrolled there.
SITE_COURSE = "1"
#: Form fields of one enrolment.
FIELDS_EACH, FIELDS_EACH_SUSPENDED = 3, 4
Part = Literal["onlyactive", "onlysuspended"]
_NO_COURSE = "The LMS has no course {}, or hides it from the service account (moodle/course:viewhiddencourses)"
_NOT_LISTED = (
    "No course has this short name, and the service account may not list all courses to find a full name ({}); "
    "give the course_id"
)
_SEVERAL = "The LMS has several courses {} ({}); give the course_id of the right one"
_NOT_MANUAL = "Course {} has no enabled manual enrolment; add or enable it in the course's enrolment methods"
_NO_ACCESS = "The service account cannot enter course {}: give its role moodle/course:view there"
_MAY_NOT = "The service account lacks {} on course {}; give its role that capability there"
_ROLE = "Moodle refused the role: {}. Check `role` of this connection, and that the account's role may assign it"
STILL_ACTIVE = (
    "The manual enrolment was {}, but this person is still active on the course by another enrolment method; "
    "remove them there"
)


@dataclass(slots=True)
class Courses:
    """The courses of one site."""

    site: Site
    connection: MoodleConnection
    #: People in one page; fewer where a gateway did not wait for the answer.
    page_size: int = PAGE_SIZE
    _ids: dict[str, str] = field(default_factory=dict)
    #: All courses of the site, where a course had to be found in their list.
    _listed: list[dict[str, Any]] | None = None
    #: Batches that start together look a course up once.
    _finding: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: The roles of people on a course whose enrolment is not active, by course and user.
    _roles: dict[tuple[str, str], str] = field(default_factory=dict)

    async def find(self, course: Course) -> str:
        """Return the ID of a course that has manual enrolment. Raises Refused when it is not exactly one."""
        # That look-up also shows how large a call may be, before anything is changed.
        await self.site.known()
        async with self._finding:
            known = self._ids.get(course.key)
            if known is None:
                known = _usable_id(await self._find(course))
                self._ids |= {course.key: known, Course(course_id=known).key: known}
        return known

    async def _find(self, course: Course) -> Mapping[str, Any]:
        if course.course_id is not None:
            return _only_one(await self._by("id", course.course_id), course.course_id)
        if course.external_id is not None:
            found = _equal(await self._by("idnumber", course.external_id), "idnumber", course.external_id)
            if not found and await self.site.offers("core_course_get_courses"):
                # PostgreSQL compares letter by letter.
                found = _equal(await self._all(), "idnumber", course.external_id)
            return _only_one(found, f"with the ID number {course.external_id}")
        name = course.name or ""
        found = _equal(await self._by("shortname", name), "shortname", name)
        if not found:
            courses = await self._all()
            found = _equal(courses, "shortname", name) or _equal(courses, "fullname", name)
        return _only_one(found, f"named {name}")

    async def _by(self, name: str, value: str) -> list[dict[str, Any]]:
        if name == "id" and not is_number(value):
            return []
        await self.site.require("core_course_get_courses_by_field")
        response = await self.site.api.read(
            "find_courses", "core_course_get_courses_by_field", {"field": name, "value": value}
        )
        courses = field_of(response.body, "courses")
        if not isinstance(courses, list):
            raise AnswerLost("The LMS answered without a list of courses", response.status)
        return [item for item in courses if isinstance(item, dict)]

    async def _all(self) -> list[dict[str, Any]]:
        """Return all courses, read once: only so one is found by its full name, or in another letter case."""
        if self._listed is not None:
            return self._listed
        await self.site.require("core_course_get_courses")
        try:
            response = await self.site.api.read("list_courses", "core_course_get_courses", {})
        except Refused as refused:
            raise Refused("unknown_course", refused.status, _NOT_LISTED.format(refused.message)) from None
        self._listed = objects_of(response)
        return self._listed

    async def members(self, course_id: str) -> CourseList:
        """Read who is on a course: the rows do not say whose enrolment is active, so each part is asked for."""
        active = await self._part(course_id, "onlyactive")
        suspended = await self._part(course_id, "onlysuspended")
        inactive = {user: role for user, role in suspended.items() if user not in active}
        self._roles |= {(course_id, user): role for user, role in inactive.items() if role}
        return CourseList(active=frozenset(active), inactive=frozenset(inactive))

    async def everybody(self, course_id: str) -> frozenset[str]:
        """Read who is on a course, active or not: the account needs no moodle/course:enrolreview for that."""
        return frozenset(await self._part(course_id, None))

    async def _part(self, course_id: str, part: Part | None) -> dict[str, str]:
        """Return the users in one part of the list of a course, or in all, each with a role they have (or "").

        An account that may not see people gets an empty list, so that it must have found somebody before.
        """
        await self.site.known()
        await self.site.require("core_enrol_get_enrolled_users")
        found: dict[str, str] = {}
        while True:
            size = self.page_size
            try:
                rows = await self._page(course_id, part, len(found), size)
            except AnswerLost:
                # A gateway may be too impatient for that many; a read may be repeated.
                if size <= MIN_PAGE_SIZE:
                    raise
                self.page_size = max(MIN_PAGE_SIZE, size // 2)
                continue
            before = len(found)
            found |= {as_id(row.get("id")) or "": _role_of(row) for row in rows}
            if len(rows) < size or len(found) == before:
                return found

    async def _page(self, course_id: str, part: Part | None, start: int, size: int) -> list[dict[str, Any]]:
        chosen: dict[str, Any] = {part: 1} if part else {}
        paged = {"userfields": "id,roles", "sortby": "id", "limitfrom": start, "limitnumber": size}
        options: dict[str, Any] = chosen | paged
        arguments = {
            "courseid": course_id,
            "options": [{"name": name, "value": value} for name, value in options.items()],
        }
        try:
            return objects_of(await self.site.api.read("list_enrolled", "core_enrol_get_enrolled_users", arguments))
        except Refused as refused:
            raise _course_error(refused, course_id, LISTING) from None

    async def enrol(self, enrolments: Sequence[Enrolment], intent: Intent) -> Mapping[int, RemoteRegistration]:
        """Enrol people in one call; the site confirms all or none."""
        await self.site.require(ENROL)
        course_id = await self.find(enrolments[0].course)
        items = [
            {
                "roleid": self._roles.get((course_id, each.candidate_id), str(self.connection.role)),
                "userid": each.candidate_id,
                "courseid": course_id,
            }
            for each in enrolments
        ]
        try:
            response = await self._change(ENROL, items, intent)
        except Refused as refused:
            unknown = refused.code in _UNKNOWN_USER
            code = "unknown_candidate" if unknown else "registration_refused"
            raise _renamed(refused, code) from None
        confirmed = RemoteRegistration(registration_id=None, course_id=course_id, http_status=response.status)
        return {each.row_id: confirmed for each in enrolments}

    async def _change(self, function: str, items: Sequence[Mapping[str, Any]], intent: Intent) -> LmsResponse:
        try:
            response = await self.site.api.change(
                function.removeprefix("enrol_manual_"), function, {"enrolments": items}, intent, completes_rows=True
            )
        except Refused as refused:
            raise _enrolment_error(refused, str(items[0]["courseid"]), function) from None
        if response.body is not None:
            raise AnswerLost("The LMS answered with something other than null; it may have done the work", 200)
        return response

    async def find_registrations(self, enrolments: Sequence[Enrolment]) -> Mapping[int, RegistrationLookup]:
        """Look enrolments up in the list of their course; one that somebody suspended is not settled by it."""
        course_id = await self.find(enrolments[0].course)
        listed = await self._members_as_shown(course_id)
        found: dict[int, RegistrationLookup] = {}
        for each in enrolments:
            if each.candidate_id in listed.active:
                found[each.row_id] = RemoteRegistration(registration_id=None, course_id=course_id)
            elif each.candidate_id in listed.inactive and not each.may_activate:
                found[each.row_id] = LookupMiss.NO_LOOKUP
            else:
                found[each.row_id] = LookupMiss.ABSENT
        return found

    async def _members_as_shown(self, course_id: str) -> CourseList:
        """Read who is on a course; all count as active where the account is not shown who is."""
        try:
            return await self.members(course_id)
        except Refused as refused:
            if refused.code != "course_refused":
                raise
            return CourseList(active=await self.everybody(course_id), inactive=frozenset())

    async def read_states(
        self, requests: Sequence[ActionRequest]
    ) -> Mapping[int, RemoteState | LookupMiss | Refused]:
        """Read the enrolments of these requests from the list of their course."""
        course = requests[0].row.course
        if course is None:
            return {request.row_id: LookupMiss.NO_LOOKUP for request in requests}
        try:
            course_id = await self.find(course)
            active = await self._part(course_id, "onlyactive")
            are_all_active = all(request.candidate_id in active for request in requests)
            inactive = {} if are_all_active else await self._part(course_id, "onlysuspended")
        except Refused as refused:
            return {request.row_id: refused for request in requests}
        return {request.row_id: self._state(request, course_id, active, inactive) for request in requests}

    def _state(
        self, request: ActionRequest, course_id: str, active: Mapping[str, str], inactive: Mapping[str, str]
    ) -> RemoteState | LookupMiss:
        user = request.candidate_id
        is_active = user in active
        if not is_active and user not in inactive:
            return LookupMiss.ABSENT
        is_withdrawn = not is_active and self.connection.withdraw == "suspend"
        return RemoteState(
            lms_id="",
            course_id=course_id,
            is_done=is_active if request.action is Action.REGISTER else is_withdrawn,
            withdrawn=not is_active,
            description="active" if is_active else "not active",
            body={"courseid": course_id, "roleid": active.get(user) or inactive.get(user) or ""},
        )

    async def withdraw(
        self, requests: Sequence[ActionRequest], states: Mapping[int, RemoteState], intent: Intent
    ) -> Mapping[int, ActionResult | Refused]:
        """Suspend or remove enrolments in one call, then read who is still active."""
        bodies = {request.row_id: states[request.row_id].body for request in requests}
        course_id = str(bodies[requests[0].row_id].get("courseid") or "")
        suspends = self.connection.withdraw == "suspend"
        items = [
            {
                # Another role than the one the person has would be added to it.
                **({"roleid": bodies[each.row_id].get("roleid") or str(self.connection.role)} if suspends else {}),
                "userid": each.candidate_id,
                "courseid": course_id,
                **({"suspend": 1} if suspends else {}),
            }
            for each in requests
        ]
        function = ENROL if suspends else UNENROL
        await self.site.require(function)
        try:
            response = await self._change(function, items, intent)
        except Refused as refused:
            raise _renamed(refused, "action_refused") from None
        return await self._withdrawn(requests, course_id, response, count_fields({"enrolments": items}))

    async def _withdrawn(
        self, requests: Sequence[ActionRequest], course_id: str, response: LmsResponse, fields: int
    ) -> Mapping[int, ActionResult | Refused]:
        """Return who is not active any more, and who still is although the whole call arrived.

        Nobody where the list cannot be read, so that each is looked up.
        """
        try:
            active = await self._part(course_id, "onlyactive")
            # The end of a call is what does not arrive.
            if requests[-1].candidate_id in active and not await self.site.arrives(CONTROL_FIELDS + fields):
                requests = [request for request in requests if request.candidate_id not in active]
        except LmsError:
            return {}
        done = ActionResult(http_status=response.status)
        verb = "suspended" if self.connection.withdraw == "suspend" else "removed"
        refused = Refused("still_active", response.status, STILL_ACTIVE.format(verb))
        return {request.row_id: refused if request.candidate_id in active else done for request in requests}


def _equal(courses: Sequence[Mapping[str, Any]], name: str, value: str) -> list[Mapping[str, Any]]:
    """Return the courses that have a value: exactly so, else in another letter case."""
    exact = [course for course in courses if str(course.get(name) or "").strip() == value]
    return exact or [course for course in courses if str(course.get(name) or "").strip().lower() == value.lower()]


def _only_one(courses: Sequence[Mapping[str, Any]], named: str) -> Mapping[str, Any]:
    found = [course for course in courses if as_id(course.get("id")) not in {None, SITE_COURSE}]
    if not found:
        raise Refused("unknown_course", None, _NO_COURSE.format(named))
    if len(found) > 1:
        ids = ", ".join(as_id(course.get("id")) or "" for course in found)
        raise Refused("ambiguous_course", None, _SEVERAL.format(named, ids))
    return found[0]


def _usable_id(course: Mapping[str, Any]) -> str:
    course_id = as_id(course.get("id")) or ""
    methods = course.get("enrollmentmethods")
    if isinstance(methods, list) and "manual" not in methods:
        raise Refused("course_refused", None, _NOT_MANUAL.format(course_id))
    return course_id


def _role_of(row: Mapping[str, Any]) -> str:
    roles = row.get("roles")
    ids = [as_id(field_of(role, "roleid")) for role in roles] if isinstance(roles, list) else []
    return next((role for role in ids if role), "")


def _course_error(refused: Refused, course_id: str, capability: str) -> Refused:
    """Return a refusal that is about the course, so that no further row of it is sent."""
    if refused.code in {"requireloginerror", "errorcoursecontextnotvalid"}:
        return Refused("course_refused", refused.status, _NO_ACCESS.format(course_id))
    if refused.code == errors.NO_PERMISSION:
        said = f"{_MAY_NOT.format(capability, course_id)} ({refused.message})"
        return Refused("course_refused", refused.status, said)
    if refused.code == "wsnoinstance":
        return Refused("course_refused", refused.status, _NOT_MANUAL.format(course_id))
    if refused.code in {"invalidrecordunknown", "invalidrecord"} and capability == LISTING:
        return Refused("unknown_course", refused.status, _NO_COURSE.format(course_id))
    return refused


#: Codes for a user whom the site does not have, by version.
_UNKNOWN_USER = frozenset({"invalidrecordunknown", "invalidrecord", "codingerror", "userdeleted"})
_CAPABILITIES = {ENROL: "enrol/manual:enrol", UNENROL: "enrol/manual:unenrol"}
#: Refusals that mean the same whatever was sent.
_KEPT = frozenset({"course_refused", "unknown_course", CALL_TOO_LARGE})


def _enrolment_error(refused: Refused, course_id: str, function: str) -> Exception:
    if refused.code == "wsusercannotassign":
        return StopJob("not_allowed", _ROLE.format(refused.message.rstrip(".")), refused.status)
    if refused.code == errors.WRITE_CONFLICT:
        # Another call wrote the same at the same time.
        return AnswerLost(f"{refused.message}; another call may have done the work", refused.status)
    return _course_error(refused, course_id, _CAPABILITIES[function])


def _renamed(refused: Refused, code: str) -> Refused:
    """Return a refusal of a row with the report's code."""
    return refused if refused.code in _KEPT else Refused(code, refused.status, refused.message)
