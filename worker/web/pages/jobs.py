"""Jobs: the list, one of them with its rows, live; and what a person may do to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from worker.errors import RosterError, UsageError
from worker.jobs import lifecycle
from worker.ledger import jobs
from worker.model import JobState, Role
from worker.web import job_actions, limits
from worker.web.auth import needs
from worker.web.job_actions import Act
from worker.web.pages.job_rows import RowPage, rows_of
from worker.web.pages.job_view import JobView, view_of
from worker.web.pages.rendering import page
from worker.web.problems import Problem
from worker.web.summaries import LARGEST, job_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from worker.bootstrap import Services

SEE_OTHER, BAD_REQUEST = 303, 400
JOBS_A_PAGE = 50
LONGEST_ID = 200
#: Acts that are asked back about before they are done.
_ASKED_BACK = (Act.CANCEL, Act.UNDO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer on a row in doubt that was not taken, and why."""

    row: int
    found: str
    lms_id: str
    told: str


@needs(Role.VIEWER)
async def list_jobs(request: Request) -> Response:
    """List the jobs, newest first."""
    services: Services = request.app.state.services
    text = request.query_params.get("before", "")
    before = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST)) else None
    before = min(before, LARGEST) if before is not None else None
    views = await run_in_threadpool(newest, services, JOBS_A_PAGE + 1, before)
    return page(
        request,
        "jobs.html",
        views=views[:JOBS_A_PAGE],
        before=before,
        older=views[JOBS_A_PAGE - 1].job.id if len(views) > JOBS_A_PAGE else None,
    )


def newest(services: Services, most: int, before: int | None = None) -> list[JobView]:
    """Return the newest jobs; the newest older than the job `before`, when that is given."""
    with services.ledger.read() as tx:
        return [view_of(services, tx, job, brief=True) for job in jobs.list_jobs(tx, most, before=before)]


@needs(Role.VIEWER)
async def show(request: Request) -> Response:
    """Show a job with its rows; `part=now` only where it stands, for the page's own script."""
    return await _shown(request)


async def _shown(
    request: Request, *, told: str = "", status: int = 200, refused: Refusal | None = None
) -> Response:
    """Show a job; with what was `refused` the row that it is about, its form holding what was typed."""
    services: Services = request.app.state.services
    job_id, query = request.path_params["job"], {"row": str(refused.row)} if refused else request.query_params
    if request.query_params.get("part") == "now":
        view = await run_in_threadpool(_read, services, job_id)
        return page(request, "job_now.html", status=status, view=view)
    view, rows = await run_in_threadpool(_read_rows, services, job_id, query)
    if refused and not any(line.row == refused.row and line.choices for line in rows.lines):
        told = refused.told
    return page(
        request,
        "job.html",
        status=status,
        view=view,
        rows=rows,
        told=told or _told(request),
        is_refused=status >= BAD_REQUEST,
        refused=refused,
        longest_id=LONGEST_ID,
    )


def _read(services: Services, job_id: int) -> JobView:
    with services.ledger.read() as tx:
        return view_of(services, tx, job_of(tx, job_id))


def _read_rows(services: Services, job_id: int, query: Mapping[str, str]) -> tuple[JobView, RowPage]:
    with services.ledger.read() as tx:
        view = view_of(services, tx, job_of(tx, job_id))
        return view, rows_of(tx, view.job, view.summary.by_status, query)


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
    view = await run_in_threadpool(_read, services, request.path_params["job"])
    begins_early = what is Act.RESUME and view.job.state is JobState.SCHEDULED
    if what not in _ASKED_BACK and not begins_early:
        return RedirectResponse(f"/jobs/{view.job.id}", SEE_OTHER)
    return page(request, "confirm.html", view=view, act=what)


@needs(Role.OPERATOR)
async def act(request: Request) -> Response:
    """Pause, resume, cancel, retry or undo a job."""
    services: Services = request.app.state.services
    what, job_id = _act(request), request.path_params["job"]
    try:
        told = await run_in_threadpool(job_actions.act, services, request.state.who, what, job_id)
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
    form = await limits.form_of(request)
    found, lms_id = (str(form.get(name, "")).strip() for name in ("found", "id"))
    try:
        answer = _answer(found, lms_id)
        await run_in_threadpool(job_actions.resolve, services, request.state.who, job_id, row, answer)
    except RosterError as error:
        refused = Refusal(row=row, found=found, lms_id=lms_id, told=str(error))
        return await _shown(request, status=409, refused=refused)
    return RedirectResponse(f"/jobs/{job_id}?status=in_doubt&told=resolve", SEE_OTHER)


def _answer(found: str, lms_id: str) -> lifecycle.Answer:
    if found == "absent":
        return lifecycle.Answer(absent=True)
    if found not in {"candidate", "registration"}:
        raise UsageError("Say what you found in the LMS: choose one of the answers")
    if not lms_id or len(lms_id) > LONGEST_ID or not lms_id.isprintable():
        raise UsageError("Write the id that the LMS shows for it")
    if found == "candidate":
        return lifecycle.Answer(candidate_id=lms_id)
    return lifecycle.Answer(registration_id=lms_id)


routes: list[BaseRoute] = [
    Route("/jobs", list_jobs),
    Route("/jobs/{job:int}", show),
    Route("/jobs/{job:int}/rows/{row:int}/resolve", resolve, methods=["POST"]),
    Route("/jobs/{job:int}/{act}", ask_back),
    Route("/jobs/{job:int}/{act}", act, methods=["POST"]),
]
