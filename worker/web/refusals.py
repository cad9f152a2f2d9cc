"""Refused requests in the audit log: of the same kind from the same caller one line an hour, which counts them.

So a flood cannot fill the ledger: in an hour at most MAX_LINES lines are added, and one for all further ones.
The first of each kind is recorded before the response is sent; the counts are saved once a minute and at the end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog
from starlette.concurrency import run_in_threadpool

from worker.accounts.guessing import network_of
from worker.errors import RosterError
from worker.ledger import accounts
from worker.model import Actor
from worker.web.caller import actor_of
from worker.web.problems import HttpProblem, refusal_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.ledger.transactions import Ledger

#: How long refusals are counted on one line, and how many lines are added in that time.
WINDOW_SECONDS, MAX_LINES = 3600.0, 100
#: How often counts are saved (seconds).
SAVE_SECONDS = 60.0
FURTHER = "refused"
log = structlog.get_logger("roster")


@dataclass(slots=True)
class _Line:
    """A line of the audit log; without an id it is being added."""

    count: int = 1
    saved: int = 1
    id: int | None = None


class RefusalLog:
    """Records refusals; all methods are called on the event loop, which alone changes the counts."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lines: dict[tuple[str, str, str, str], _Line] = {}
        self._full: list[_Line] = []
        self._begun = time.monotonic()

    async def record(self, actor: Actor, action: str, detail: str = "") -> None:
        """Record a refusal. A ledger that cannot be written does not change the response."""
        if time.monotonic() - self._begun > WINDOW_SECONDS:
            self._full += self._lines.values()
            self._lines, self._begun = {}, time.monotonic()
        key = (actor.name, network_of(actor.address), action, detail)
        if key not in self._lines and len(self._lines) >= MAX_LINES:
            actor, action, detail = Actor(name="-"), FURTHER, "further requests, from any address"
            key = (actor.name, "", action, detail)
        if line := self._lines.get(key):
            line.count += 1
            return
        line = self._lines[key] = _Line()
        try:
            line.id = await run_in_threadpool(self._add, actor, action, detail)
        except RosterError as error:
            del self._lines[key]
            log.warning("a refusal is not in the audit log", reason=type(error).__name__)

    def _add(self, actor: Actor, action: str, detail: str) -> int:
        with self._ledger.write() as tx:
            return accounts.add_audit_entry(tx, actor=actor, action=action, detail=detail)

    async def save_counts(self) -> None:
        """Save the counts that have changed since they were last saved."""
        changed = [
            line for line in (*self._full, *self._lines.values()) if line.id is not None and line.count > line.saved
        ]
        counts = [(line.id, line.count) for line in changed if line.id is not None]
        if not counts:
            return
        try:
            await run_in_threadpool(self._save, counts)
        except RosterError as error:
            log.warning("counts of refusals are not saved", reason=type(error).__name__)
            return
        for line, (_, count) in zip(changed, counts, strict=True):
            line.saved = count
        self._full = [line for line in self._full if line.id is None or line.count > line.saved]

    def _save(self, counts: Iterable[tuple[int, int]]) -> None:
        with self._ledger.write() as tx:
            for entry_id, count in counts:
                accounts.count_audit_entry(tx, entry_id, count)

    async def keep_saving(self) -> None:
        """Save the counts once a minute, until it is cancelled."""
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            await self.save_counts()


async def record_refusal(request: Request, problem: HttpProblem) -> None:
    """Record a refused request in the audit log; other problems are none."""
    refusal = refusal_of(problem)
    if refusal is None:
        return
    actor = actor_of(request)
    if actor.name == "-" and refusal.account:
        actor = replace(actor, name=refusal.account)
    route = getattr(request.scope.get("route"), "path", "")
    refusals: RefusalLog = request.app.state.refusals
    await refusals.record(actor, refusal.action, refusal.detail or (f"{request.method} {route}" if route else ""))
