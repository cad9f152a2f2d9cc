"""How the pretend Moodle words its errors: HTTP 200 with an error code; HTML from the layers before it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from xml.sax.saxutils import escape

from worker.sandbox.messages import Answer, Refused

HTML = b"text/html; charset=utf-8"
#: Every one of them is byte for byte the same: neither record nor field is named.
INVALID = "Invalid parameter value detected"
ACCESS = "Access control exception"
#: Classes that have no namespace in any version.
_BARE = frozenset(
    {
        "webservice_access_exception",
        "dml_write_exception",
        "dml_missing_record_exception",
        "dml_connection_exception",
    }
)
_ERRORS = {
    "invalidparameter": ("invalid_parameter_exception", INVALID),
    "invalidtoken": ("moodle_exception", "Invalid token - token not found"),
    "accessexception": ("webservice_access_exception", ACCESS),
    "dmlwriteexception": ("dml_write_exception", "Error writing to database"),
    "invalidrecordunknown": ("dml_missing_record_exception", "Can't find data record in database."),
    "invalidrecord": ("dml_missing_record_exception", "Can't find data record in database table {table}."),
    "codingerror": ("coding_exception", "Coding error detected, it must be fixed by a programmer: {text}"),
    "userdeleted": ("moodle_exception", "error/userdeleted"),
    "invaliduser": ("moodle_exception", "Invalid user"),
    "useradminodelete": ("moodle_exception", "Admin accounts can not be deleted"),
    "usernotdeletederror": ("moodle_exception", "User not deleted error"),
    "nopermissions": (
        "required_capability_exception",
        "Sorry, but you do not currently have permissions to do that ({what}).",
    ),
    "wsusercannotassign": (
        "moodle_exception",
        (
            "You don't have the permission to assign this role ({role}) to this user ({user}) "
            "in this course ({course})."
        ),
    ),
    "wsnoinstance": (
        "moodle_exception",
        "Manual enrolment plugin instance doesn't exist or is disabled for the course (id = {course})",
    ),
    "requireloginerror": ("require_login_exception", "Course or activity not accessible."),
    "errorcoursecontextnotvalid": ("moodle_exception", "You cannot execute functions in the course context."),
    "keyalreadyset": ("moodle_exception", "error/keyalreadyset"),
    "wsaccessusersuspended": (
        "moodle_exception",
        "Refused web service access for suspended username: {account}",
    ),
    "sitemaintenance": (
        "moodle_exception",
        "The site is undergoing maintenance and is currently not available",
    ),
    "upgraderunning": ("moodle_exception", "Site is being upgraded, please retry later."),
    "dbconnectionfailed": (
        "dml_connection_exception",
        "<p>Error: Database connection failed</p><p>It is possible that the database is overloaded.</p>",
    ),
    "sitepolicynotagreed": (
        "moodle_exception",
        'Site policy not agreed: <a href="/user/policy.php">link to site policy</a>',
    ),
    "forcepasswordchangenotice": ("moodle_exception", "error/forcepasswordchangenotice"),
}


def error(code: str, *, namespaced: bool = True, as_xml: bool = False, **words: Any) -> Answer:
    """Return the answer of one of Moodle's own errors; `namespaced` as versions from 4.5 have the class."""
    name, message = _ERRORS[code]
    return custom(name, code, message.format(**words), namespaced=namespaced, as_xml=as_xml)


def custom(name: str, code: str, message: str, *, namespaced: bool = True, as_xml: bool = False) -> Answer:
    """Return the answer of an exception of this class."""
    return exception(
        name if name in _BARE or not namespaced else f"core\\exception\\{name}", code, message, as_xml=as_xml
    )


def exception(full: str, code: str, message: str, *, as_xml: bool = False) -> Answer:
    """Return the answer of an exception whose class is given in full."""
    if as_xml:
        return Answer(
            status=HTTPStatus.OK,
            raw=(
                f'<?xml version="1.0" encoding="UTF-8" ?>\n<EXCEPTION class="{escape(full)}">\n'
                f"<ERRORCODE>{escape(code)}</ERRORCODE>\n<MESSAGE>{escape(message)}</MESSAGE>\n</EXCEPTION>\n"
            ).encode(),
            content_type=b"application/xml; charset=utf-8",
        )
    return Answer(status=HTTPStatus.OK, payload={"exception": full, "errorcode": code, "message": message})


def invalid() -> Refused:
    """Return the refusal of a parameter, whichever it is."""
    return Refused(error("invalidparameter"))


def page(status: int, text: str = "", **headers: str) -> Answer:
    """Return a page of the web server before Moodle; `retry_after=300` becomes a header."""
    title = f"{status} {HTTPStatus(status).phrase}"
    body = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<h1>{text or title}</h1>\r\n"
    given = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())
    return Answer(status=status, raw=f"{body}</body>\r\n</html>\r\n".encode(), content_type=HTML, headers=given)


#: What a status that a fault asks for is in Moodle's words.
_BY_STATUS = {401: "invalidtoken", 403: "accessexception", 404: "invalidrecordunknown"}


def problem(status: int, _text: str) -> Answer:
    """Return a refusal: Moodle's own are HTTP 200 and name nobody; 413 and 5xx come from the web server."""
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return page(status)
    return error(_BY_STATUS.get(status, "invalidparameter"))


def as_xml(value: Any) -> bytes:
    """Return an answer as Moodle writes it to a caller that did not ask for JSON."""
    return f'<?xml version="1.0" encoding="UTF-8" ?>\n<RESPONSE>\n{_xml(value)}</RESPONSE>\n'.encode()


def _xml(value: Any) -> str:
    if isinstance(value, list):
        return "<MULTIPLE>\n" + "".join(map(_xml, value)) + "</MULTIPLE>\n"
    if isinstance(value, dict):
        keys = (f'<KEY name="{name}">{_xml(each)}</KEY>\n' for name, each in value.items())
        return "<SINGLE>\n" + "".join(keys) + "</SINGLE>\n"
    if value is None:
        return '<VALUE null="null"/>\n'
    text = str(int(value)) if isinstance(value, bool) else str(value)
    return f"<VALUE>{escape(text)}</VALUE>\n"
