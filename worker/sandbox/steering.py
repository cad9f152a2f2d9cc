"""The page at `/`, and `/sandbox/*`: look at the world, change rules and quotas, begin anew. Asks for no password.

All of it runs on the server's loop, never in a thread, since the world is not made for two at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from worker.sandbox import page, quota, scenario, state, words
from worker.sandbox.world import World

_Endpoint = Callable[[Request], Awaitable[Response]]


def routes(world: World) -> list[Route]:
    """Return the routes of a world, the LMSs' own excepted."""
    return [
        Route("/", _page(world)),
        Route("/sandbox/state", _shown(world, state.state)),
        Route("/sandbox/candidates", _shown(world, state.candidates)),
        Route("/sandbox/registrations", _shown(world, state.registrations)),
        Route("/sandbox/journal", _shown(world, lambda each: each.journal.entries())),
        Route("/sandbox/rules", _shown(world, lambda each: each.scenario.figures()), methods=["GET"]),
        Route("/sandbox/rules", _rules(world), methods=["POST"]),
        Route("/sandbox/quotas", _quotas(world), methods=["POST"]),
        Route("/sandbox/reset", _reset(world), methods=["POST"]),
    ]


def _page(world: World) -> _Endpoint:
    async def show(request: Request) -> Response:
        refresh = request.query_params.get("refresh", "")
        base_url = str(request.base_url).rstrip("/")
        return HTMLResponse(page.html(world, base_url, int(refresh) if refresh.isdecimal() else 0))

    return show


def _shown(world: World, values: Callable[[World], Any]) -> _Endpoint:
    async def show(_request: Request) -> Response:
        return JSONResponse(values(world))

    return show


def _rules(world: World) -> _Endpoint:
    async def replace(request: Request) -> Response:
        try:
            world.set_rules([scenario.from_json(each) for each in await _listed(request, "rules")])
        except words.BadWords as problem:
            return JSONResponse({"detail": str(problem)}, HTTPStatus.BAD_REQUEST)
        return JSONResponse(world.scenario.figures())

    return replace


def _quotas(world: World) -> _Endpoint:
    async def replace(request: Request) -> Response:
        try:
            world.set_quotas([quota.parse(str(each)) for each in await _listed(request, "quotas")])
        except words.BadWords as problem:
            return JSONResponse({"detail": str(problem)}, HTTPStatus.BAD_REQUEST)
        return JSONResponse(world.turnstile.figures())

    return replace


def _reset(world: World) -> _Endpoint:
    async def reset(_request: Request) -> Response:
        world.reset()
        return JSONResponse({"reset": True})

    return reset


async def _listed(request: Request, name: str) -> list[Any]:
    """Return the list of a body: bare, or under its name."""
    try:
        value = msgspec.json.decode(await request.body())
    except msgspec.DecodeError:
        raise words.BadWords("The body must be JSON.") from None
    listed = value.get(name) if isinstance(value, dict) else value
    if not isinstance(listed, list):
        raise words.BadWords(f'Say {{"{name}": [...]}}, or the bare list.')
    return listed
