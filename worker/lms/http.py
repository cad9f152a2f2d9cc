"""The one door to an LMS: pace, time-outs, and every error of the HTTP library translated into ours.

`Wire` is the open line to one account, kept across batches; `Door` is a job's way through it, and counts its calls.
Only `notifications/http.py` (webhooks) imports the HTTP library besides this module.
"""

from __future__ import annotations

import json
import random
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from worker import __version__
from worker.errors import AnswerLost, LmsUnavailable, RateLimited, StopJob
from worker.lms.responses import Answer, judge, parse
from worker.pace.hints.headers import seconds_of_date
from worker.pace.hints.response import Hints, read_hints

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.lms.contract import Intent
    from worker.pace.limiter import Gate

#: An idle connection is let go before common servers do (5 s), so that no call is lost on a line just closed.
KEEP_ALIVE_SECONDS = 3.0
CONNECT_SECONDS = 10.0
LONGEST_BACKOFF = 30.0
#: Reads are safe to repeat: so often, with so much between (seconds).
READ_PAUSES = (0.3, 1.0, 3.0)

#: As httpx encodes; given to it encoded, since it would put the headers of each request together three times.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_JSON = httpx.Headers({"Content-Type": "application/json"})


@dataclass(slots=True)
class Wire:
    """The open line to one account of one LMS."""

    #: httpx's transport without its client, which merges URLs, headers and cookies anew at each call: that takes as
    #: much of the processor as the call itself.
    transport: httpx.AsyncBaseTransport
    base_url: str
    #: The time-outs of a call, as the transport takes them.
    extensions: Mapping[str, Any]
    gate: Gate
    #: Connections that could not be opened since the last one that could.
    failures: int = 0
    #: The LMS's clock less ours, in seconds, as its last answer showed it.
    clock_ahead: float = 0.0
    #: Whether any answer has come yet.
    answered: bool = False

    async def send(self, method: str, path: str, **content: Any) -> tuple[Answer, Hints]:
        """Send one request and return the answer with what it says about limits.

        Raises LmsUnavailable when no connection was opened, AnswerLost when one was and no answer came.
        """
        try:
            response = await self._answer(method, path, **content)
        except Exception as error:  # noqa: BLE001 - whatever broke, the request may have been sent
            if _never_opened(error):
                raise self._unopened(error) from None
            raise AnswerLost(f"The connection broke before an answer came ({type(error).__name__})") from None
        self.failures, self.answered = 0, True
        # As a plain dictionary: httpx's own decodes and compares all names at each look.
        headers = {name.decode("latin-1").lower(): text.decode("latin-1") for name, text in response.headers.raw}
        answer = parse(response.status_code, headers, response.content)
        at = time.time()
        hints = read_hints(response.status_code, headers, answer.text, now=at)
        if "date" in headers:
            self.clock_ahead = _date(headers["date"], at) - at
        return answer, hints

    async def close(self) -> None:
        """Close the line."""
        await self.transport.aclose()

    async def _answer(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Send one request and return the answer, read to its end."""
        if "json" in content:
            content |= {"stream": httpx.ByteStream(_encode(content.pop("json")).encode()), "headers": _JSON}
        request = httpx.Request(method, _url(self.base_url, path), extensions=self.extensions, **content)
        request.read()
        response = await self.transport.handle_async_request(request)
        try:
            await response.aread()
        finally:
            await response.aclose()
        return response

    def _unopened(self, error: Exception) -> LmsUnavailable | StopJob:
        if isinstance(error.__cause__, aiohttp.ClientConnectorCertificateError):
            return StopJob(
                "certificate_refused", "The LMS's certificate is not valid for this address; check base_url"
            )
        self.failures += 1
        ceiling = min(0.25 * 2**self.failures, LONGEST_BACKOFF)
        seconds = random.uniform(ceiling / 2, ceiling)  # noqa: S311 - spreads herds, guards nothing
        return LmsUnavailable(seconds, f"The LMS at {self.base_url} cannot be reached")


#: With these a row ends that its batch began with another call.
LAST_CALLS = frozenset({"register", "create_registration"})


@dataclass(slots=True)
class Door:
    """A job's way to the LMS, one call at a time through the pace of its credential."""

    wire: Wire
    #: Which job asks.
    lane: str = ""
    #: How many rows the job has left: a short job's calls go first.
    rows_left: Callable[[], int] = lambda: 0
    calls: Counter[str] = field(default_factory=Counter)
    rate_limited: int = 0

    async def read(self, operation: str, path: str, params: Mapping[str, Any] | None = None) -> Answer:
        """Make a call that changes nothing; what was lost on the way is asked again a few times."""
        for pause in (*READ_PAUSES, None):
            try:
                return await self._call(operation, "GET", path, params=params)
            except RateLimited as later:
                if later.seconds > self.wire.gate.longest_wait:
                    raise
            except AnswerLost:
                if pause is None:
                    raise
                await self.wire.gate.clock.sleep(pause)
        return await self._call(operation, "GET", path, params=params)

    async def change(self, operation: str, method: str, path: str, body: Any, intent: Intent) -> Answer:
        """Make a call that changes something: leave of the pace, then the intent, then the first byte.

        A `body` of None is no body at all.
        """
        content = {} if body is None else {"json": body}
        return await self._call(operation, method, path, intent=intent, **content)

    async def _call(
        self, operation: str, method: str, path: str, *, intent: Intent | None = None, **content: Any
    ) -> Answer:
        leave = await self.wire.gate.enter(*self._line(operation))
        if intent is not None:
            try:
                await intent()
            except BaseException:
                self.wire.gate.give_back(leave)
                raise
        hints: Hints | None = None
        try:
            self.calls[operation] += 1
            answer, hints = await self.wire.send(method, path, **content)
        except LmsUnavailable:
            self.calls[operation] -= 1
            raise
        finally:
            self.wire.gate.leave(leave, hints)
        self.rate_limited += hints.throttled
        return judge(answer, hints, changes=intent is not None)

    def _line(self, operation: str) -> tuple[str, int]:
        """Return the line in which a call waits, and how short the job is.

        What ends a batch goes before what begins more of it. Else all batches at work end at once, and nothing
        waits for leave until the next ones have begun.
        """
        if operation in LAST_CALLS:
            return f"{self.lane} {operation}", self.rows_left() - 1
        return self.lane, self.rows_left()


def _never_opened(error: Exception) -> bool:
    """Tell whether surely nothing was sent.

    The transport maps a reset in mid-call to httpx.ConnectTimeout as well: its cause decides, not its class.
    """
    return isinstance(error.__cause__, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


@lru_cache(maxsize=256)
def _url(base_url: str, path: str) -> httpx.URL:
    """Return the address of a path below `base_url`; remembered, since most calls go to one of a few."""
    return httpx.URL(f"{base_url.rstrip('/')}/{path.lstrip('/')}")


#: An LMS that answers fast gives the same date many times a second.
_seconds_of_date = lru_cache(maxsize=4)(seconds_of_date)


def _date(header: str, fallback: float) -> float:
    seconds = _seconds_of_date(header)
    return fallback if seconds is None else seconds


def _open_session(in_flight: int, context: ssl.SSLContext, headers: Mapping[str, str]) -> aiohttp.ClientSession:
    """Open the session below the transport: it sends nothing by itself a second time, and keeps no cookies."""
    connector = aiohttp.TCPConnector(limit=in_flight, keepalive_timeout=KEEP_ALIVE_SECONDS, ssl=context)
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers=headers)
    # aiohttp repeats a PUT or DELETE by itself on a line that broke, unseen by the pace and the ledger; it has no
    # public switch for that.
    session._retry_connection = False  # noqa: SLF001
    return session


def open_wire(
    base_url: str, headers: Mapping[str, str], gate: Gate, *, in_flight: int, timeout_seconds: float
) -> Wire:
    """Open the line to an account; redirects are not followed, proxies and .netrc of the machine are not used."""
    # httpx's context takes its own list of authorities, or that of SSL_CERT_FILE; loading it takes a while.
    secure = base_url.startswith("https://")
    context = httpx.create_ssl_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    headers = {
        "User-Agent": f"roster/{__version__}",
        "Accept": "application/json",
        # What httpx can take apart, whatever else is installed here.
        "Accept-Encoding": "gzip, deflate",
        **headers,
    }
    return Wire(
        transport=AiohttpTransport(verify=context, client=partial(_open_session, in_flight, context, headers)),
        base_url=base_url,
        extensions={"timeout": httpx.Timeout(timeout_seconds, connect=CONNECT_SECONDS, pool=None).as_dict()},
        gate=gate,
    )
