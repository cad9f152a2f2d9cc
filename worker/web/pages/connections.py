"""Connections: how they are, and a call to see whether one answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from worker import bootstrap, diagnostics, lms
from worker.errors import RosterError
from worker.ledger import jobs, key_value
from worker.ledger.database import now
from worker.model import AT_WORK, JobState, Role
from worker.web.auth import needs
from worker.web.pages.rendering import page

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job

#: So many of the newest jobs are looked through for what a connection does.
LOOKED_THROUGH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionView:
    """One connection."""

    name: str
    system: str
    host: str
    #: What is wrong with its configuration; empty when nothing is.
    error: str = ""
    warnings: tuple[str, ...] = ()
    #: Calls a second, and whether somebody configured them or they were found out.
    rate: float | None = None
    rate_is_configured: bool = False
    most_at_once: int = 0
    last_used: float | None = None
    #: Until when the LMS asked for a pause, if that is still ahead.
    pauses_until: float | None = None
    at_work: int = 0
    in_line: int = 0
    #: The newest job that was refused for speed, or that stopped itself.
    refused_job: int | None = None
    refused_calls: int = 0
    held_job: int | None = None
    held_reason: str = ""
    lists_people: bool = False
    people_read: float | None = None

    @property
    def health(self) -> tuple[str, str, str]:
        """Return tone, sign and words of how it is."""
        if self.error:
            return "bad", "!", "Not configured well"
        if self.held_job:
            return "bad", "!", "Needs you"
        if self.pauses_until:
            return "warn", "◷", "The LMS asked for a pause"
        if self.at_work:
            return "busy", "▸", "At work"
        return ("good", "✓", "Ready") if self.last_used else ("quiet", "○", "Not used yet")


def views_of(services: Services) -> list[ConnectionView]:
    """Return all connections, by name."""
    with services.ledger.read() as tx:
        newest = jobs.list_jobs(tx, LOOKED_THROUGH)
        return [_view(services, tx, name, newest) for name in sorted(services.settings.connections)]


def _view(services: Services, tx: Transaction, name: str, newest: list[Job]) -> ConnectionView:
    raw = services.settings.connections[name]
    try:
        connection = services.connection(name)
        warnings = tuple(lms.literal_secrets(connection, raw))
    except RosterError as error:
        return ConnectionView(name=name, system=str(raw.get("system", "")), host="", error=str(error))
    mine = [job for job in newest if job.connection == connection.name]
    memory = bootstrap.pace_memory(connection)
    remembered = key_value.recall(tx, memory) or {}
    not_before = float(remembered.get("not_before") or 0)
    refused = next((job for job in mine if job.rate_limited), None)
    held = next((job for job in mine if job.state is JobState.HELD), None)
    people = f"people:{connection.name}"
    return ConnectionView(
        name=connection.name,
        system=connection.system,
        host=urlsplit(connection.base_url).netloc,
        warnings=warnings,
        rate=services.known_rate(tx, connection),
        rate_is_configured=connection.rate is not None,
        most_at_once=connection.max_in_flight,
        last_used=key_value.remembered_at(tx, memory),
        pauses_until=not_before if not_before > now() else None,
        at_work=sum(job.state in AT_WORK for job in mine),
        in_line=sum(job.state is JobState.QUEUED for job in mine),
        refused_job=refused.id if refused else None,
        refused_calls=refused.rate_limited if refused else 0,
        held_job=held.id if held else None,
        held_reason=held.reason if held else "",
        lists_people=lms.rules_of(connection).lists_people,
        people_read=key_value.remembered_at(tx, people),
    )


@needs(Role.VIEWER)
async def show(request: Request) -> Response:
    """Show all connections."""
    return await _shown(request)


@needs(Role.OPERATOR)
async def check(request: Request) -> Response:
    """Make one harmless call and say how it went."""
    services: Services = request.app.state.services
    good, told = await run_in_threadpool(diagnostics.check_connection, services, request.path_params["name"])
    return await _shown(request, told=told, good=good)


async def _shown(request: Request, *, told: str = "", good: bool = True) -> Response:
    views = await run_in_threadpool(views_of, request.app.state.services)
    return page(request, "connections.html", connections=views, told=told, good=good)


routes: list[BaseRoute] = [
    Route("/connections", show),
    Route("/connections/{name}/check", check, methods=["POST"]),
]
