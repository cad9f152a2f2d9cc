"""Find people and courses, list who is enrolled. What the account may not see is absent, without an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from worker.sandbox.messages import Answer, Refused
from worker.sandbox.moodle.errors import invalid
from worker.sandbox.moodle.options import MoodleCourse, Version
from worker.sandbox.moodle.permissions import Permissions
from worker.sandbox.moodle.shapes import Several, Value, extended_username, fit, plain_username, whole
from worker.sandbox.moodle.site import GUEST, SERVICE, SITE_COURSE, Account, Enrolment, Site
from worker.sandbox.moodle.users import is_email

#: A secret by Moodle's word: no log and no message may show it.
PRIVATE_KEY = "5f0c9a7e31b84d6296cd02b1e8f7a443"
_START = 1_700_000_000


class LookUps:
    """The functions that change nothing."""

    def __init__(self, site: Site, permissions: Permissions, functions: Iterable[str]) -> None:
        self.site = site
        self.options = site.options
        self.permissions = permissions
        self.functions = sorted(functions)
        self.old = site.options.version is Version.OLD

    # Site

    def site_info(self, url: str) -> Answer:
        """Say what the site and the account are; `userprivateaccesskey` is a secret."""
        version = self.options.version.number
        return _found(
            {
                "sitename": "Sandbox Moodle",
                "username": "provsvc",
                "firstname": "Provsvc",
                "lastname": "Account",
                "fullname": "Provsvc Account",
                "lang": "en",
                "userid": SERVICE,
                "siteurl": url,
                "userpictureurl": f"{url}/theme/image.php",
                "functions": [
                    {"name": name, "version": version}
                    for name in self.functions
                    if name not in self.options.without
                ],
                "downloadfiles": 0,
                "uploadfiles": 0,
                "release": self.options.version.release,
                "version": version,
                "mobilecssurl": "",
                "userissiteadmin": False,
                "userprivateaccesskey": PRIVATE_KEY,
            }
        )

    # People

    def by_field(self, field: str, values: list[str]) -> Answer:
        """Find people by one field; one ill-formed username fails the whole call."""
        if field not in {"id", "idnumber", "username", "email"}:
            raise Refused(self.permissions.error("codingerror", text=f"invalid field: {field}"))
        wanted = self._cleaned(field, values)
        found = [each for each in self._visible(self._matching(field, wanted)) if self._may_search(field, each)]
        return _found([self._person(each) for each in found])

    def by_criteria(self, criteria: list[dict[str, Any]]) -> Answer:
        """Find people by criteria that must all hold; an unknown key is only a warning, and everybody is found."""
        tests: dict[str, Callable[[Account], bool]] = {}
        warnings = []
        for each in criteria:
            key, value = each["key"], each["value"]
            if key in tests:
                raise Refused(self.permissions.error("keyalreadyset"))
            test = self._criterion(key, value)
            if test is None:
                text = f"The search key '{key}' is not supported, look at the web service documentation"
                warnings.append({"item": key, "warningcode": "invalidfieldparameter", "message": text})
            else:
                tests[key] = test
        matching = [
            each for each in self.site.standing() if each.id != GUEST and all(test(each) for test in tests.values())
        ]
        found = [each for each in self._visible(matching) if all(self._may_search(key, each) for key in tests)]
        return _found({"users": [self._person(each) for each in found], "warnings": warnings})

    def _cleaned(self, field: str, values: list[str]) -> list[str]:
        if field == "username":
            clean = extended_username if self.options.extended_usernames else plain_username
            return [clean(value) for value in values]
        if field == "id":
            return [str(id_) for id_ in fit(Several(Value(whole)), dict(enumerate(values)))]
        return [value for value in values if field != "email" or is_email(value)]

    def _matching(self, field: str, values: list[str]) -> list[Account]:
        site = self.site
        if field == "id":
            # The deleted too: only here they are still found.
            found = (site.accounts.get(int(value)) for value in values)
        elif field == "username":
            found = (site.by_username(value) for value in values)
        elif field == "email":
            found = (each for value in values for each in site.by_email(value) if site.same(each.email, value))
        else:
            wanted = {site.collated(value) for value in values}
            found = (each for each in site.standing() if site.collated(each.idnumber) in wanted)
        there = {each.id: each for each in found if each is not None and (field == "id" or not each.deleted)}
        return site.ordered(there.values())

    def _criterion(self, key: str, value: str) -> Callable[[Account], bool] | None:
        if key == "id":
            return lambda each: str(each.id) == value
        if key == "username":
            return lambda each: each.username == value.lower()
        if key == "idnumber":
            return lambda each: self.site.same(each.idnumber, value)
        if key == "auth":
            return lambda each: each.auth == value
        if key in {"email", "firstname", "lastname"}:
            pattern = _like(value)
            return lambda each: bool(pattern.fullmatch(getattr(each, key)))
        return None

    def _visible(self, people: list[Account]) -> list[Account]:
        if self.permissions.may("moodle/user:viewdetails"):
            return people
        return [each for each in people if each.id == SERVICE]

    def _may_search(self, field: str, account: Account) -> bool:
        """Whether the account may find somebody by a field: else they are absent, without a word."""
        if account.id == SERVICE:
            return True
        if field in {"firstname", "lastname"}:
            return not self.old or self.options.views_full_names
        needed = {"username": "moodle/user:viewalldetails", "email": "moodle/site:viewuseridentity"}.get(field)
        return needed is None or self.permissions.may(needed)

    def _person(self, account: Account) -> dict[str, Any]:
        own = account.id == SERVICE
        row: dict[str, Any] = {"id": account.id}
        if own or self.permissions.may("moodle/user:viewalldetails"):
            row["username"] = account.username
        if not self.old or self.options.views_full_names:
            row |= {"firstname": account.firstname, "lastname": account.lastname}
        row["fullname"] = f"{account.firstname} {account.lastname}"
        if own or self.permissions.may("moodle/site:viewuseridentity"):
            row["email"] = account.email
        row["department"] = account.fields.get("department", "")
        if account.idnumber:
            row["idnumber"] = account.idnumber
        row |= {
            "firstaccess": 0,
            "lastaccess": 0,
            "auth": account.auth,
            "suspended": account.suspended,
            "confirmed": True,
            "lang": account.fields.get("lang", "en"),
            "theme": "",
            "timezone": account.fields.get("timezone", "99"),
            "mailformat": 1,
        }
        if not self.old:
            row["trackforums"] = 0
        row |= {name: account.fields[name] for name in ("city", "country") if account.fields.get(name)}
        if account.profile:
            row["customfields"] = [
                {"type": "text", "value": value, "displayvalue": value, "name": name.title(), "shortname": name}
                for name, value in account.profile.items()
            ]
        return row

    # Courses

    def courses_by_field(self, field: str, value: str) -> Answer:
        """Find courses by one field; hidden ones only with the capability for it."""
        courses = [each for each in self.site.courses.values() if self._sees(each)]
        if field == "":
            found = courses
        elif field in {"id", "ids"}:
            wanted = fit(Several(Value(whole)), dict(enumerate(value.split(","))))
            found = [each for each in courses if each.id in wanted]
        elif field in {"shortname", "idnumber"}:
            found = [each for each in courses if value and self.site.same(getattr(each, field), value)]
        elif field == "category":
            found = courses if value == "1" else []
        else:
            raise invalid()
        return _found({"courses": [self._course(each) for each in found], "warnings": []})

    def courses(self, ids: list[int] | None) -> Answer:
        """List courses; without ids all, the site itself among them."""
        site = MoodleCourse(id=SITE_COURSE, fullname="Sandbox Moodle", shortname="sandbox", methods=())
        every = [site, *filter(self._sees, self.site.courses.values())]
        return _found([self._course(each) for each in every if not ids or each.id in ids])

    def _sees(self, course: MoodleCourse) -> bool:
        return course.visible or self.permissions.may("moodle/course:viewhiddencourses")

    @staticmethod
    def _course(course: MoodleCourse) -> dict[str, Any]:
        return {
            "id": course.id,
            "fullname": course.fullname,
            "displayname": course.fullname,
            "shortname": course.shortname,
            "categoryid": 0 if course.id == SITE_COURSE else 1,
            "enrollmentmethods": list(course.methods),
            "idnumber": course.idnumber,
            "visible": int(course.visible),
            "enablecompletion": 1,
            "startdate": _START,
            "enddate": 0,
        }

    # Who is enrolled

    def enrolled(self, course_id: int, options: dict[str, str], at: float) -> Answer:
        """List who is enrolled on a course; the row does not say whether the enrolment is active."""
        if course_id != SITE_COURSE and course_id not in self.site.courses:
            raise Refused(
                self.permissions.error("invalidrecord" if self.old else "invalidrecordunknown", table="course")
            )
        if not self.permissions.may("moodle/course:view"):
            raise Refused(self.permissions.error("errorcoursecontextnotvalid"))
        if not self.permissions.may("moodle/user:viewdetails"):
            return _found([])
        people = self.site.on_course(course_id) if course_id in self.site.courses else {}
        listed = [id_ for id_ in sorted(people) if _wanted(people[id_], options, at)]
        first = int(options.get("limitfrom", "0"))
        last = first + int(options["limitnumber"]) if int(options.get("limitnumber", "0")) else None
        names = options.get("userfields", "")
        return _found([self._participant(id_, course_id, names, at) for id_ in listed[first:last]])

    def courses_of(self, user_id: int, at: float) -> Answer:
        """List the courses on which somebody's enrolment is active."""
        if not self.permissions.may("moodle/course:view"):
            return _found([])
        return _found(
            [
                {
                    "id": course.id,
                    "shortname": course.shortname,
                    "fullname": course.fullname,
                    "displayname": course.fullname,
                    "enrolledusercount": len(self.site.on_course(course.id)),
                    "idnumber": course.idnumber,
                    "visible": int(course.visible),
                    "progress": None,
                    "completed": False,
                    "completionhascriteria": False,
                    "completionusertracked": True,
                    "startdate": _START,
                    "enddate": 0,
                    "lastaccess": None,
                }
                for course in self._active_courses(user_id, at)
            ]
        )

    def _active_courses(self, user_id: int, at: float) -> list[MoodleCourse]:
        return [
            course
            for course in self.site.courses.values()
            if self._sees(course) and any(each.active(at) for each in self.site.enrolments_of(course.id, user_id))
        ]

    def _participant(self, user_id: int, course_id: int, names: str, at: float) -> dict[str, Any]:
        account = self.site.accounts[user_id]
        person = self._person(account)
        short_names = dict(self.options.roles)
        row: dict[str, Any] = {
            name: person[name]
            for name in ("id", "username", "firstname", "lastname", "fullname", "email", "department", "idnumber")
            if name in person
        }
        row |= {"firstaccess": 0, "lastaccess": 0, "lastcourseaccess": 0}
        row["roles"] = [
            {"roleid": role, "name": "", "shortname": short_names.get(role, f"role{role}"), "sortorder": 0}
            for role in sorted(self.site.roles.get((course_id, user_id), ()))
        ]
        chosen = {each.strip() for each in names.split(",")} | {"fullname"} if names else None
        if chosen is None or "enrolledcourses" in chosen:
            row["enrolledcourses"] = [
                {"id": course.id, "fullname": course.fullname, "shortname": course.shortname}
                for course in self._active_courses(user_id, at)
            ]
        return row if chosen is None else {name: value for name, value in row.items() if name in chosen}


def _wanted(enrolments: list[Enrolment], options: dict[str, str], at: float) -> bool:
    active = any(each.active(at) for each in enrolments)
    if options.get("onlyactive") == "1":
        return active
    return not active if options.get("onlysuspended") == "1" else True


def _like(text: str) -> re.Pattern[str]:
    """Return what SQL's LIKE does, in any letter case: `%` and `_` are wild."""
    wild = {"%": ".*", "_": "."}
    return re.compile("".join(wild.get(each) or re.escape(each) for each in text), re.IGNORECASE | re.DOTALL)


def _found(payload: Any) -> Answer:
    return Answer(status=200, payload=payload)
