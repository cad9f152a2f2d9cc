"""Work that ends when its client closes the connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from worker.web.problems import HttpProblem

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from starlette.requests import Request

Result = TypeVar("Result")


async def while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of work; cancel it when the client closes the connection. Raises HttpProblem 400 then."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_until_closed(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        leaving.result()
        raise HttpProblem(400, "The connection was closed before the response")
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _until_closed(request: Request) -> None:
    """Wait until the client closes the connection; what it still sends of the body is not needed."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
