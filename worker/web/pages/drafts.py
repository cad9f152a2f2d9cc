"""Drafts: an uploaded roster is saved, previewed, changed, and then sent or discarded."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from worker import lms
from worker.errors import UsageError
from worker.jobs import drafts, same_file
from worker.model import Action, JobState, Role
from worker.reports.column_labels import COLUMN_GROUPS
from worker.reports.labels import STATE_INFO, waiting_elsewhere_text
from worker.reports.lines import utc_text
from worker.web import limits, notices, uploads
from worker.web.auth import require_role
from worker.web.caller import actor_of, record
from worker.web.forms import JobRequest
from worker.web.pages import draft_form, preview, reviewed
from worker.web.pages.rendering import render_page
from worker.web.problems import HttpProblem
from worker.web.summaries import job_of
from worker.web.uploads import Upload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.jobs.drafts import Draft
    from worker.web.pages.preview import Preview

OK, SEE_OTHER, UNPROCESSABLE = 200, 303, 422
#: The encodings to choose from for a text file; the command line takes others too.
ENCODINGS = (
    ("utf-8", "UTF-8"),
    ("cp1252", "Western (Windows)"),
    ("mac-roman", "Western (Mac)"),
    ("cp1250", "Central European (Windows)"),
    ("cp1251", "Cyrillic (Windows)"),
    ("cp1254", "Turkish (Windows)"),
    ("cp932", "Japanese (Shift JIS)"),
    ("gb18030", "Chinese (GB 18030)"),
    ("utf-16", "UTF-16"),
)


@require_role(Role.OPERATOR, upload=True)
async def upload(request: Request) -> Response:
    """Save an uploaded roster as a draft."""
    services: Services = request.app.state.services
    limit = services.settings.serve.max_upload_mb * 1024 * 1024
    received = await uploads.receive_upload(request, into=drafts.folder(services), limit=limit)
    name = dict(received.fields).get("connection") or None
    try:
        connection = services.connection(name).name
        draft = await run_in_threadpool(
            drafts.create,
            services,
            received.path,
            name=received.name,
            connection=connection,
            by=request.state.caller.name,
        )
        await record(request, "draft upload", detail=f"to {connection}")
    finally:
        received.discard()
    return RedirectResponse(f"/drafts/{draft.id}", SEE_OTHER)


@require_role(Role.OPERATOR)
async def show(request: Request) -> Response:
    """Show a draft with its preview; with `part=state`, only which version it has now, or that it is gone."""
    if request.query_params.get("part") == "state":
        found = drafts.find(request.app.state.services, request.path_params["draft"])
        return HTMLResponse(f'<p id="draft" data-version="{found.version if found else "gone"}"></p>')
    draft = _find(request)
    return await _draft_page(request, draft)


@require_role(Role.OPERATOR)
async def change(request: Request) -> Response:
    """Change the options and make the preview again; or send, when the options are those of the preview."""
    services: Services = request.app.state.services
    draft = _find(request)
    form = {name: str(value) for name, value in (await limits.read_form(request)).items()}
    typed = {name: value.replace("\0", "") for name, value in form.items()}
    shown = await _preview(request, draft)
    try:
        connection, options, start = draft_form.parse(services, form, draft, shown)
    except draft_form.FormErrors as error:
        return await _draft_page(request, draft, errors=error.by_field, typed=typed)
    at, zone_minutes = (form.get(name, "").strip() for name in ("at", "zone_minutes"))
    changed = replace(draft, connection=connection, options=options, at=at, zone_minutes=zone_minutes)
    await run_in_threadpool(drafts.change, services, draft, changed)
    if changed != draft:
        await record(request, "draft change", detail=f"to {connection}")
    if form.get("do") != "send":
        drafts.delete_preview(services, draft)
        return RedirectResponse(f"/drafts/{draft.id}", SEE_OTHER)
    if (connection, options) != (draft.connection, draft.options):
        notice = "Nothing was sent yet: the settings have changed. Review the new summary, then send."
        return notices.redirect(request, f"/drafts/{draft.id}", notice, tone="warn")
    if reason := obstacle(changed, shown):
        return await _draft_page(request, changed, notice=reason)
    async with request.app.state.heavy:
        return await run_in_threadpool(_send, request, changed, shown, start)


def obstacle(draft: Draft, shown: Preview) -> str:
    """Return why a draft cannot be sent as it is; empty when it can."""
    if shown.error:
        return "Fix the problem above to continue."
    if draft.options.strict and shown.invalid:
        return "Some rows have errors, and “All or nothing” is selected. Fix the rows, or clear that option."
    return ""


def _send(request: Request, draft: Draft, shown: Preview, start: float | None) -> Response:
    services: Services = request.app.state.services
    upload = Upload(path=drafts.path_of(services, draft), name=draft.name, fields=[])
    job_request = JobRequest(
        connection=services.connection(draft.connection), options=draft.options, start_at=start
    )
    submission = uploads.submit_upload(services, actor_of(request), upload, job_request, origin="page")
    drafts.remove(services, draft)
    address = f"/jobs/{submission.job_id}"
    if submission.duplicate:
        with services.ledger.read() as tx:
            job = job_of(tx, submission.job_id)
        state = STATE_INFO[job.state].label.lower()
        if job.state is JobState.SCHEDULED and job.not_before is not None:
            state += f" for {utc_text(datetime.fromtimestamp(job.not_before, UTC))}"
        text = f"This file is already job {submission.job_id} ({state}). Nothing was sent twice."
        return notices.redirect(request, address, text)
    with services.ledger.write() as tx:
        reviewed.save(tx, submission.job_id, shown)
    return RedirectResponse(address, SEE_OTHER)


@require_role(Role.OPERATOR)
async def confirm_discard(request: Request) -> Response:
    """Ask for confirmation before a draft is discarded."""
    return render_page(request, "confirm_discard.html", draft=_find(request))


@require_role(Role.OPERATOR)
async def discard(request: Request) -> Response:
    """Discard a draft."""
    draft = _find(request)
    await run_in_threadpool(drafts.remove, request.app.state.services, draft)
    await record(request, "draft discard")
    return notices.redirect(request, "/", "Discarded. Nothing was sent.")


def _find(request: Request) -> Draft:
    draft = drafts.find(request.app.state.services, request.path_params["draft"])
    if draft is None:
        raise HttpProblem(
            404,
            "This draft no longer exists: it was sent, discarded, or is older than a day. Upload the file again",
        )
    return draft


async def _preview(request: Request, draft: Draft) -> Preview:
    """Return the preview of a draft; a slow one waits outside the threads, so that other pages are still served."""
    make = partial(
        preview.preview_of, request.app.state.services, draft, is_shown=request.method in {"GET", "HEAD"}
    )
    async with request.app.state.heavy:
        return await run_in_threadpool(make)


async def _draft_page(
    request: Request,
    draft: Draft,
    *,
    notice: str = "",
    errors: Mapping[str, str] | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    """Show a draft; its form has what was `typed` when that has `errors`, by field, else what is saved."""
    services: Services = request.app.state.services
    shown = await _preview(request, draft)
    with services.ledger.read() as tx:
        same = same_file.find(tx, draft.connection, shown.fingerprint) if shown.fingerprint else None
    try:
        can_update = Action.UPDATE in lms.rules_of(services.connection(draft.connection)).actions
    except UsageError:
        can_update = False
    return render_page(
        request,
        "draft.html",
        status=UNPROCESSABLE if notice or errors else OK,
        draft=draft,
        preview=shown,
        notice=notice,
        errors=errors or _errors_of(shown),
        obstacle=obstacle(draft, shown),
        same=same,
        same_state=STATE_INFO[same.state].label.lower() if same else "",
        waiting_elsewhere=[waiting_elsewhere_text(count, job) for job, count in shown.waiting_elsewhere.items()],
        groups=COLUMN_GROUPS,
        encodings=ENCODINGS,
        connections=sorted(services.settings.connections),
        can_update=can_update,
        fields=defaultdict(str, typed or draft_form.fields_of(draft)),
        max_defaults=draft_form.MAX_DEFAULTS,
    )


def _errors_of(shown: Preview) -> dict[str, str]:
    """Return the error of the preview at its field, when it is about one."""
    return {"course": shown.error} if shown.error.startswith("--course") else {}


routes: list[BaseRoute] = [
    Route("/drafts", upload, methods=["POST"]),
    Route("/drafts/{draft}", show),
    Route("/drafts/{draft}", change, methods=["POST"]),
    Route("/drafts/{draft}/discard", confirm_discard),
    Route("/drafts/{draft}/discard", discard, methods=["POST"]),
]
