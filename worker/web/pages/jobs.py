"""Jobs: the list, a job with its rows and live progress, and the actions on a job."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from worker import control, lms
from worker.control import JobAction
from worker.errors import RosterError, SettingsError, UsageError
from worker.jobs.resolve import Resolution
from worker.ledger import jobs, resolutions
from worker.model import JobState, Role, RowStatus
from worker.web import limits, notices, numbers
from worker.web.auth import require_role
from worker.web.caller import actor_of
from worker.web.pages.job_rows import ROWS_A_PAGE, RowPage, rows_of
from worker.web.pages.job_view import JobView, view_of, views_of
from worker.web.pages.rendering import render_page
from worker.web.problems import HttpProblem
from worker.web.summaries import MAX_ID, job_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.web.notices import Notice

SEE_OTHER = 303
JOBS_A_PAGE = 50
MAX_ID_LENGTH = 200
#: Actions that ask for confirmation.
_CONFIRMED = (JobAction.CANCEL, JobAction.UNDO)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedResolution:
    """A resolution of a row in doubt that was refused, and why."""

    row: int
    found: str
    lms_id: str
    message: str


@require_role(Role.VIEWER)
async def list_jobs(request: Request) -> Response:
    """List the jobs, newest first."""
    services: Services = request.app.state.services
    text = request.query_params.get("before", "")
    before = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_ID)) else None
    before = min(before, MAX_ID) if before is not None else None
    views = await run_in_threadpool(newest_jobs, services, JOBS_A_PAGE + 1, before)
    return render_page(
        request,
        "jobs.html",
        views=views[:JOBS_A_PAGE],
        before=before,
        older=views[JOBS_A_PAGE - 1].job.id if len(views) > JOBS_A_PAGE else None,
    )


def newest_jobs(services: Services, limit: int, before: int | None = None) -> list[JobView]:
    """Return the newest jobs; the newest older than the job `before`, when that is given."""
    with services.ledger.read() as tx:
        return views_of(services, tx, jobs.list_jobs(tx, limit, before=before))


@require_role(Role.VIEWER)
async def show(request: Request) -> Response:
    """Show a job with its rows; `part=progress` and `part=job` are what the script of the page renews."""
    services: Services = request.app.state.services
    job_id, query = request.path_params["job"], request.query_params
    if query.get("part") == "progress":
        return render_page(request, "job_progress.html", view=await run_in_threadpool(_read, services, job_id))
    view, rows = await run_in_threadpool(_read_rows, services, job_id, query)
    values: dict[str, Any] = {"view": view, "rows": rows, "max_id_length": MAX_ID_LENGTH}
    if query.get("part") == "job":
        return render_page(request, "job_parts.html", refused=None, **values)
    message = notices.take(request)
    refused = _refused(message, rows)
    return render_page(request, "job.html", refused=refused, message=None if refused else message, **values)


def _refused(message: Notice | None, rows: RowPage) -> RefusedResolution | None:
    """Return the resolution that was refused, when the form of its row is shown; it then has what was typed."""
    if message is None or not message.typed:
        return None
    row = int(message.typed["row"])
    if not any(line.row == row and line.choices for line in rows.page_rows):
        return None
    typed = message.typed
    return RefusedResolution(row=row, found=typed["found"], lms_id=typed["id"], message=message.text)


def _read(services: Services, job_id: int) -> JobView:
    with services.ledger.read() as tx:
        return view_of(services, tx, job_of(tx, job_id))


def _read_rows(services: Services, job_id: int, query: Mapping[str, str]) -> tuple[JobView, RowPage]:
    with services.ledger.read() as tx:
        view = view_of(services, tx, job_of(tx, job_id))
        return view, rows_of(tx, view.job, view.summary, query, has_ids=_has_ids(services, view.job.connection))


def _asks_for_ids(services: Services, job_id: int) -> bool:
    with services.ledger.read() as tx:
        return _has_ids(services, job_of(tx, job_id).connection)


def _has_ids(services: Services, connection: str) -> bool:
    """Return whether registrations have ids at the LMS of a connection; True for one that is not configured now."""
    try:
        return lms.rules_of(services.connection(connection)).numbers_registrations
    except SettingsError:
        return True


_ENTER_ID = "Enter the ID that the LMS shows"
#: What the page says after an action.
_NOTICES = {
    "pause": "Paused. Calls in progress finish; nothing more is sent.",
    "resume": "Resumed.",
    "cancel": "Cancelled. Calls in progress finish; the remaining rows are not sent.",
    "retry": "Sending the rows again. A row keeps its last outcome until there is a new one.",
    "undo": "This job withdraws the registrations of the other job. Older registrations are kept.",
}
_NOTHING_LEFT = "Nothing is left to send. The job was not changed."


def _left_to_resolve(view: JobView) -> str:
    """Return how many rows are still in doubt, and what to do after the last of them."""
    count = view.summary.by_status.get(RowStatus.IN_DOUBT, 0)
    then = f"{'Then s' if count else 'S'}elect Resume." if JobAction.RESUME in view.actions else ""
    return f"{f'{count:,} left.' if count else 'No unconfirmed rows left.'} {then}".strip()


@require_role(Role.OPERATOR)
async def confirm(request: Request) -> Response:
    """Ask for confirmation: show what an action will do."""
    services: Services = request.app.state.services
    action = _action_of(request)
    view = await run_in_threadpool(_read, services, request.path_params["job"])
    starts_early = action is JobAction.RESUME and view.job.state is JobState.SCHEDULED
    sends_rejected = action is JobAction.RETRY and view.can_retry_rejected
    if action not in _CONFIRMED and not starts_early and not sends_rejected:
        return RedirectResponse(f"/jobs/{view.job.id}", SEE_OTHER)
    return render_page(request, "confirm.html", view=view, action=action)


@require_role(Role.OPERATOR)
async def perform(request: Request) -> Response:
    """Pause, resume, cancel, retry or undo a job."""
    services: Services = request.app.state.services
    action, job_id = _action_of(request), request.path_params["job"]
    try:
        form = await limits.read_form(request)
        rejected, course = form.get("rejected") == "true", form.get("course")
        result = await run_in_threadpool(
            control.perform,
            services,
            action,
            job_id,
            actor=actor_of(request),
            rejected=rejected,
            course=None if course is None else str(course),
        )
    except UsageError as error:
        return notices.redirect(request, f"/jobs/{job_id}", str(error), tone="bad")
    notice = _NOTICES[action] if result.is_changed else _NOTHING_LEFT
    if course is not None:
        notice = f"{result.message}."
    return notices.redirect(request, f"/jobs/{result.job_id}", notice)


def _action_of(request: Request) -> JobAction:
    try:
        return JobAction(request.path_params["action"])
    except ValueError:
        raise HttpProblem(404, "There is no page at this address") from None


@require_role(Role.OPERATOR)
async def resolve(request: Request) -> Response:
    """Save the resolution of a row in doubt."""
    services: Services = request.app.state.services
    job_id, row = request.path_params["job"], request.path_params["row"]
    if max(job_id, row) > MAX_ID:
        raise HttpProblem(404, f"Job {job_id} has no row {row}")
    form = await limits.read_form(request)
    found, lms_id = (str(form.get(name, "")).strip() for name in ("found", "id"))
    try:
        resolution = _resolution_of(found, lms_id)
        if resolution.registration_id == "" and await run_in_threadpool(_asks_for_ids, services, job_id):
            raise UsageError(_ENTER_ID)
        save = partial(control.resolve, services, job_id, row, resolution, actor=actor_of(request))
        await to_thread.run_sync(save, limiter=request.app.state.slots.questions)
    except RosterError as error:
        typed = {"row": str(row), "found": found, "id": lms_id[: MAX_ID_LENGTH + 1]}
        return notices.redirect(
            request, f"/jobs/{job_id}?row={row}#answer-{row}", str(error), tone="bad", typed=typed
        )
    view, address = await run_in_threadpool(_next_in_doubt, services, job_id, row)
    return notices.redirect(request, address, f"Row {row}: saved. {_left_to_resolve(view)}")


def _next_in_doubt(services: Services, job_id: int, row: int) -> tuple[JobView, str]:
    """Return a job and the address of its next row in doubt; of the answered row, when none is left."""
    with services.ledger.read() as tx:
        view = view_of(services, tx, job_of(tx, job_id))
        waiting = resolutions.rows_in_doubt(tx, job_id)
    if not waiting:
        return view, f"/jobs/{job_id}?row={row}#rows"
    following = next((number for number in waiting if number > row), waiting[0])
    page = waiting.index(following) // ROWS_A_PAGE + 1
    return view, f"/jobs/{job_id}?status=in_doubt&page={page}#answer-{following}"


def _resolution_of(found: str, lms_id: str) -> Resolution:
    if found == "absent":
        return Resolution(absent=True)
    if found not in {"candidate", "registration"}:
        raise UsageError("Choose what you found in the LMS")
    if len(lms_id) > MAX_ID_LENGTH or not lms_id.isprintable() or (found == "candidate" and not lms_id):
        raise UsageError(_ENTER_ID)
    if found == "candidate":
        return Resolution(candidate_id=lms_id)
    return Resolution(registration_id=lms_id)


numbers.register()
routes: list[BaseRoute] = [
    Route("/jobs", list_jobs),
    Route("/jobs/{job:number}", show),
    Route("/jobs/{job:number}/rows/{row:number}/resolve", resolve, methods=["POST"]),
    Route("/jobs/{job:number}/{action}", confirm),
    Route("/jobs/{job:number}/{action}", perform, methods=["POST"]),
]
