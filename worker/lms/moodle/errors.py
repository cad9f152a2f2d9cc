"""What an answer of Moodle means. Pure.

Moodle reports its own errors with HTTP 200 and an object that has the key `exception`; only `errorcode` says which
one it is. Other statuses come from the web server, the gateway or PHP. `debuginfo`, where a site shows it, may hold
passwords and personal data: it is never read.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.addresses import masked
from worker.errors import AnswerLost, LmsUnavailable, RateLimited, Refused, StopJob
from worker.lms.contract import CALL_TOO_LARGE
from worker.lms.responses import MAX_MESSAGE_LENGTH, error_message

if TYPE_CHECKING:
    from worker.lms.responses import LmsResponse
    from worker.pace.hints.response import Hints

_DONE = 200
_REDIRECT, _CLIENT_ERROR, _SERVER_ERROR = 300, 400, 500
_FORBIDDEN, _NOT_FOUND, _TIMEOUT, TOO_LARGE = 403, 404, 408, 413
#: How long until a site that is closed for a while is tried again (seconds).
RETRY_SECONDS = 5.0
#: The site does nothing now, and says so.
_LATER = {
    "sitemaintenance": "The site is in maintenance mode",
    "upgraderunning": "The site is being upgraded",
    "dbconnectionfailed": "The site cannot reach its database",
}
_REFUSED_TO_ACCOUNT = (
    "Check that the token is valid here and may be used from this address, that its service is enabled and "
    "contains the function, that the account is an authorised user of the service and has webservice/rest:use"
)
#: Every call of the account fails until somebody has changed something.
_STOPS = {
    "invalidtoken": "The site does not know the token; check the token of this connection. An expired one is "
    "deleted when it is used",
    "accessexception": f"The site refuses the account. {_REFUSED_TO_ACCOUNT}",
    "wsaccessusersuspended": "The service account is suspended; activate it",
    "sitepolicynotagreed": "The service account has not agreed to the site policy; sign in as it once and agree",
    "forcepasswordchangenotice": "The service account must change its password first; sign in as it once",
}
#: A conflict in the database, or a value that does not fit: nothing was written by this call.
WRITE_CONFLICT = "dmlwriteexception"
#: A value that Moodle refuses, or a user who exists; it says neither which nor whose.
INVALID_PARAMETER = "invalidparameter"
NO_PERMISSION = "nopermissions"
PASSWORD_POLICY = "password_policy"  # noqa: S105 - the name of an error
_XML_CODE = re.compile(r"<ERRORCODE>([^<]*)</ERRORCODE>")
_TAG = re.compile(r"<[^<>]*>")


@dataclass(frozen=True, slots=True)
class MoodleError:
    """An error that Moodle itself reported."""

    code: str
    message: str


def check_answer(response: LmsResponse, hints: Hints, *, changes: bool) -> LmsResponse:  # noqa: ARG001 - as Check
    """Return a successful response; raise the error that any other one means.

    A `Refused` has Moodle's `errorcode` as its code: the connector decides what it means for a row.
    """
    if hints.throttled:
        raise RateLimited(hints.retry_after or 0.0, f"The LMS asked for a pause ({response.status})")
    if response.status >= _REDIRECT:
        raise _of_status(response)
    if response.status != _DONE:
        raise AnswerLost(f"The LMS answered {response.status} instead of a result", response.status)
    error = error_of(response)
    if error is not None:
        raise _of_error(error, response)
    if response.body is None and response.text.strip() != "null":
        raise AnswerLost("The LMS answered with something that is not JSON; it may have done the work", 200)
    return response


def _of_status(response: LmsResponse) -> Exception:
    status = response.status
    if status >= _SERVER_ERROR or status == _TIMEOUT:
        return AnswerLost(f"The LMS answered {status} ({_said(response)}); it may have done the work", status)
    if status < _CLIENT_ERROR:
        where = masked(response.headers.get("location", "another address")).partition("?")[0]
        return StopJob(
            "redirected",
            f"Wrong address: the site redirects to {where}. Set base_url to exactly the site's own address "
            "(its wwwroot); nothing was sent there",
            status,
        )
    if status == _FORBIDDEN:
        return StopJob(
            "credentials_refused",
            "The site answers 403: its web services or their REST protocol are off. Turn them on, then resume",
            status,
        )
    if status == _NOT_FOUND:
        return StopJob("redirected", "There is no Moodle web service at this address (404); check base_url", status)
    if status == TOO_LARGE:
        return Refused(CALL_TOO_LARGE, status, "The web server accepts no call of this size")
    return Refused("refused", status, _said(response))


def _said(response: LmsResponse) -> str:
    """Return the message of an answer with another status; of Moodle's own JSON only that field."""
    if isinstance(response.body, dict):
        return plain(str(response.body.get("message") or "")) or "no message"
    return error_message(response)


def error_of(response: LmsResponse) -> MoodleError | None:
    """Return the error in an answer with status 200; None when it is none."""
    body = response.body
    if isinstance(body, dict) and "exception" in body:
        return MoodleError(str(body.get("errorcode") or ""), plain(str(body.get("message") or "")))
    if body is None and "<EXCEPTION" in response.text and (code := _XML_CODE.search(response.text)):
        # The control fields come first: the answer is XML only when PHP received none of them.
        return MoodleError(CALL_TOO_LARGE if code[1] == "invalidtoken" else code[1], "The answer is XML")
    return None


def plain(text: str) -> str:
    """Return a message without its HTML, on one line."""
    words = html.unescape(_TAG.sub(" ", text)).split()
    return " ".join(words).removeprefix("error/").strip()[:MAX_MESSAGE_LENGTH]


def _of_error(error: MoodleError, response: LmsResponse) -> Exception:
    code, status = error.code, response.status
    if code in _LATER:
        return LmsUnavailable(RETRY_SECONDS, _LATER[code])
    if code in _STOPS:
        return StopJob("credentials_refused", f"{_STOPS[code]} ({code}), then resume the job", status)
    if code.startswith("<"):
        return Refused(PASSWORD_POLICY, status, plain(code))
    if code == CALL_TOO_LARGE:
        return Refused(code, TOO_LARGE, "The server cut the call off: it is larger than post_max_size")
    return Refused(code or "refused", status, error.message or code or "no message")
