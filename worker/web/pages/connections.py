"""Connections: their health and speed, and a check whether the LMS answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from anyio import to_thread
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from worker import bootstrap, diagnostics, lms
from worker.errors import RosterError
from worker.ledger import jobs, key_value
from worker.ledger.database import now
from worker.model import JobState, Role
from worker.web import notices
from worker.web.auth import require_role
from worker.web.caller import record
from worker.web.pages.rendering import render_page

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.pace.description import PaceDescription
    from worker.web.slots import Slots

#: How many of the newest jobs are searched for those of a connection.
MAX_JOBS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionView:
    """One connection."""

    name: str
    system: str
    host: str
    #: The error in its configuration; empty when there is none.
    error: str = ""
    warnings: tuple[str, ...] = ()
    #: Calls per second.
    rate: float | None = None
    #: How the pace is known, and why; what it waits for and until when, if it waits.
    pace: PaceDescription | None = None
    max_in_flight: int = 0
    last_used: float | None = None
    #: The end of the pause that the LMS asked for, if that is in the future.
    paused_until: float | None = None
    running: int = 0
    queued: int = 0
    #: The newest job that was rate limited, and the newest that is held.
    rate_limited_job: int | None = None
    rate_limited_calls: int = 0
    held_job: int | None = None
    held_reason: str = ""
    lists_people: bool = False
    people_updated: float | None = None

    @property
    def health(self) -> tuple[str, str, str]:
        """Return the tone, sign and label of its health."""
        if self.error:
            return "bad", "!", "Configuration error"
        if self.held_job:
            return "bad", "!", "Action needed"
        if self.paused_until:
            return "warn", "◷", "Paused by the LMS"
        if self.running:
            return "busy", "▸", "Running"
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
    own_jobs = [job for job in newest if job.connection == connection.name]
    pace_key = bootstrap.pace_key(connection)
    pace = key_value.get(tx, pace_key) or {}
    not_before = float(pace.get("not_before") or 0)
    rate_limited = next((job for job in own_jobs if job.rate_limited), None)
    held = next((job for job in own_jobs if job.state is JobState.HELD), None)
    people = f"people:{connection.name}"
    return ConnectionView(
        name=connection.name,
        system=connection.system,
        host=urlsplit(connection.base_url).netloc,
        warnings=warnings,
        rate=services.known_rate(tx, connection),
        pace=services.describe_pace(tx, connection),
        max_in_flight=connection.max_in_flight,
        last_used=key_value.updated_at(tx, pace_key),
        paused_until=not_before if not_before > now() else None,
        running=sum(job.state.is_sending for job in own_jobs),
        queued=sum(job.state is JobState.QUEUED for job in own_jobs),
        rate_limited_job=rate_limited.id if rate_limited else None,
        rate_limited_calls=rate_limited.rate_limited if rate_limited else 0,
        held_job=held.id if held else None,
        held_reason=held.reason if held else "",
        lists_people=lms.rules_of(connection).lists_people,
        people_updated=key_value.updated_at(tx, people),
    )


@require_role(Role.VIEWER)
async def show(request: Request) -> Response:
    """Show all connections."""
    views = await run_in_threadpool(views_of, request.app.state.services)
    return render_page(request, "connections.html", connections=views)


@require_role(Role.OPERATOR)
async def check(request: Request) -> Response:
    """Make one read-only call to the LMS and show the result."""
    services: Services = request.app.state.services
    name = request.path_params["name"]
    await record(request, "connection check", detail=name if name in services.settings.connections else "")
    slots: Slots = request.app.state.slots
    result = await to_thread.run_sync(diagnostics.check_connection, services, name, limiter=slots.questions)
    return notices.redirect(request, "/connections", result.text, tone="good" if result.is_ok else "bad")


routes: list[BaseRoute] = [
    Route("/connections", show),
    Route("/connections/{name}/check", check, methods=["POST"]),
]
