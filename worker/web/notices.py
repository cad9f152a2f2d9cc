"""One-time messages: what an action did, shown on the next page and not again when that page is reloaded.

A message is in a cookie of the browser that acted, never in the address. It is signed with what only that browser
and this server know, so nobody else can put words on a page; it names the page that shows it, so that other tabs
leave it alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
from starlette.responses import RedirectResponse, Response

from worker.web import csrf

if TYPE_CHECKING:
    from starlette.requests import Request

SEE_OTHER = 303
COOKIE = "roster_notice"
#: The header of requests by the script that keeps pages up to date: they neither show nor delete a message.
FOLLOW_HEADER = "X-Roster-Follow"
#: How long a message waits for its page (seconds), and how long it is at most (characters): a cookie is short.
MAX_AGE_SECONDS, MAX_TEXT = 120, 700


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message for the page at `path`."""

    text: str
    tone: str
    path: str
    made_at: float
    #: What was typed into a form that was refused, by field.
    typed: dict[str, str] = field(default_factory=dict)

    @property
    def role(self) -> str:
        """Return the ARIA role: an error is read out at once."""
        return "alert" if self.tone in {"bad", "warn"} else "status"


def redirect(
    request: Request,
    url: str,
    text: str,
    *,
    tone: str = "info",
    typed: dict[str, str] | None = None,
    key: str = "",
) -> RedirectResponse:
    """Redirect to a page that shows a message once.

    `key` signs the message; by default it is the token of the caller's forms.
    """
    answer = RedirectResponse(url, SEE_OTHER)
    shortened = text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
    notice = Notice(text=shortened, tone=tone, path=urlsplit(url).path, made_at=time.time(), typed=typed or {})
    content = base64.urlsafe_b64encode(msgspec.json.encode(notice)).decode()
    signature = _signature(key or request.state.caller.csrf_token, content)
    csrf.set_cookie(request, answer.headers, COOKIE, f"{content}.{signature}", max_age=MAX_AGE_SECONDS)
    return answer


def take(request: Request) -> Notice | None:
    """Return the message for this page; None when there is none, or when a script only keeps a page up to date."""
    content, _, signature = csrf.cookie_of(request, COOKIE).partition(".")
    caller = getattr(request.state, "caller", None)
    if not content or caller is None or not caller.csrf_token or FOLLOW_HEADER in request.headers:
        return None
    if not hmac.compare_digest(_signature(caller.csrf_token, content).encode(), signature.encode()):
        return None
    try:
        notice = msgspec.json.decode(base64.urlsafe_b64decode(content), type=Notice)
    except (ValueError, binascii.Error, msgspec.DecodeError):
        return None
    is_recent = 0 <= time.time() - notice.made_at <= MAX_AGE_SECONDS
    return notice if is_recent and notice.path == request.url.path else None


def clear(request: Request, response: Response) -> None:
    """Delete the message that a page has shown."""
    csrf.delete_cookie(request, response.headers, COOKIE)


def _signature(key: str, content: str) -> str:
    return hmac.new(f"notice:{key}".encode(), content.encode(), hashlib.sha256).hexdigest()
