"""Schedules and drop folders: their sources, what is wrong with them, next and last runs, and removal."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from worker.errors import UnknownSchedule
from worker.ledger import schedules, sources
from worker.ledger.database import now
from worker.model import Actor, Role
from worker.schedules import cron, manage, source
from worker.web import notices
from worker.web.auth import require_role
from worker.web.caller import actor_of
from worker.web.pages.rendering import render_page
from worker.web.pages.source_views import ProblemView, folder_views, problem_view
from worker.web.problems import HttpProblem

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.ledger.schedules import Schedule
    from worker.ledger.sources import RosterSource

NEXT_RUNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleView:
    """A schedule, its source without secrets, and its next runs."""

    schedule: Schedule
    source: str
    next_runs: list[float]
    last_file_at: float | None
    problem: ProblemView | None


@require_role(Role.VIEWER)
async def show(request: Request) -> Response:
    """Show all schedules, the next to run first."""
    services: Services = request.app.state.services
    views = await run_in_threadpool(_views, services)
    folders = await run_in_threadpool(folder_views, services)
    return render_page(request, "schedules.html", views=views, folders=folders)


def _views(services: Services) -> list[ScheduleView]:
    with services.ledger.read() as tx:
        all_schedules, known = schedules.list_schedules(tx), sources.all_sources(tx)
    return [
        _view(each, known.get(sources.schedule_source(each.name)))
        for each in sorted(all_schedules, key=lambda each: each.next_at)
    ]


def _view(each: Schedule, recorded: RosterSource | None) -> ScheduleView:
    later = cron.runs(each.cron, each.zone, max(each.next_at, now()))
    count = NEXT_RUNS if each.paused_at is None else 0
    runs = itertools.islice(itertools.chain([each.next_at], later), count)
    return ScheduleView(
        schedule=each,
        source=source.parse_source(each.source).display_text,
        next_runs=list(runs),
        last_file_at=None if recorded is None else recorded.seen_at,
        problem=problem_view(recorded),
    )


@require_role(Role.OPERATOR)
async def confirm_removal(request: Request) -> Response:
    """Ask for confirmation before a schedule is removed."""
    name = request.path_params["name"]
    for view in await run_in_threadpool(_views, request.app.state.services):
        if view.schedule.name == name:
            return render_page(request, "confirm_removal.html", view=view)
    raise _not_found()


@require_role(Role.OPERATOR)
async def remove(request: Request) -> Response:
    """Remove a schedule."""
    await run_in_threadpool(_remove, request.app.state.services, actor_of(request), request.path_params["name"])
    return notices.redirect(request, "/schedules", "The schedule was removed. Existing jobs are kept.")


def _remove(services: Services, actor: Actor, name: str) -> None:
    try:
        manage.remove_schedule(services, name, actor)
    except UnknownSchedule:
        raise _not_found() from None


def _not_found() -> HttpProblem:
    return HttpProblem(404, "There is no schedule with this name. It may have been removed")


routes: list[BaseRoute] = [
    Route("/schedules", show),
    Route("/schedules/{name}/remove", confirm_removal),
    Route("/schedules/{name}/remove", remove, methods=["POST"]),
]
