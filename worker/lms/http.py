"""The HTTP client of an LMS: rate limiting, time-outs, and every error of the HTTP library translated into ours.

`LmsSession` holds the open connections to one account and is kept across batches; `LmsClient` is one job's access
to it, and counts its calls. Only this module and `notifications/http.py` (webhooks) import the HTTP library.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

import aiohttp
import httpx
import structlog
from httpx_aiohttp import AiohttpTransport

from worker import __version__, logs
from worker.errors import AnswerLost, LmsUnavailable, RateLimited, StopJob
from worker.lms.responses import LmsResponse, check_response, parse
from worker.pace.hints.headers import seconds_of_date
from worker.pace.hints.response import Hints, read_hints

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from worker.lms.contract import Intent
    from worker.pace.limiter import RateLimiter

#: An idle connection is closed before common servers do (5 s), so that no call is lost on a connection just closed.
KEEP_ALIVE_SECONDS = 3.0
CONNECT_SECONDS = 10.0
#: How many times `timeout_seconds` the whole answer may take, when its pieces come in time.
WHOLE_ANSWER = 2
MAX_BACKOFF_SECONDS = 30.0
#: Pauses between the attempts of a read, which is safe to repeat (seconds).
READ_PAUSES = (0.3, 1.0, 3.0)

#: Encodes as httpx does. httpx gets the encoded body: it would assemble the headers of each request three times.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_JSON = httpx.Headers({"Content-Type": "application/json"})
_FORM = httpx.Headers({"Content-Type": "application/x-www-form-urlencoded"})
log = structlog.get_logger("roster")


class Check(Protocol):
    """Judges a response; `changes`: whether the call was to change something."""

    def __call__(self, response: LmsResponse, hints: Hints, *, changes: bool) -> LmsResponse:
        """Return a successful response; raise the error that any other one means."""


@dataclass(slots=True)
class LmsSession:
    """The open connections to one account of one LMS."""

    #: httpx's transport without its client, which merges URLs, headers and cookies at each call: that takes as much
    #: CPU time as the call itself.
    transport: httpx.AsyncBaseTransport
    base_url: str
    #: The time-outs of a call, as the transport takes them.
    extensions: Mapping[str, Any]
    limiter: RateLimiter
    #: How long a call may take in all, however its answer comes in (seconds); None for any time.
    total_seconds: float | None = None
    #: Failed connection attempts since the last one that succeeded.
    failed_connects: int = 0
    #: The LMS's clock minus ours, in seconds, as of its last response.
    clock_offset: float = 0.0
    #: Whether any response has come yet.
    has_responded: bool = False
    #: Since when nothing has been heard of the LMS, while an answer is expected (seconds, monotonic); 0 at first.
    quiet_since: float = 0.0
    #: What connectors have measured of the server, by name; kept from job to job.
    measured: dict[str, int] = field(default_factory=dict)

    async def send(self, method: str, path: str, **content: Any) -> tuple[LmsResponse, Hints]:
        """Send one request and return the response with what it says about limits.

        Raises LmsUnavailable when no connection was opened, AnswerLost when one was and no response came.
        """
        try:
            raw = await self._exchange(method, path, **content)
        except Exception as error:  # noqa: BLE001 - whatever failed, the request may have been sent
            if _was_never_sent(error):
                raise self._connect_error(error) from None
            raise AnswerLost(_how_lost(error)) from None
        self.failed_connects, self.has_responded, self.quiet_since = 0, True, time.monotonic()
        # As a plain dictionary: httpx's own decodes and compares all names at each access.
        headers = {name.decode("latin-1").lower(): text.decode("latin-1") for name, text in raw.headers.raw}
        response = parse(raw.status_code, headers, raw.content)
        at = time.time()
        hints = read_hints(response.status, headers, response.text, now=at)
        if "date" in headers:
            self.clock_offset = _seconds_of(headers["date"], at) - at
        return response, hints

    async def close(self) -> None:
        """Return the permits of the last calls, and close the connections."""
        await self.limiter.flush()
        await self.transport.aclose()

    async def _exchange(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Send one request and return the response, read to its end."""
        if "json" in content:
            content |= {"stream": httpx.ByteStream(_encode(content.pop("json")).encode()), "headers": _JSON}
        elif "form" in content:
            content |= {"stream": httpx.ByteStream(urlencode(content.pop("form")).encode()), "headers": _FORM}
        request = httpx.Request(method, _url(self.base_url, path), extensions=self.extensions, **content)
        request.read()
        # The time-outs of the transport are for each piece of an answer, of which there may be any number.
        async with asyncio.timeout(self.total_seconds):
            response = await self.transport.handle_async_request(request)
            try:
                await response.aread()
            finally:
                await response.aclose()
        return response

    def _connect_error(self, error: Exception) -> LmsUnavailable | StopJob:
        if isinstance(error.__cause__, aiohttp.ClientConnectorCertificateError):
            return StopJob(
                "certificate_refused", "The LMS's certificate is not valid for this address; check base_url"
            )
        self.failed_connects += 1
        ceiling = min(0.25 * 2**self.failed_connects, MAX_BACKOFF_SECONDS)
        seconds = random.uniform(ceiling / 2, ceiling)  # noqa: S311 - spreads retries, not security
        return LmsUnavailable(seconds, f"The LMS at {self.base_url} cannot be reached")


