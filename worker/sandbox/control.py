"""The page at `/`, and `/sandbox/*`: show the state, change rules and quotas, reset. Asks for no password.

All of it runs on the server's loop, never in a thread, since the state is not made for two at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from worker.sandbox import faults, page, quota, rule_syntax, snapshot
from worker.sandbox.state import SandboxState

_Endpoint = Callable[[Request], Awaitable[Response]]


def routes(state: SandboxState) -> list[Route]:
    """Return the routes of a state, the LMSs' own excepted."""
    return [
        Route("/", _page(state)),
        Route("/sandbox/state", _shown(state, snapshot.snapshot)),
        Route("/sandbox/candidates", _shown(state, snapshot.candidates)),
        Route("/sandbox/registrations", _shown(state, snapshot.registrations)),
        Route("/sandbox/journal", _shown(state, lambda each: each.journal.entries())),
        Route("/sandbox/rules", _shown(state, lambda each: each.fault_plan.figures()), methods=["GET"]),
        Route("/sandbox/rules", _rules(state), methods=["POST"]),
        Route("/sandbox/quotas", _quotas(state), methods=["POST"]),
        Route("/sandbox/reset", _reset(state), methods=["POST"]),
    ]


def _page(state: SandboxState) -> _Endpoint:
    async def show(request: Request) -> Response:
        refresh = request.query_params.get("refresh", "")
        base_url = str(request.base_url).rstrip("/")
        return HTMLResponse(page.html(state, base_url, int(refresh) if refresh.isdecimal() else 0))

    return show


def _shown(state: SandboxState, values: Callable[[SandboxState], Any]) -> _Endpoint:
    async def show(_request: Request) -> Response:
        return JSONResponse(values(state))

    return show


def _rules(state: SandboxState) -> _Endpoint:
    async def replace(request: Request) -> Response:
        try:
            state.set_rules([faults.from_json(each) for each in await _listed(request, "rules")])
        except rule_syntax.RuleSyntaxError as problem:
            return JSONResponse({"detail": str(problem)}, HTTPStatus.BAD_REQUEST)
        return JSONResponse(state.fault_plan.figures())

    return replace


def _quotas(state: SandboxState) -> _Endpoint:
    async def replace(request: Request) -> Response:
        try:
            state.set_quotas([quota.parse(str(each)) for each in await _listed(request, "quotas")])
        except rule_syntax.RuleSyntaxError as problem:
            return JSONResponse({"detail": str(problem)}, HTTPStatus.BAD_REQUEST)
        return JSONResponse(state.quota_enforcer.figures())

    return replace


def _reset(state: SandboxState) -> _Endpoint:
    async def reset(_request: Request) -> Response:
        state.reset()
        return JSONResponse({"reset": True})

    return reset


async def _listed(request: Request, name: str) -> list[Any]:
    """Return the list of a body: bare, or under its name."""
    try:
        value = msgspec.json.decode(await request.body())
    except msgspec.DecodeError:
        raise rule_syntax.RuleSyntaxError("The body must be JSON.") from None
    listed = value.get(name) if isinstance(value, dict) else value
    if not isinstance(listed, list):
        raise rule_syntax.RuleSyntaxError(f'Say {{"{name}": [...]}}, or the bare list.')
    return listed
