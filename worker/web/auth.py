"""Who asks, and whether they may: `request.state.who`, and `needs(role)` before each endpoint."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import Response

from worker.model import Role
from worker.web import csrf
from worker.web.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

Endpoint = Callable[["Request"], Awaitable[Response]]
#: Methods that change nothing.
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Who asks: an account, somebody at this machine while there are no accounts (`-`), or a stranger (no role)."""

    name: str
    role: Role | None
    #: What a form must send back as `csrf`, or a script as X-CSRF-Token.
    csrf: str
    #: Whether the request carries an API token: no other site's page can make a browser send one.
    by_token: bool = False

    def may(self, needed: Role) -> bool:
        """Tell whether they may do what needs that role; for showing a button or not."""
        return self.role is not None and self.role.may(needed)


def needs(role: Role, *, upload: bool = False) -> Callable[[Endpoint], Endpoint]:
    """Let an endpoint be called by those who have the role, and changed by nobody's forged form.

    An endpoint that streams a file (`upload`) has the form's own `csrf` field checked by `take_upload`.
    """

    def decorate(endpoint: Endpoint) -> Endpoint:
        @functools.wraps(endpoint)
        async def guarded(request: Request) -> Response:
            who: Who = request.state.who
            if who.role is None:
                raise Problem(401, "Sign in first, or send an API token", {"WWW-Authenticate": "Bearer"})
            if not who.role.may(role):
                raise Problem(403, f"This takes the role {role}; {who.name} is {who.role}")
            if request.method not in SAFE:
                await csrf.check(request, upload=upload)
            return await endpoint(request)

        guarded.needs = role  # type: ignore[attr-defined]
        return guarded

    return decorate