@dataclass(slots=True)
class LmsClient:
    """A job's access to the LMS; each call goes through the rate limiter of its credential."""

    session: LmsSession
    #: The queue of the rate limiter in which this job's calls wait.
    queue: str = ""
    #: How many rows the job has left: calls of short jobs go first.
    rows_left: Callable[[], int] = lambda: 0
    #: All calls that were made, by operation; and those of them that are not recorded in the ledger yet.
    calls: Counter[str] = field(default_factory=Counter)
    unrecorded: Counter[str] = field(default_factory=Counter)
    rate_limited: int = 0

    async def read(self, operation: str, path: str, params: Mapping[str, Any] | None = None) -> LmsResponse:
        """Make a call that changes nothing; a call without a response is retried a few times."""
        return await self._read(operation, "GET", path, params=params)

    async def read_form(
        self, operation: str, path: str, form: Sequence[tuple[str, str]], *, check: Check = check_response
    ) -> LmsResponse:
        """Make a call that changes nothing, as a POST of form fields; repeated as `read` is.

        `check` judges the response of an LMS that reports its errors otherwise than by HTTP statuses.
        """
        return await self._read(operation, "POST", path, check=check, form=form)

    async def _read(self, operation: str, method: str, path: str, **content: Any) -> LmsResponse:
        for pause in (*READ_PAUSES, None):
            try:
                return await self._call(operation, method, path, **content)
            except RateLimited as later:
                if later.seconds > self.session.limiter.longest_wait:
                    raise
            except AnswerLost:
                if pause is None:
                    raise
                await self.session.limiter.clock.sleep(pause)
        return await self._call(operation, method, path, **content)

    async def change(
        self, operation: str, method: str, path: str, body: Any, intent: Intent, *, completes_rows: bool = False
    ) -> LmsResponse:
        """Make a call that changes something: the permit of the rate limiter, then the intent, then the request.

        A `body` of None sends no body. `completes_rows`: the last call of rows whose batch began with another.
        """
        content = {} if body is None else {"json": body}
        return await self._call(operation, method, path, intent=intent, completes_rows=completes_rows, **content)

    async def change_form(
        self,
        operation: str,
        path: str,
        form: Sequence[tuple[str, str]],
        intent: Intent,
        *,
        check: Check = check_response,
        completes_rows: bool = False,
    ) -> LmsResponse:
        """Make a call that changes something, as a POST of form fields; otherwise as `change` and `read_form`."""
        return await self._call(
            operation, "POST", path, intent=intent, completes_rows=completes_rows, check=check, form=form
        )

    async def _call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        intent: Intent | None = None,
        completes_rows: bool = False,
        check: Check = check_response,
        **content: Any,
    ) -> LmsResponse:
        permit = await self.session.limiter.acquire(*self._queue_position(operation, completes_rows=completes_rows))
        # Counted before the intent: its commit records the call too, so that one of a killed process is counted.
        self._count(operation, 1)
        if intent is not None:
            try:
                await intent()
            except BaseException:
                self._count(operation, -1)
                self.session.limiter.cancel(permit)
                raise
        hints: Hints | None = None
        status, began = 0, time.monotonic()
        try:
            response, hints = await self.session.send(method, path, **content)
            status = response.status
        except LmsUnavailable:
            self._count(operation, -1)
            raise
        finally:
            self.session.limiter.release(permit, hints)
            self._log(operation, method, status, time.monotonic() - began)
        self.rate_limited += hints.throttled
        return check(response, hints, changes=intent is not None)

    def take_calls(self) -> Counter[str]:
        """Return the calls that are not recorded yet; the caller records them."""
        taken, self.unrecorded = self.unrecorded, Counter()
        return taken

    def _log(self, operation: str, method: str, status: int, seconds: float) -> None:
        """Write a line of `debug` about a call: never its address, headers or body. Status 0: no response came."""
        if logs.is_detailed():
            job = int(self.queue) if self.queue else None
            log.debug("LMS call", job=job, call=operation, method=method, status=status, seconds=round(seconds, 3))

    def _count(self, operation: str, number: int) -> None:
        self.calls[operation] += number
        self.unrecorded[operation] += number

    def _queue_position(self, operation: str, *, completes_rows: bool) -> tuple[str, int]:
        """Return the queue in which a call waits, and its length in rows: the shortest goes first.

        Calls that complete rows go before calls that begin more of them. Otherwise all running batches end at once,
        and no call waits for a permit until the next batches have begun.
        """
        if completes_rows:
            return f"{self.queue} {operation}", self.rows_left() - 1
        return self.queue, self.rows_left()


