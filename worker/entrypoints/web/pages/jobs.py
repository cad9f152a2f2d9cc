"""Jobs: the list, one of them with its rows, live; and what a person may do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from worker.entrypoints.web import bodies, steering
from worker.entrypoints.web.pages.job_rows import RowPage, rows_of
from worker.entrypoints.web.pages.job_view import JobView, view_of
from worker.entrypoints.web.pages.rendering import page
from worker.entrypoints.web.problems import Problem
from worker.entrypoints.web.security import needs
from worker.entrypoints.web.steering import Act
from worker.entrypoints.web.summaries import LARGEST, job_of
from worker.errors import RosterError, UsageError
from worker.ledger import jobs
from worker.model import Role
from worker.registration import steer

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services

SEE_OTHER = 303
JOBS_A_PAGE = 50
LONGEST_ID = 200
#: Acts that are asked back about before they are done.
_ASKED_BACK = (Act.CANCEL, Act.UNDO)


@needs(Role.VIEWER)
async def list_jobs(request: Request) -> Response:
    """List the jobs, newest first."""
    services: Services = request.app.state.services
    views = await run_in_threadpool(newest, services, JOBS_A_PAGE)
    return page(request, "jobs.html", views=views, most=JOBS_A_PAGE)


def newest(services: Services, most: int) -> list[JobView]:
    """Return the newest jobs."""
    with services.ledger.read() as tx:
        return [view_of(services, tx, job, brief=True) for job in jobs.list_jobs(tx, most)]


@needs(Role.VIEWER)
async def show(request: Request) -> Response:
    """Show a job with its rows; `part=now` only where it stands, for the page's own script."""
    return await _shown(request)


async def _shown(request: Request, *, told: str = "", status: int = 200) -> Response:
    services: Services = request.app.state.services
    part = request.query_params.get("part") == "now"
    view, rows = await run_in_threadpool(_read, services, request, with_rows=not part)
    template = "job_now.html" if part else "job.html"
    return page(request, template, status=status, view=view, rows=rows, told=told or _told(request))


def _read(services: Services, request: Request, *, with_rows: bool) -> tuple[JobView, RowPage | None]:
    with services.ledger.read() as tx:
        job = job_of(tx, request.path_params["job"])
        view = view_of(services, tx, job)
        rows = rows_of(tx, job, view.summary.by_status, request.query_params) if with_rows else None
    return view, rows


#: What the page says after an act; by a name, since anybody may write an address.
_TOLD = {
    "twin": "This very roster is at work already: this is its job. Nothing was sent twice.",
    "pause": "Paused: calls under way finish, nothing more is sent.",
    "resume": "The job goes on.",
    "cancel": "Cancelled: calls under way finish, the rest is never sent.",
    "retry": "The rows for which nothing was done are sent again.",
    "undo": "This job withdraws what the other one registered, and leaves what was there before.",
    "resolve": "Noted. When all rows in doubt have their answer, press “Go on” or “Send again”, if it is there.",
}


def _told(request: Request) -> str:
    return _TOLD.get(request.query_params.get("told", ""), "")


@needs(Role.OPERATOR)
async def ask_back(request: Request) -> Response:
    """Say what an act will do before it is done."""
    services: Services = request.app.state.services
    what = _act(request)
    view, _ = await run_in_threadpool(_read, services, request, with_rows=False)
    if what not in _ASKED_BACK:
        return RedirectResponse(f"/jobs/{view.job.id}", SEE_OTHER)
    return page(request, "confirm.html", view=view, act=what)


@needs(Role.OPERATOR)
async def act(request: Request) -> Response:
    """Pause, resume, cancel, retry or undo a job."""
    services: Services = request.app.state.services
    what, job_id = _act(request), request.path_params["job"]
    try:
        told = await run_in_threadpool(steering.act, services, request.state.who, what, job_id)
    except UsageError as error:
        return await _shown(request, told=str(error), status=409)
    return RedirectResponse(f"/jobs/{told.job_id}?told={what}", SEE_OTHER)


def _act(request: Request) -> Act:
    try:
        return Act(request.path_params["act"])
    except ValueError:
        raise Problem(404, "There is nothing at this address") from None


@needs(Role.OPERATOR)
async def resolve(request: Request) -> Response:
    """Take a person's answer on a row in doubt."""
    services: Services = request.app.state.services
    job_id, row = request.path_params["job"], request.path_params["row"]
    if max(job_id, row) > LARGEST:
        raise Problem(404, f"Job {job_id} has no row {row}")
    form = {name: str(value).strip() for name, value in (await bodies.form_of(request)).items()}
    try:
        await run_in_threadpool(
            steering.resolve,
            services,
            request.state.who,
            job_id,
            row,
            _answer(form.get("found", ""), form.get("id", "")),
        )
    except RosterError as error:
        return await _shown(request, told=str(error), status=409)
    return RedirectResponse(f"/jobs/{job_id}?status=in_doubt&told=resolve", SEE_OTHER)


def _answer(found: str, lms_id: str) -> steer.Answer:
    if found == "absent":
        return steer.Answer(absent=True)
    if found not in {"candidate", "registration"}:
        raise UsageError("Say what you found in the LMS: choose one of the answers")
    if not lms_id or len(lms_id) > LONGEST_ID or not lms_id.isprintable():
        raise UsageError("Write the id that the LMS shows for it")
    if found == "candidate":
        return steer.Answer(candidate_id=lms_id)
    return steer.Answer(registration_id=lms_id)


routes: list[BaseRoute] = [
    Route("/jobs", list_jobs),
    Route("/jobs/{job:int}", show),
    Route("/jobs/{job:int}/rows/{row:int}/resolve", resolve, methods=["POST"]),
    Route("/jobs/{job:int}/{act}", ask_back),
    Route("/jobs/{job:int}/{act}", act, methods=["POST"]),
]
