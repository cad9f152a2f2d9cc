"""Work that a client waits for ends when the client goes away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from worker.web.disconnects import while_connected
from worker.web.problems import HttpProblem

SCOPE = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}


class Connection:
    """A connection over which a client has sent the last byte of a request, and may close it."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.messages.put_nowait({"type": "http.request", "body": b"x", "more_body": False})
        self.request = Request(SCOPE, self.messages.get)

    def close(self) -> None:
        self.messages.put_nowait({"type": "http.disconnect"})


class Work:
    """Work that never ends by itself."""

    def __init__(self) -> None:
        self.has_begun, self.was_cancelled = asyncio.Event(), False

    async def run(self) -> None:
        self.has_begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


async def test_work_ends_when_its_client_closes_the_connection() -> None:
    connection, work = Connection(), Work()
    answering = asyncio.create_task(while_connected(connection.request, work.run()))
    await work.has_begun.wait()

    connection.close()

    with pytest.raises(HttpProblem) as gone:
        await answering
    assert gone.value.status == 400
    assert work.was_cancelled


async def test_work_ends_when_the_server_ends_the_request() -> None:
    connection, work = Connection(), Work()
    answering = asyncio.create_task(while_connected(connection.request, work.run()))
    await work.has_begun.wait()

    answering.cancel()
    await asyncio.wait({answering})

    assert (answering.cancelled(), work.was_cancelled) == (True, True)


async def test_a_client_that_waits_gets_the_result_or_the_error() -> None:
    async def divide(by: int) -> int:
        await asyncio.sleep(0)
        return 6 // by

    assert await while_connected(Connection().request, divide(2)) == 3
    with pytest.raises(ZeroDivisionError):
        await while_connected(Connection().request, divide(0))