def _was_never_sent(error: Exception) -> bool:
    """Return whether certainly nothing was sent.

    The transport maps a reset during a call to httpx.ConnectTimeout as well: its cause decides, not its class.
    """
    return isinstance(error.__cause__, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


def _how_lost(error: Exception) -> str:
    """Return why there is no response; the transport calls most of what happens after sending a ConnectTimeout."""
    cause = error.__cause__ or error
    if isinstance(cause, TimeoutError):
        return "The LMS did not answer in time"
    if isinstance(cause, aiohttp.ClientConnectionError | OSError):
        return f"The connection broke before a response came ({type(cause).__name__})"
    shown = cause if isinstance(cause, aiohttp.ClientError) else error
    return f"The response was incomplete or damaged ({type(shown).__name__})"


@lru_cache(maxsize=256)
def _url(base_url: str, path: str) -> httpx.URL:
    """Return the URL of a path below `base_url`; cached, since most calls go to one of a few."""
    return httpx.URL(f"{base_url.rstrip('/')}/{path.lstrip('/')}")


#: A fast LMS sends the same date many times a second.
_seconds_of_date = lru_cache(maxsize=4)(seconds_of_date)


def _seconds_of(header: str, fallback: float) -> float:
    seconds = _seconds_of_date(header)
    return fallback if seconds is None else seconds


def _open_aiohttp_session(
    in_flight: int, context: ssl.SSLContext, headers: Mapping[str, str]
) -> aiohttp.ClientSession:
    """Open the session below the transport: it retries nothing by itself, and keeps no cookies."""
    connector = aiohttp.TCPConnector(limit=in_flight, keepalive_timeout=KEEP_ALIVE_SECONDS, ssl=context)
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers=headers)
    # aiohttp retries a PUT or DELETE by itself on a broken connection, unseen by the rate limiter and the ledger;
    # there is no public switch for that.
    session._retry_connection = False  # noqa: SLF001
    return session


def open_session(
    base_url: str, headers: Mapping[str, str], limiter: RateLimiter, *, in_flight: int, timeout_seconds: float
) -> LmsSession:
    """Open the session of an account, without redirects, and without proxies and .netrc of the machine."""
    # httpx's context loads its own list of authorities, or that of SSL_CERT_FILE; that is slow.
    secure = base_url.startswith("https://")
    context = httpx.create_ssl_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    headers = {
        "User-Agent": f"roster/{__version__}",
        "Accept": "application/json",
        # What httpx can decode, whatever else is installed here.
        "Accept-Encoding": "gzip, deflate",
        **headers,
    }
    return LmsSession(
        transport=AiohttpTransport(
            verify=context, client=partial(_open_aiohttp_session, in_flight, context, headers)
        ),
        base_url=base_url,
        extensions={"timeout": httpx.Timeout(timeout_seconds, connect=CONNECT_SECONDS, pool=None).as_dict()},
        limiter=limiter,
        total_seconds=CONNECT_SECONDS + WHOLE_ANSWER * timeout_seconds,
    )
