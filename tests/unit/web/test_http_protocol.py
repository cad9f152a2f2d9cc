"""A slow client is closed, and one with too many idle connections loses the oldest; real sockets, short limits."""

from __future__ import annotations

import asyncio
import functools
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from worker.settings import Serve
from worker.web.http_protocol import GuardedProtocol, IdleConnections, TimeLimits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SHORT = TimeLimits(head=0.3, grace=0.1, body_pause=0.3, rest=0.2, reading=0.3)
#: No limit of a test that is not about it.
LONG = 60.0
#: More than the buffers of a connection hold (bytes).
LARGE = 256 * 1024 * 1024
GET = b"GET /short HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"


async def _short(_: Request) -> Response:
    return PlainTextResponse("short")


async def _body(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def _early(_: Request) -> Response:
    return PlainTextResponse("answered before the body")


async def _slow(_: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(8):
            await asyncio.sleep(0.1)
            yield b"x"

    return StreamingResponse(pieces())


async def _large(_: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(LARGE // 65_536):
            yield b"x" * 65_536

    return StreamingResponse(pieces())


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.01)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def serving(limits: TimeLimits, idle: IdleConnections) -> AsyncIterator[int]:
    """Run a server and yield its port."""
    routes = [
        Route("/short", _short),
        Route("/slow", _slow),
        Route("/large", _large),
        Route("/body", _body, methods=["POST"]),
        Route("/early", _early, methods=["POST"]),
    ]
    protocol = cast("Any", functools.partial(GuardedProtocol, limits=limits, idle=idle))
    config = uvicorn.Config(Starlette(routes=routes), http=protocol, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        run = asyncio.create_task(server._serve([listener]))
        await until(lambda: server.started)
        yield listener.getsockname()[1]
        server.should_exit = True
        await run


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving(SHORT, IdleConnections()) as opened:
        yield opened


@asynccontextmanager
async def client_of(
    port: int, limit: int = 65_536
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
    yield reader, writer
    await close(writer)


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """Read until the server closes the connection; a connection that stays open fails the test."""
    received = b""
    try:
        async with asyncio.timeout(20):
            while piece := await reader.read(1024 * 1024):
                received += piece
    except ConnectionError:
        pass
    return received


@pytest.mark.parametrize("head", [b"", b"GET /short HTTP/1.1\r\nHo", b"\r\n", GET + b"\r\n", GET + b"GET /sho"])
async def test_a_head_that_is_not_completed_is_closed(port: int, head: bytes) -> None:
    async with client_of(port) as (reader, writer):
        writer.write(head)
        received = await rest_of(reader)

    assert received.count(b"200 OK") == head.count(GET)


async def test_a_head_that_trickles_is_closed_all_the_same(port: int) -> None:
    async with client_of(port) as (reader, writer):
        writer.write(b"GET /short HTTP/1.1\r\n")
        closed = asyncio.create_task(rest_of(reader))
        while not closed.done():
            writer.write(b"X-A: b\r\n")
            await asyncio.sleep(0.05)

        assert closed.result() == b""


CHUNKED = POST.replace(b"Content-Length: 100", b"Transfer-Encoding: chunked")


@pytest.mark.parametrize("begun", [POST, POST + b"x" * 99, CHUNKED, CHUNKED + b"5\r\nabcde\r\n"])
async def test_a_body_that_stops_is_closed(port: int, begun: bytes) -> None:
    async with client_of(port) as (reader, writer):
        writer.write(begun)

        assert await rest_of(reader) == b""


async def test_a_body_that_trickles_is_closed_and_one_at_a_fair_rate_is_not() -> None:
    limits = TimeLimits(head=LONG, body_pause=0.5, body_rate=200)
    async with serving(limits, IdleConnections()) as port, client_of(port) as (reader, writer):
        writer.write(POST.replace(b"100", b"400"))
        for _ in range(8):
            await asyncio.sleep(0.1)
            writer.write(b"x" * 50)
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    async with serving(limits, IdleConnections()) as port, client_of(port) as (reader, writer):
        writer.write(POST.replace(b"100", b"400"))
        closed = asyncio.create_task(rest_of(reader))
        while not closed.done():
            writer.write(b"x")
            await asyncio.sleep(0.05)
        assert closed.result() == b""


async def test_the_rest_of_a_body_that_was_answered_is_not_read_for_long(port: int) -> None:
    async with client_of(port) as (reader, writer):
        writer.write(POST.replace(b"/body", b"/early") + b"x")

        assert b"answered before the body" in await rest_of(reader)


async def test_a_response_may_take_longer_than_any_limit(port: int) -> None:
    async with client_of(port) as (reader, writer):
        writer.write(GET.replace(b"/short", b"/slow").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

        assert (await rest_of(reader)).endswith(b"0\r\n\r\n")


async def test_a_client_that_does_not_read_is_closed() -> None:
    limits = TimeLimits(head=LONG, body_pause=LONG, reading=0.3)
    async with serving(limits, IdleConnections()) as port, client_of(port, limit=1024) as (reader, writer):
        writer.write(GET.replace(b"/short", b"/large"))
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        await asyncio.sleep(3 * limits.reading)

        assert len(await rest_of(reader)) < LARGE


async def test_the_oldest_idle_connections_of_a_client_are_closed_and_new_ones_are_answered() -> None:
    limits = TimeLimits(head=LONG, grace=0.1)
    async with serving(limits, IdleConnections(per_client=5)) as port:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        closed = [asyncio.create_task(rest_of(reader)) for reader, _ in idle]
        async with client_of(port) as (reader, writer):
            writer.write(GET)
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        await until(lambda: sum(each.done() for each in closed) >= 15)
        assert not closed[-1].done()
        for _, writer in idle:
            await close(writer)
        await asyncio.gather(*closed)


async def test_a_proxy_may_have_more_idle_connections_and_all_together_are_limited() -> None:
    limits = TimeLimits(head=LONG, grace=0.1)
    proxies = Serve(behind_proxy="127.0.0.0/8").proxies
    async with serving(limits, IdleConnections(per_client=2, total=10, proxies=proxies)) as port:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        closed = [asyncio.create_task(rest_of(reader)) for reader, _ in idle]
        await until(lambda: sum(each.done() for each in closed) >= 10)
        await asyncio.sleep(2 * limits.grace)
        assert [each.done() for each in closed] == [True] * 10 + [False] * 10
        for _, writer in idle:
            await close(writer)
        await asyncio.gather(*closed)
