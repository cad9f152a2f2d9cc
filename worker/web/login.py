"""Signing in and out: check the password, set and delete the session cookie."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

from anyio import to_thread
from starlette.concurrency import run_in_threadpool

from worker.accounts import guessing, keys, people
from worker.ledger import accounts
from worker.web import csrf
from worker.web.caller import actor_of
from worker.web.problems import HttpProblem, Refusal

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from worker.bootstrap import Services
    from worker.model import Actor


async def sign_in(request: Request, name: str, password: str, response: Response) -> None:
    """Check name and password and set the session's cookie on `response`.

    The form's `csrf` is checked here too. Raises HttpProblem: 403 when they are wrong or the form is from
    another site, 429 after too many failures.
    """
    await csrf.check(request)
    services: Services = request.app.state.services
    host = request.client.host if request.client else ""
    try:
        checked = functools.partial(
            people.sign_in,
            services.ledger,
            name,
            password,
            host,
            browser=csrf.cookie_of(request, csrf.VISITOR),
            replaces=csrf.cookie_of(request, csrf.SESSION),
        )
        signed_in = await to_thread.run_sync(checked, limiter=request.app.state.slots.passwords)
    except people.LockedOut as error:
        again = {"Retry-After": str(math.ceil(error.seconds))}
        refusal = Refusal(action="sign-in locked", account=error.account)
        raise HttpProblem(429, str(error), again, refusal=refusal) from None
    except people.WrongPassword as error:
        refusal = Refusal(action="sign-in refused", account=error.account)
        raise HttpProblem(403, str(error), refusal=refusal) from None
    csrf.set_cookie(request, response.headers, csrf.SESSION, signed_in.session)
    csrf.set_cookie(
        request, response.headers, csrf.VISITOR, signed_in.browser, max_age=guessing.BROWSER_KNOWN_SECONDS
    )


async def sign_out(request: Request, response: Response) -> None:
    """End the session and delete its cookie; the form's `csrf` is checked here too."""
    await csrf.check(request)
    if cookie := csrf.cookie_of(request, csrf.SESSION):
        await run_in_threadpool(_close_session, request.app.state.services, actor_of(request), cookie)
    csrf.delete_cookie(request, response.headers, csrf.SESSION)


def _close_session(services: Services, actor: Actor, cookie: str) -> None:
    with services.ledger.write() as tx:
        keys.close_session(tx, cookie)
        accounts.add_audit_entry(tx, actor=actor, action="sign out")
