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
from worker.model import JobState, Role
from worker.web.auth import require_role
from worker.web.pages.rendering import page

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job

#: So many of the newest jobs are looked through for what a connection does.
MAX_JOBS = 200


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
    max_in_flight: int = 0
    last_used: float | None = None
    #: Until when the LMS asked for a pause, if that is still ahead.
    paused_until: float | None = None
    running: int = 0
    queued: int = 0
    #: The newest job that was refused for speed, or that stopped itself.
    rate_limited_job: int | None = None
    rate_limited_calls: int = 0
    held_job: int | None = None
    held_reason: str = ""
    lists_people: bool = False
    people_updated: float | None = None

    @property
    def health(self) -> tuple[str, str, str]:
        """Return tone, sign and words of how it is."""
        if self.error:
            return "bad", "!", "Not configured well"
        if self.held_job:
            return "bad", "!", "Needs you"
        if self.paused_until:
            return "warn", "◷", "The LMS asked for a pause"
        if self.running:
            return "busy", "▸", "At work"
        return ("good", "✓", "Ready") if self.last_used else ("quiet", "○", "Not used yet")


def views_of(services: Services) -> list[ConnectionView]:
    """Return all connections, by name."""
    with services.ledger.read() as tx:
        newest = jobs.list_jobs(tx, MAX_JOBS)
        return [_view(services, tx, name, newest) for name in sorted(services.settings.connections)]


def _view(services: Services, tx: Transaction, name: str, newest: list[Job]) -> ConnectionView:
    raw = services.settings.connections[name]
    try:
        connection = services.connection(name)
        warnings = tuple(lms.literal_secrets(connection, raw))
    except RosterError as error:
        return ConnectionView(name=name, system=str(raw.get("system", "")), host="", error=str(error))
    mine = [job for job in newest if job.connection == connection.name]
    memory = bootstrap.pace_key(connection)
    remembered = key_value.get(tx, memory) or {}
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
        max_in_flight=connection.max_in_flight,
        last_used=key_value.updated_at(tx, memory),
        paused_until=not_before if not_before > now() else None,
        running=sum(job.state.is_sending for job in mine),
        queued=sum(job.state is JobState.QUEUED for job in mine),
        rate_limited_job=refused.id if refused else None,
        rate_limited_calls=refused.rate_limited if refused else 0,
        held_job=held.id if held else None,
        held_reason=held.reason if held else "",
        lists_people=lms.rules_of(connection).lists_people,
        people_updated=key_value.updated_at(tx, people),
    )


@require_role(Role.VIEWER)
async def show(request: Request) -> Response:
    """Show all connections."""
    return await _connections_page(request)


@require_role(Role.OPERATOR)
async def check(request: Request) -> Response:
    """Make one harmless call and say how it went."""
    services: Services = request.app.state.services
    good, told = await run_in_threadpool(diagnostics.check_connection, services, request.path_params["name"])
    return await _connections_page(request, notice=told, good=good)


async def _connections_page(request: Request, *, notice: str = "", good: bool = True) -> Response:
    views = await run_in_threadpool(views_of, request.app.state.services)
    return page(request, "connections.html", connections=views, told=notice, good=good)


routes: list[BaseRoute] = [
    Route("/connections", show),
    Route("/connections/{name}/check", check, methods=["POST"]),
]
