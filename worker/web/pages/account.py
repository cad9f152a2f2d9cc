"""One's own account: change the password, sign out everywhere, see one's tokens."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

from anyio import to_thread
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from worker.accounts import people
from worker.errors import UsageError
from worker.ledger import accounts
from worker.model import Role
from worker.web import csrf, limits, notices
from worker.web.auth import require_role
from worker.web.caller import actor_of
from worker.web.pages.rendering import render_page
from worker.web.problems import HttpProblem

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.ledger.accounts import Account, Token

OK, SEE_OTHER = 200, 303
MAX_FIELDS, MAX_FIELD_BYTES = 10, 8192
_CHANGED = "Your password was changed, and you are signed out everywhere else."


@require_role(Role.VIEWER)
async def show(request: Request) -> Response:
    """Show the account of the caller."""
    return await _account_page(request)


async def _account_page(request: Request, *, notice: str = "", status: int = OK) -> Response:
    account, tokens = await run_in_threadpool(_read, request)
    return render_page(request, "account.html", status=status, account=account, tokens=tokens, notice=notice)


def _read(request: Request) -> tuple[Account, list[Token]]:
    """Return the account of the caller and its tokens. Raises HttpProblem 403 for callers without a session."""
    services: Services = request.app.state.services
    caller = request.state.caller
    if caller.uses_api_token:
        raise HttpProblem(403, "An account is changed on the page, by somebody who has signed in there")
    with services.ledger.read() as tx:
        account = accounts.find_account(tx, caller.name)
        if account is None:
            raise HttpProblem(404, "There is no account yet: nobody needs to sign in on this machine")
        return account, accounts.list_tokens(tx, account.id)


@require_role(Role.VIEWER)
async def change_password(request: Request) -> Response:
    """Change the password of the caller, who types the current one too."""
    form = await limits.read_form(request, max_fields=MAX_FIELDS, max_field_bytes=MAX_FIELD_BYTES)
    current, password, again = (str(form.get(name, "")) for name in ("current", "password", "again"))
    account, _ = await run_in_threadpool(_read, request)
    if password != again:
        return await _account_page(request, notice="The two new passwords differ. Nothing was changed.", status=422)
    services: Services = request.app.state.services
    try:
        change = functools.partial(
            people.change_own_password,
            services.ledger,
            account,
            current,
            password,
            by=actor_of(request),
            revoke=bool(form.get("revoke")),
        )
        session = await to_thread.run_sync(change, limiter=request.app.state.slots.passwords)
    except people.LockedOut as error:
        await request.app.state.refusals.record(actor_of(request), "password refused", "too many wrong ones")
        shown = await _account_page(request, notice=str(error), status=429)
        shown.headers["Retry-After"] = str(math.ceil(error.seconds))
        return shown
    except people.WrongPassword as error:
        await request.app.state.refusals.record(actor_of(request), "password refused", "the current one is wrong")
        return await _account_page(request, notice=str(error), status=403)
    except UsageError as error:
        return await _account_page(request, notice=str(error), status=422)
    answer = notices.redirect(request, "/account", _CHANGED, tone="good", key=csrf.token_of(session))
    csrf.set_cookie(request, answer.headers, csrf.SESSION, session)
    return answer


@require_role(Role.VIEWER)
async def sign_out_everywhere(request: Request) -> Response:
    """End all sessions of the caller, this one too."""
    account, _ = await run_in_threadpool(_read, request)
    services: Services = request.app.state.services
    await run_in_threadpool(people.sign_out_everywhere, services.ledger, account.name, by=actor_of(request))
    answer = RedirectResponse("/sign-in", SEE_OTHER)
    csrf.delete_cookie(request, answer.headers, csrf.SESSION)
    return answer


routes: list[BaseRoute] = [
    Route("/account", show),
    Route("/account/password", change_password, methods=["POST"]),
    Route("/account/sign-out", sign_out_everywhere, methods=["POST"]),
]
