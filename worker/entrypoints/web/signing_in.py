"""Sign in and out: the sign-in page's two acts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.entrypoints.web.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def sign_in(request: Request, name: str, password: str, response: Response) -> None:
    """Check name and password and set the session's cookie on `response`.

    The form's `csrf` is checked here too. Raises Problem 403 when they are wrong, 429 while guessing is locked out.
    """
    raise Problem(403, "There are no accounts yet: make one with `roster user add NAME`")


async def sign_out(request: Request, response: Response) -> None:
    """End the session and take its cookie away."""
