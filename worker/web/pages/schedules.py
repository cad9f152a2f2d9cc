"""Schedules and drop folders: their sources, what is wrong with them, next and last runs; and what can be done."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from worker import control
from worker.errors import NothingSent, UnknownSchedule, UsageError
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
    from collections.abc import Callable

    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.ledger.schedules import Schedule
    from worker.ledger.sources import RosterSource
    from worker.web.auth import Endpoint

NEXT_RUNS = 3
#: What asks for confirmation, and its page.
_CONFIRMED = {"remove": "confirm_removal.html", "run": "confirm_run.html"}


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
async def confirm(request: Request) -> Response:
    """Ask for confirmation before a schedule is removed, or registers people now."""
    template = _CONFIRMED[request.url.path.rpartition("/")[2]]
    view = await run_in_threadpool(_view_of, request.app.state.services, request.path_params["name"])
    return render_page(request, template, view=view)


def _view_of(services: Services, name: str) -> ScheduleView:
    found = next((view for view in _views(services) if view.schedule.name == name), None)
    if found is None:
        raise _not_found()
    return found


def _action(change: Callable[[Services, str, Actor], object], done: str) -> Endpoint:
    """Return the endpoint that changes a schedule and shows all of them again, with what was done."""

    @require_role(Role.OPERATOR)
    async def do(request: Request) -> Response:
        services, name = request.app.state.services, request.path_params["name"]
        try:
            await run_in_threadpool(change, services, name, actor_of(request))
        except UnknownSchedule:
            raise _not_found() from None
        except UsageError as error:
            return notices.redirect(request, "/schedules", str(error), tone="bad")
        return notices.redirect(request, "/schedules", f"The schedule {name} {done}")

    do.__doc__ = done
    return do


@require_role(Role.OPERATOR)
async def run(request: Request) -> Response:
    """Run a schedule now and show its job."""
    services, name = request.app.state.services, request.path_params["name"]
    ask = partial(control.run_schedule, services, name, actor=actor_of(request))
    try:
        async with request.app.state.heavy:
            opened = await run_in_threadpool(ask)
    except UnknownSchedule:
        raise _not_found() from None
    except NothingSent as error:
        return notices.redirect(request, "/schedules", f"{name}: {error}", tone="bad")
    return notices.redirect(request, f"/jobs/{opened.job_id}", f"Schedule {name} started this job.")


def _not_found() -> HttpProblem:
    return HttpProblem(404, "There is no schedule with this name. It may have been removed")


routes: list[BaseRoute] = [
    Route("/schedules", show),
    *(
        Route(f"/schedules/{{name}}/{action}", endpoint, methods=["POST"])
        for action, endpoint in (
            ("pause", _action(manage.pause_schedule, "is paused. It opens no jobs until it is resumed.")),
            ("resume", _action(manage.resume_schedule, "is resumed. Runs that it missed are not caught up.")),
            ("remove", _action(manage.remove_schedule, "was removed. Existing jobs are kept.")),
            ("run", run),
        )
    ),
    *(Route(f"/schedules/{{name}}/{action}", confirm) for action in _CONFIRMED),
]
