"""The HTTP client against sockets that misbehave: every error of the library comes out as one of ours."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import UnlimitedLimiter, a_client, nothing
from worker.errors import AnswerLost, LmsError, LmsUnavailable, RateLimited, Refused, StopJob
from worker.lms import http

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{"id":7}'


class Server:
    """A server with a given behaviour, which records the requests that reached it."""

    def __init__(self, behave: Behaviour) -> None:
        self.behave = behave
        self.requests: list[bytes] = []
        self.url = ""
        self.reached = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []

    async def close(self) -> None:
        """Close every connection, so that none outlives its test."""
        for writer in self.writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self.writers), return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line),
                    0,
                )
                self.requests.append(head + await reader.readexactly(length))
                self.reached.set()
                await self.behave(reader, writer)
                if writer.is_closing():
                    break
        writer.close()


@asynccontextmanager
async def a_server(behave: Behaviour) -> AsyncIterator[Server]:
    server = Server(behave)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        await server.close()


def answering(*parts: bytes, close: bool = True) -> Behaviour:
    """Send these bytes, then hang up unless `close` is false."""

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
        if close:
            writer.close()

    return behave


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close the connection with RST instead of FIN."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Send nothing until the other side gives up."""
    await reader.read()


async def drop_by_drop(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send an answer that has no end, in pieces that come in time."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"{")
        await writer.drain()
        await asyncio.sleep(0.02)


LOST: dict[str, Behaviour] = {
    "hangs up without a word": answering(),
    "resets the connection": reset,
    "never answers": silence,
    "sends half a status line": answering(b"HTTP/1.1 2"),
    "sends half its headers": answering(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "sends half its body": answering(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id":'),
    "sends half a chunk": answering(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{"id":'),
    "sends no length of a chunk": answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "sends garbage": answering(b"\x00\x01\x02 this is no HTTP at all \xff\xfe\r\n\r\n"),
    "speaks another protocol": answering(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "sends half its body and stays silent": answering(
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", close=False
    ),
    "sends a broken gzip": answering(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"),
    "sends headers without end": answering(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"a" * 100_000 + b"\r\n\r\n"),
    "sends two lengths": answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\n{}"),
}


def refused_port() -> int:
    """Return a port of this machine on which no process listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def change(client: http.LmsClient, intent: Any = nothing, path: str = "/things") -> Any:
    return await client.change("create", "POST", path, {"name": "Wilhelmina"}, intent)


async def test_an_answer_that_never_ends_is_lost_though_each_piece_comes_in_time() -> None:
    async with a_server(drop_by_drop) as server, a_client(server.url) as client:
        client.session.total_seconds = 0.3

        with pytest.raises(AnswerLost):
            await change(client)

        assert len(server.requests) == 1


@pytest.mark.parametrize("how", LOST)
async def test_an_incomplete_response_is_a_lost_answer(how: str) -> None:
    async with (
        a_server(LOST[how]) as server,
        a_client(server.url, {"X-Api-Secret": "hunter2"}, seconds=0.3) as client,
    ):
        with pytest.raises(AnswerLost) as raised:
            await change(client)

        assert len(server.requests) == 1, "a changing call is never sent twice"
        assert (client.calls["create"], raised.value.status) == (1, None)
        shown = f"{raised.value} {raised.value!r} {raised.value.__cause__!r}"
        assert not {"hunter2", "Wilhelmina"} & set(shown.replace('"', " ").split())
        assert raised.value.__cause__ is None
        with pytest.raises(AnswerLost):
            await client.session.send("POST", "/things")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("never answers", "The LMS did not answer in time"),
        ("hangs up without a word", "The connection broke before a response came (ServerDisconnectedError)"),
        ("resets the connection", "The connection broke before a response came (ClientOSError)"),
        ("sends half its body", "The response was incomplete or damaged (ClientPayloadError)"),
        ("sends half its body and stays silent", "The LMS did not answer in time"),
        ("sends a broken gzip", "The response was incomplete or damaged (DecodingError)"),
    ],
)
async def test_a_lost_answer_is_named_by_what_happened_after_the_call_was_sent(how: str, said: str) -> None:
    async with a_server(LOST[how]) as server, a_client(server.url, seconds=0.3) as client:
        with pytest.raises(AnswerLost) as raised:
            await change(client)

    assert str(raised.value) == said


@pytest.mark.parametrize("how", LOST)
async def test_the_client_still_works_after_a_lost_answer(how: str) -> None:
    async with a_server(LOST[how]) as server, a_client(server.url, seconds=0.3) as client:
        with pytest.raises(AnswerLost):
            await change(client)
        server.behave = answering(OK)

        assert (await change(client)).body == {"id": 7}


async def test_a_port_without_a_listener_means_that_nothing_was_sent() -> None:
    async with a_client(f"http://127.0.0.1:{refused_port()}") as client:
        with pytest.raises(LmsUnavailable, match="cannot be reached") as raised:
            await change(client)

        assert client.calls["create"] == 0
        assert 0 < raised.value.seconds <= http.MAX_BACKOFF_SECONDS


async def test_an_unknown_host_name_means_that_nothing_was_sent() -> None:
    async with a_client("http://lms.invalid") as client:
        with pytest.raises(LmsUnavailable):
            await change(client)


async def test_the_backoff_grows_while_the_lms_is_down_and_is_reset_by_a_response() -> None:
    port = refused_port()
    async with a_client(f"http://127.0.0.1:{port}") as client:
        seconds = []
        for _ in range(9):
            with pytest.raises(LmsUnavailable) as raised:
                await change(client)
            seconds.append(raised.value.seconds)

        assert seconds[0] < 1
        assert seconds[0] < seconds[4] < seconds[8] <= http.MAX_BACKOFF_SECONDS
        server = Server(answering(OK))
        async with await asyncio.start_server(server.serve, "127.0.0.1", port):
            await change(client)
            await server.close()
        assert client.session.failed_connects == 0
        assert client.session.has_responded


async def test_a_server_without_tls_where_tls_is_required_gets_nothing() -> None:
    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(no_tls, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with a_client(f"https://127.0.0.1:{port}") as client:
            with pytest.raises((LmsUnavailable, StopJob)):
                await change(client)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    redirect = f"HTTP/1.1 {status} Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".encode()
    async with a_server(answering(redirect)) as server, a_client(server.url) as client:
        with pytest.raises((StopJob, AnswerLost)) as raised:
            await change(client)

        assert isinstance(raised.value, AnswerLost if status in {302, 303} else StopJob)
        assert len(server.requests) == 1


async def test_a_redirected_read_stops_the_job() -> None:
    redirect = b"HTTP/1.1 302 Moved\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n"
    async with a_server(answering(redirect)) as server, a_client(server.url) as client:
        with pytest.raises(StopJob, match="/login"):
            await client.read("list", "/things")


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "/a\x00b", {}),
        ("GET", "http://[broken", {}),
        ("GET", "gopher://x/", {}),
        ("BAD METHOD", "/", {}),
        ("POST", "/", {"json": {1j}}),
        ("POST", "/", {"headers": {"X-A": "naïve\r\nX-B: 1"}}),
        ("POST", "/", {"nonsense": True}),
    ],
)
async def test_no_error_of_the_library_escapes_for_any_request(
    method: str, path: str, content: dict[str, Any]
) -> None:
    async with a_server(answering(OK)) as server, a_client(server.url) as client:
        (result,) = await asyncio.gather(client.session.send(method, path, **content), return_exceptions=True)

    if isinstance(result, BaseException):
        assert type(result).__module__ == "worker.errors"
        assert result.__cause__ is None


async def test_the_intent_runs_after_the_permit_and_before_the_first_byte() -> None:
    limiter = UnlimitedLimiter()
    async with a_server(answering(OK)) as server:

        async def intent() -> None:
            assert server.requests == []
            await asyncio.sleep(0.05)
            assert server.requests == []
            limiter.events.append("intent")

        async with a_client(server.url, limiter=limiter) as client:
            await change(client, intent)

        assert limiter.events == ["acquired", "intent", "released"]
        assert len(server.requests) == 1


async def test_an_intent_that_raises_prevents_the_call_and_cancels_the_permit() -> None:
    limiter = UnlimitedLimiter()

    async def intent() -> None:
        raise KeyError("stale")

    async with a_server(answering(OK)) as server, a_client(server.url, limiter=limiter) as client:
        with pytest.raises(KeyError):
            await change(client, intent)

        assert server.requests == []
        assert client.calls.total() == 0
    assert limiter.open_permits == 0
    assert limiter.events == ["acquired", "cancelled"]


@pytest.mark.parametrize("how", [*LOST, "answers"])
async def test_every_permit_is_released_in_every_case(how: str) -> None:
    limiter = UnlimitedLimiter()
    async with (
        a_server(LOST.get(how, answering(OK))) as server,
        a_client(server.url, limiter=limiter, seconds=0.2) as client,
    ):
        with contextlib.suppress(LmsError):
            await change(client)

    assert limiter.open_permits == 0


async def test_a_cancelled_call_releases_its_permit() -> None:
    limiter = UnlimitedLimiter()
    async with a_server(silence) as server, a_client(server.url, limiter=limiter) as client:
        call = asyncio.create_task(change(client))
        await server.reached.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    assert limiter.open_permits == 0


async def test_a_lost_read_is_retried_a_few_times() -> None:
    async with a_server(answering()) as server, a_client(server.url) as client:
        with pytest.raises(AnswerLost):
            await client.read("list", "/things")

        assert len(server.requests) == len(http.READ_PAUSES) + 1


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST"])
async def test_a_change_is_sent_once_by_every_method(method: str) -> None:
    """aiohttp retries GET, PUT and DELETE by itself: past the rate limiter, the intent and the count."""
    async with a_server(answering()) as server, a_client(server.url) as client:
        with pytest.raises(AnswerLost):
            await client.change("update", method, "/things/7", {}, nothing)

        assert len(server.requests) == 1


async def test_a_read_that_is_lost_once_succeeds_the_second_time() -> None:
    async with a_server(answering()) as server, a_client(server.url) as client:
        reading = asyncio.create_task(client.read("list", "/things"))
        await server.reached.wait()
        server.behave = answering(OK)

        assert (await reading).body == {"id": 7}


async def test_a_refused_read_is_not_repeated() -> None:
    refusal = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    async with a_server(answering(refusal)) as server, a_client(server.url) as client:
        with pytest.raises(Refused):
            await client.read("list", "/things")

        assert len(server.requests) == 1


def throttle(seconds: float) -> bytes:
    return f"HTTP/1.1 429 Too Many Requests\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\n\r\n".encode()


async def test_a_rate_limited_change_is_counted_and_left_to_the_caller() -> None:
    async with a_server(answering(throttle(1))) as server, a_client(server.url) as client:
        with pytest.raises(RateLimited) as raised:
            await change(client)

        assert (raised.value.seconds, client.rate_limited, len(server.requests)) == (1.0, 1, 1)


async def test_a_read_waits_for_a_short_pause_and_leaves_a_long_one_to_the_ledger() -> None:
    async with a_server(answering(throttle(86_400))) as server, a_client(server.url) as client:
        with pytest.raises(RateLimited) as raised:
            await client.read("list", "/things")

        assert raised.value.seconds == 86_400
        assert len(server.requests) == 1


async def test_the_servers_clock_offset_comes_from_its_date_header_if_valid() -> None:
    ahead = b"HTTP/1.1 200 OK\r\nDate: Fri, 01 Jan 2100 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n"
    async with a_server(answering(ahead)) as server, a_client(server.url) as client:
        await change(client)
        assert client.session.clock_offset > 10**8

        server.behave = answering(ahead.replace(b"Fri, 01 Jan 2100 00:00:00 GMT", b"the day after tomorrow"))
        await change(client)
        assert client.session.clock_offset == 0


async def test_an_endlessly_nested_body_breaks_nothing() -> None:
    body = b"[" * 100_000
    deep = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    async with a_server(answering(deep)) as server, a_client(server.url) as client:
        with contextlib.suppress(LmsError):
            await change(client)


async def test_no_more_connections_are_opened_than_calls_may_be_in_flight() -> None:
    open_now, most = 0, 0

    async def slow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0.02)
        open_now -= 1
        writer.write(OK)

    async with a_server(slow) as server, a_client(server.url) as client:
        await asyncio.gather(*(change(client) for _ in range(40)))

    assert most <= 8


async def test_the_machines_proxies_and_netrc_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{refused_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{refused_port()}")
    async with a_server(answering(OK)) as server, a_client(server.url) as client:
        assert (await change(client)).status == 200


async def test_every_call_says_who_is_calling_and_what_it_accepts() -> None:
    async with a_server(answering(OK)) as server, a_client(server.url, {"X-Api-Key": "k"}) as client:
        await change(client)

    head = server.requests[0].lower()
    assert b"user-agent: roster/" in head
    assert b"accept: application/json" in head
    assert b"x-api-key: k" in head
    assert b"content-type: application/json" in head
    assert head.count(b"\r\nhost: ") == head.count(b"\r\ncontent-length: ") == 1


async def test_a_body_goes_out_as_utf_8_with_its_length_in_bytes() -> None:
    async with a_server(answering(OK)) as server, a_client(server.url) as client:
        await client.change("create", "POST", "/things", {"name": "Ana Ní Bhriain", "age": 7}, nothing)

    assert server.requests[0].endswith('\r\n\r\n{"name":"Ana Ní Bhriain","age":7}'.encode())


@pytest.mark.parametrize("base", ["/api/v2", "/api/v2/"])
async def test_a_path_is_appended_to_the_base_url_with_its_query(base: str) -> None:
    async with a_server(answering(OK, close=False)) as server, a_client(f"{server.url}{base}") as client:
        await change(client, path="/users/")
        await client.read("list", "/users/", {"offset": 7, "limit": 1})

    lines = [request.split(b"\r\n")[0] for request in server.requests]
    assert lines == [
        b"POST /api/v2/users/ HTTP/1.1",
        b"GET /api/v2/users/?offset=7&limit=1 HTTP/1.1",
    ]


async def test_a_compressed_response_is_read() -> None:
    body = gzip.compress(b'{"id":7}')
    zipped = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    async with a_server(answering(zipped)) as server, a_client(server.url) as client:
        assert (await change(client)).body == {"id": 7}


async def test_no_cookie_is_kept() -> None:
    cookie = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: session=1; Path=/\r\n\r\n")
    async with a_server(answering(cookie, close=False)) as server, a_client(server.url) as client:
        await change(client)
        await change(client)

    assert len(server.requests) == 2
    assert b"cookie:" not in server.requests[1].lower()


async def test_a_call_that_completes_rows_waits_in_a_shorter_queue_than_one_that_begins_them() -> None:
    limiter = UnlimitedLimiter()
    async with a_server(answering(OK, close=False)) as server, a_client(server.url, limiter=limiter) as client:
        for completes_rows in (False, True):
            await client.change("register", "POST", "/x", {}, nothing, completes_rows=completes_rows)

    (beginning, left), (ending, shorter) = limiter.requests
    assert beginning != ending
    assert shorter < left
