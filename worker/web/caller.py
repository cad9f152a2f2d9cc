"""The caller of a request, and what it may do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from worker.ledger import accounts
from worker.model import Actor, Role

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An account, the local user while there are no accounts (named `-`), or an anonymous caller (no role)."""

    name: str
    role: Role | None
    #: What a form must send as its field `csrf`, or a script as the header X-CSRF-Token.
    csrf_token: str
    #: Whether the request carries an API token, which another site cannot make a browser send.
    uses_api_token: bool = False
    #: Whether there are no accounts and the request has no valid token: they must open the address with it.
    needs_address: bool = False
    #: Whether the request is for the address with the token.
    opened_address: bool = False

    def has_role(self, needed: Role) -> bool:
        """Tell whether they may do what needs that role; for showing a button or not."""
        return self.role is not None and self.role.includes(needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Who follows a job, for as long as they may."""

    name: str
    #: What they have shown; viewers with the same credentials are asked for once.
    credentials: tuple[str, ...] = field(repr=False)
    #: Asks the ledger whether they still may; blocks.
    may_view: Callable[[], bool] = field(repr=False)


ANONYMOUS = Caller(name="", role=None, csrf_token="")


def actor_of(request: Request) -> Actor:
    """Return who sent a request, for the audit log; the address is the caller's also behind a known proxy."""
    return Actor(name=request.state.caller.name or "-", address=request.client.host if request.client else "")


async def record(request: Request, action: str, *, job_id: int | None = None, detail: str = "") -> None:
    """Record an act of the caller in the audit log."""
    services: Services = request.app.state.services
    actor = actor_of(request)

    def write() -> None:
        with services.ledger.write() as tx:
            accounts.add_audit_entry(tx, actor=actor, action=action, job_id=job_id, detail=detail)

    await run_in_threadpool(write)
