"""Enrol people by the manual method, and take them off. All or nothing; success is the word `null`."""

from __future__ import annotations

from typing import Any

from worker.sandbox.messages import Answer, Refused
from worker.sandbox.moodle.errors import invalid
from worker.sandbox.moodle.options import Version
from worker.sandbox.moodle.permissions import Permissions
from worker.sandbox.moodle.site import MANUAL, SITE_COURSE, Site
from worker.sandbox.moodle.users import Finish


class Enrolments:
    """The functions that change enrolments."""

    def __init__(self, site: Site, permissions: Permissions) -> None:
        self.site = site
        self.permissions = permissions
        self.old = site.options.version is Version.OLD

    def enrol(self, enrolments: list[dict[str, Any]], at: float) -> Finish:
        """Enrol; somebody who is enrolled already loses suspension and dates that are not sent again."""
        if not enrolments:
            raise invalid()
        assignable = dict(self.site.options.roles) if self.permissions.may("moodle/role:assign") else {}
        for each in enrolments:
            self._enter(each["courseid"])
            self.permissions.need("enrol/manual:enrol", "Enrol users")
            if each["roleid"] not in assignable:
                raise self._refused(
                    "wsusercannotassign", role=each["roleid"], user=each["userid"], course=each["courseid"]
                )
            self._manual(each["courseid"])
            self._user(each["userid"])
        new = {(each["courseid"], each["userid"]) for each in enrolments}
        new = {pair for pair in new if not self._is_enrolled(*pair)}

        def finish() -> Answer:
            if any(self._is_enrolled(*pair) for pair in new):
                raise self._refused("dmlwriteexception")
            for each in enrolments:
                self.site.enrol(
                    each["courseid"],
                    each["userid"],
                    suspended=bool(each.get("suspend")),
                    timestart=each.get("timestart", 0),
                    timeend=each.get("timeend", 0),
                    role_id=each["roleid"],
                    at=at,
                )
            return Answer(status=200, payload=None)

        return finish

    def unenrol(self, enrolments: list[dict[str, Any]], at: float) -> Finish:  # noqa: ARG002 each gets the time
        """Take people off; somebody who is not enrolled is no error."""
        for each in enrolments:
            self._enter(each["courseid"], unknown="invalidrecord" if self.old else "invalidrecordunknown")
            self.permissions.need("enrol/manual:unenrol", "Unenrol users from the course")
            self._manual(each["courseid"])
            account = self.site.accounts.get(each["userid"])
            if account is None:
                raise self._refused("invalidparameter" if self.old else "invalidrecordunknown")

        def finish() -> Answer:
            for each in enrolments:
                self.site.unenrol(each["courseid"], each["userid"])
            return Answer(status=200, payload=None)

        return finish

    def _is_enrolled(self, course_id: int, user_id: int) -> bool:
        return (user_id, MANUAL) in self.site.enrolments[course_id]

    def _enter(self, course_id: int, unknown: str = "invalidparameter") -> None:
        """Refuse a course that does not exist, or that the account cannot enter."""
        course = self.site.courses.get(course_id)
        if course is None:
            if course_id == SITE_COURSE:
                raise self._no_instance(course_id)
            raise self._refused(unknown, table="course")
        hidden = not course.visible and not self.permissions.may("moodle/course:viewhiddencourses")
        if hidden or not self.permissions.may("moodle/course:view"):
            raise self._refused("requireloginerror")

    def _manual(self, course_id: int) -> None:
        if MANUAL not in self.site.courses[course_id].methods:
            raise self._no_instance(course_id)

    def _user(self, user_id: int) -> None:
        account = self.site.accounts.get(user_id)
        if account is not None and not account.deleted:
            return
        if self.old:
            raise self._refused("codingerror", text="User ID does not exist or is deleted!")
        raise self._refused("invalidrecordunknown" if account is None else "userdeleted")

    def _no_instance(self, course_id: int) -> Refused:
        # 4.3 prints its own placeholder.
        return self._refused("wsnoinstance", course="{$a->courseid}" if self.old else course_id)

    def _refused(self, code: str, **words: Any) -> Refused:
        return Refused(self.permissions.error(code, **words))
