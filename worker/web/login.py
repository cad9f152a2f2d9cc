"""Sign in and out: the sign-in page's two acts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from worker.accounts import keys, people
from worker.ledger import accounts
from worker.web import csrf
from worker.web.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from worker.bootstrap import Services
    from worker.web.auth import Who


async def sign_in(request: Request, name: str, password: str, response: Response) -> None:
    """Check name and password and set the session's cookie on `response`.

    The form's `csrf` is checked here too. Raises Problem: 403 when they are wrong or the form is another site's,
    429 while guessing is locked out.
    """
    await csrf.check(request)
    services: Services = request.app.state.services
    host = request.client.host if request.client else ""
    try:
        async with request.app.state.heavy:
            cookie = await run_in_threadpool(people.sign_in, services.ledger, name, password, host)
    except people.LockedOut as error:
        raise Problem(429, str(error), {"Retry-After": str(math.ceil(error.seconds))}) from None
    except people.WrongPassword as error:
        raise Problem(403, str(error)) from None
    csrf.set_cookie(request, response.headers, csrf.SESSION, cookie)


async def sign_out(request: Request, response: Response) -> None:
    """End the session and take its cookie away; the form's `csrf` is checked here too."""
    await csrf.check(request)
    if cookie := request.cookies.get(csrf.SESSION):
        await run_in_threadpool(_close, request.app.state.services, request.state.who, cookie)
    csrf.take_cookie(request, response.headers, csrf.SESSION)


def _close(services: Services, who: Who, cookie: str) -> None:
    with services.ledger.write() as tx:
        keys.close_session(tx, cookie)
        accounts.note(tx, who=who.name or "-", act="sign out")
