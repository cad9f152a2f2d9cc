"""Schedules: what comes again and again, when it comes next, and how to end that."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from worker.ledger import accounts, schedules
from worker.ledger.database import now
from worker.model import Role
from worker.schedules import cron, source
from worker.web.auth import needs
from worker.web.pages.rendering import page
from worker.web.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.ledger.schedules import Schedule
    from worker.web.auth import Who

NEXT_RUNS = 3
_TOLD = {"removed": "The schedule is removed; jobs that it opened stay."}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleView:
    """A schedule, where its rosters come from without what is secret in that, and its next runs."""

    schedule: Schedule
    source: str
    next_runs: list[float]


@needs(Role.VIEWER)
async def show(request: Request) -> Response:
    """Show all schedules, the next to run first."""
    views = await run_in_threadpool(_views, request.app.state.services)
    told = _TOLD.get(request.query_params.get("told", ""), "")
    return page(request, "schedules.html", views=views, told=told)


def _views(services: Services) -> list[ScheduleView]:
    with services.ledger.read() as tx:
        kept = schedules.list_schedules(tx)
    return [_view(each) for each in sorted(kept, key=lambda each: each.next_at)]


def _view(each: Schedule) -> ScheduleView:
    later = cron.runs(each.cron, each.zone, max(each.next_at, now()))
    runs = itertools.islice(itertools.chain([each.next_at], later), NEXT_RUNS)
    return ScheduleView(schedule=each, source=source.parse(each.source).shown, next_runs=list(runs))


@needs(Role.OPERATOR)
async def ask_back(request: Request) -> Response:
    """Ask before a schedule is removed."""
    name = request.path_params["name"]
    for view in await run_in_threadpool(_views, request.app.state.services):
        if view.schedule.name == name:
            return page(request, "confirm_removal.html", view=view)
    raise _gone()


@needs(Role.OPERATOR)
async def remove(request: Request) -> Response:
    """Remove a schedule."""
    await run_in_threadpool(_remove, request.app.state.services, request.state.who, request.path_params["name"])
    return RedirectResponse("/schedules?told=removed", 303)


def _remove(services: Services, who: Who, name: str) -> None:
    with services.ledger.write() as tx:
        if not schedules.remove(tx, name):
            raise _gone()
        accounts.note(tx, who=who.name, act="schedule remove", job_id=None, detail=name)


def _gone() -> Problem:
    return Problem(404, "There is no schedule of that name any more")


routes: list[BaseRoute] = [
    Route("/schedules", show),
    Route("/schedules/{name}/remove", ask_back),
    Route("/schedules/{name}/remove", remove, methods=["POST"]),
]
