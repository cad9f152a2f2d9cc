"""The web service of the pretend Moodle: one address, a function by name, the token among the fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar

from worker.sandbox.choices import seed_registrations
from worker.sandbox.messages import UNKNOWN, Answer, Call, Person, Refused, Request, Route, Work, header
from worker.sandbox.moodle import errors, form
from worker.sandbox.moodle.enrolments import Enrolments
from worker.sandbox.moodle.form import Form
from worker.sandbox.moodle.look_ups import LookUps
from worker.sandbox.moodle.options import MoodleOptions, SiteState, Version
from worker.sandbox.moodle.permissions import Permissions
from worker.sandbox.moodle.shapes import fit, shapes
from worker.sandbox.moodle.site import FIRST, Account, Enrolment, Site, seed_people
from worker.sandbox.moodle.users import Finish, Users
from worker.sandbox.options import Options
from worker.sandbox.systems import Connection


class Operation(StrEnum):
    """What a call asks for: each is a function of the service."""

    SITE_INFO = "site_info"
    CREATE_USERS = "create_users"
    UPDATE_USERS = "update_users"
    DELETE_USERS = "delete_users"
    FIND_USERS = "find_users"
    SEARCH_USERS = "search_users"
    FIND_COURSES = "find_courses"
    LIST_COURSES = "list_courses"
    ENROL_USERS = "enrol_users"
    UNENROL_USERS = "unenrol_users"
    LIST_ENROLLED = "list_enrolled"
    LIST_COURSES_OF_USER = "list_courses_of_user"


BASE = "/moodle/"
_SERVER = f"{BASE}webservice/rest/server.php"
#: Seconds on the measured machine: a call, and each record of it.
_CALL_SECONDS = 0.025
_RECORD_SECONDS: dict[str, float] = {
    Operation.CREATE_USERS: 0.008,
    Operation.UPDATE_USERS: 0.008,
    Operation.ENROL_USERS: 0.005,
    Operation.UNENROL_USERS: 0.005,
}
_ROW_SECONDS = 0.0035
FUNCTIONS = {
    "core_webservice_get_site_info": Operation.SITE_INFO,
    "core_user_create_users": Operation.CREATE_USERS,
    "core_user_update_users": Operation.UPDATE_USERS,
    "core_user_delete_users": Operation.DELETE_USERS,
    "core_user_get_users_by_field": Operation.FIND_USERS,
    "core_user_get_users": Operation.SEARCH_USERS,
    "core_course_get_courses_by_field": Operation.FIND_COURSES,
    "core_course_get_courses": Operation.LIST_COURSES,
    "enrol_manual_enrol_users": Operation.ENROL_USERS,
    "enrol_manual_unenrol_users": Operation.UNENROL_USERS,
    "core_enrol_get_enrolled_users": Operation.LIST_ENROLLED,
    "core_enrol_get_users_courses": Operation.LIST_COURSES_OF_USER,
}
#: Answered whatever the site policy and a pending password change say.
_WITHOUT_CONTEXT = frozenset({Operation.SITE_INFO, Operation.FIND_COURSES, Operation.LIST_COURSES})
_BARRED = {
    SiteState.ACCESS: "accessexception",
    SiteState.SUSPENDED: "wsaccessusersuspended",
    SiteState.MAINTENANCE: "sitemaintenance",
    SiteState.UPGRADE: "upgraderunning",
    SiteState.DATABASE_DOWN: "dbconnectionfailed",
}


#: What a fault rule may have a call answer, whatever the site's state.
FAULTS = frozenset(
    {
        "accessexception",
        "dbconnectionfailed",
        "dmlwriteexception",
        "forcepasswordchangenotice",
        "invalidparameter",
        "invalidtoken",
        "sitemaintenance",
        "sitepolicynotagreed",
        "upgraderunning",
        "wsaccessusersuspended",
    }
)


class Moodle:
    """The site, and the functions that its service holds."""

    name = "moodle"
    title = "Moodle"
    base = BASE
    options_type = MoodleOptions
    readers: ClassVar[Mapping[str, Callable[[str], Any]]] = {"registered": seed_registrations}
    operations = frozenset(Operation)
    faults = FAULTS
    problem = staticmethod(errors.problem)
    id_fields: frozenset[str] = frozenset()

    def __init__(self, options: MoodleOptions, _shared: Options, now: float) -> None:
        self.options = options
        self.state = options.state
        self.tokens = [options.token, *options.more_tokens]
        self.deleted_tokens: set[str] = set()
        self.site = Site(options, now)
        seed_people(self.site, now)
        self.permissions = Permissions(options)
        self._users = Users(self.site, self.permissions)
        self._enrolments = Enrolments(self.site, self.permissions)
        self._look_ups = LookUps(self.site, self.permissions, FUNCTIONS)
        self._shapes = shapes(extended_usernames=options.extended_usernames)

    def fault(self, name: str) -> Answer:
        """Return one of Moodle's errors by its code."""
        return self.permissions.error(name, account="provsvc")

    def credentials(self) -> list[str]:
        """Return the tokens."""
        return self.tokens

    def account(self, request: Request) -> str | Answer:
        """Return the token of a request, or what the layers before the function answer."""
        early = self._early(request)
        if early is not None:
            return early
        asked = self._form(request)
        refused = partial(
            errors.error, namespaced=self.permissions.namespaced, as_xml=asked.as_xml, account="provsvc"
        )
        if asked.token not in self.tokens or asked.token in self.deleted_tokens:
            return refused("invalidtoken")
        if self.state is SiteState.TOKEN_EXPIRED:
            self.deleted_tokens.add(asked.token)
            return refused("accessexception")
        if self.state in _BARRED:
            return refused(_BARRED[self.state])
        if not self.permissions.may("webservice/rest:use"):
            return refused("accessexception")
        return asked.token

    def route(self, request: Request) -> Route | Answer:
        """Find out which function a request asks for."""
        if request.path != _SERVER:
            is_script = request.path.endswith(".php")
            return errors.page(HTTPStatus.NOT_FOUND, "File not found." if is_script else "")
        if request.method == "HEAD":
            return Answer(status=HTTPStatus.OK, raw=b"")
        asked = self._form(request)
        operation = FUNCTIONS.get(asked.function, UNKNOWN)
        return Route(operation=operation, handle=self._handle)

    def persons(self, call: Call) -> list[Person]:
        """Return those whom a call names."""
        asked: Form = call.form
        listed = [*_items(asked.fields.get("users")), *_items(asked.fields.get("enrolments"))]
        people = [self._named(each) for each in listed if isinstance(each, dict)]
        people += [self._known(str(id_)) for id_ in _items(asked.fields.get("userids"))]
        return people + [Person(name=str(value), email=str(value)) for value in _items(asked.fields.get("values"))]

    def counts(self) -> dict[str, Any]:
        """Return the figures for the page."""
        enrolments = self._enrolled()
        return {
            "candidates": sum(not each.deleted for each in self._people()),
            "seeded": self.options.seed_users,
            "registrations": len(enrolments),
            "by_course": dict(Counter(str(each.course_id) for each in enrolments)),
            "suspended": sum(each.suspended for each in enrolments),
            "mails_sent": self.mails_sent,
        }

    def candidate_rows(self) -> list[dict[str, Any]]:
        """Return everybody but the accounts that every site has; the deleted too."""
        return [
            {
                "id": str(each.id),
                "email": each.email,
                "username": each.username,
                "external_ids": {"idnumber": each.idnumber},
                "deleted": each.deleted,
                "suspended": each.suspended,
                "created": each.created,
                "fields": {
                    "username": each.username,
                    "firstname": each.firstname,
                    "lastname": each.lastname,
                    "auth": each.auth,
                    **each.fields,
                    **each.profile,
                },
            }
            for each in self._people()
        ]

    def registration_rows(self) -> list[dict[str, Any]]:
        """Return every enrolment, one a method."""
        return [
            {
                "id": str(each.id),
                "candidate_id": str(each.user_id),
                "email": self.site.accounts[each.user_id].email,
                "course_id": each.course_id,
                "method": each.method,
                "status": "Suspended" if each.suspended else "Active",
                "roles": sorted(self.site.roles.get((each.course_id, each.user_id), ())),
                "created": each.created,
            }
            for each in self._enrolled()
        ]

    def course_names(self) -> dict[str, str]:
        """Return the full names of the courses by id."""
        return {str(course.id): course.fullname for course in self.options.courses}

    def connection(self, url: str) -> Connection:
        """Return a connection with the first token."""
        values: dict[str, str | int] = {
            "base_url": f"{url}{BASE.rstrip('/')}",
            "token": self.options.token,
            "role": 5,
            "password": "change",
        }
        return Connection(name="academy", values=values, secrets=frozenset({"token"}))

    def _people(self) -> list[Account]:
        return [each for each in self.site.accounts.values() if each.id >= FIRST]

    def _enrolled(self) -> list[Enrolment]:
        return [each for course in self.site.enrolments.values() for each in course.values()]

    @property
    def mails_sent(self) -> int:
        """Return the number of mails with a new password."""
        return len(self.site.mailed)

    def duplicates(self) -> dict[str, int]:
        """Count the persons who are there more than once, by address; an enrolment cannot be."""
        people = self.site.standing()
        more = {each.email.lower() for each in people if len(self.site.by_email(each.email)) > 1}
        return {"persons": len(more), "registrations": 0}

    def _early(self, request: Request) -> Answer | None:
        """Return what the web server or PHP answers before Moodle looks at the token."""
        options = self.options
        if self.state is SiteState.PHP_DOWN:
            return errors.page(HTTPStatus.BAD_GATEWAY)
        if len(request.body) > options.client_max_body_size:
            return errors.page(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if options.wwwroot and not self._is_own(request):
            return errors.page(HTTPStatus.SEE_OTHER, "Redirect", location=options.wwwroot)
        if self.state is SiteState.MAINTENANCE_503:
            text = "This site is under maintenance"
            return errors.page(HTTPStatus.SERVICE_UNAVAILABLE, text, retry_after="300")
        if self.state is SiteState.OFF:
            return Answer(status=HTTPStatus.FORBIDDEN, raw=b"", content_type=errors.HTML)
        return None

    def _is_own(self, request: Request) -> bool:
        """Whether the site was asked under its own address; the scheme cannot be seen here."""
        host = self.options.wwwroot.partition("://")[2].partition("/")[0]
        return header(request.headers, b"host") == host

    def _form(self, request: Request) -> Form:
        if request.form is None:
            request.form = form.read(request, self.options.max_input_vars, self.options.post_max_size)
        asked: Form = request.form
        return asked

    def _handle(self, call: Call) -> Answer | Work:
        asked: Form = call.form
        try:
            outcome = self._asked(call, asked)
        except Refused as refused:
            return _written(refused.answer, asked)
        if isinstance(outcome, Answer):
            rows = outcome.payload if isinstance(outcome.payload, list) else []
            return self._timed(lambda: _written(outcome, asked), len(rows) * _ROW_SECONDS)
        records = len(next(iter(asked.fields.values()), {}))
        return self._timed(partial(_finished, outcome, asked), records * _RECORD_SECONDS.get(call.operation, 0.0))

    def _timed(self, finish: Finish, seconds: float) -> Answer | Work:
        if not self.options.slowness:
            return finish()
        return Work(seconds=(_CALL_SECONDS + seconds) * self.options.slowness, finish=finish)

    def _asked(self, call: Call, asked: Form) -> Answer | Finish:
        """Check the parameters and begin: what changes something does so when it is finished."""
        fault = self.permissions.error
        if not asked.function:
            raise errors.invalid()
        if asked.function not in FUNCTIONS:
            old = self.options.version is Version.OLD
            raise Refused(fault("invalidrecord" if old else "invalidrecordunknown", table="external_functions"))
        if asked.function in self.options.without:
            raise Refused(fault("accessexception"))
        given = fit(self._shapes[asked.function], asked.fields)
        if self.state in {SiteState.POLICY, SiteState.PASSWORD} and call.operation not in _WITHOUT_CONTEXT:
            listing = call.operation is Operation.LIST_ENROLLED
            raise Refused(fault("errorcoursecontextnotvalid" if listing else str(self.state)))
        return self._function(call, given)

    def _function(self, call: Call, given: dict[str, Any]) -> Answer | Finish:
        users, enrolments, look_ups = self._users, self._enrolments, self._look_ups
        at = call.at
        functions: dict[str, Callable[[], Answer | Finish]] = {
            Operation.CREATE_USERS: lambda: users.create(given["users"], at),
            Operation.UPDATE_USERS: lambda: users.update(given["users"], at),
            Operation.DELETE_USERS: lambda: users.delete(given["userids"], at),
            Operation.ENROL_USERS: lambda: enrolments.enrol(given["enrolments"], at),
            Operation.UNENROL_USERS: lambda: enrolments.unenrol(given["enrolments"], at),
            Operation.SITE_INFO: lambda: look_ups.site_info(self.options.wwwroot or "http://moodle.example"),
            Operation.FIND_USERS: lambda: look_ups.by_field(given["field"], given["values"]),
            Operation.SEARCH_USERS: lambda: look_ups.by_criteria(given["criteria"]),
            Operation.FIND_COURSES: lambda: look_ups.courses_by_field(
                given.get("field", ""), given.get("value", "")
            ),
            Operation.LIST_COURSES: lambda: look_ups.courses(given.get("options", {}).get("ids")),
            Operation.LIST_ENROLLED: lambda: look_ups.enrolled(
                given["courseid"], {each["name"]: each["value"] for each in given.get("options", [])}, at
            ),
            Operation.LIST_COURSES_OF_USER: lambda: look_ups.courses_of(given["userid"], at),
        }
        return functions[call.operation]()

    def _named(self, fields: dict[str, Any]) -> Person:
        if "userid" in fields or "email" not in fields:
            return self._known(str(fields.get("userid", fields.get("id", ""))))
        email = str(fields["email"])
        return Person(name=email, email=email, external_id=str(fields.get("idnumber", "")))

    def _known(self, id_: str) -> Person:
        account = self.site.accounts.get(int(id_)) if id_.isdecimal() else None
        if account is None:
            return Person(name=id_)
        return Person(name=id_, email=account.email, external_id=account.idnumber)


def _finished(finish: Finish, asked: Form) -> Answer:
    try:
        return _written(finish(), asked)
    except Refused as refused:
        return _written(refused.answer, asked)


def _written(answer: Answer, asked: Form) -> Answer:
    """Return an answer in the format that was asked for; XML is what comes without asking."""
    if not asked.as_xml or answer.raw is not None:
        return answer
    payload = answer.payload
    if isinstance(payload, dict) and "exception" in payload:
        return errors.exception(payload["exception"], payload["errorcode"], payload["message"], as_xml=True)
    return Answer(status=answer.status, raw=errors.as_xml(payload), content_type=b"application/xml; charset=utf-8")


def _items(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else []
