"""A dropped roster before anything is sent: keep it, show what was understood, change that, send it or not."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from worker import lms
from worker.errors import RosterError, UsageError
from worker.jobs import drafts
from worker.model import Action, Role
from worker.web import job_actions, limits, uploads
from worker.web.auth import needs
from worker.web.forms import Wanted
from worker.web.pages import draft_form, preview
from worker.web.pages.labels import COLUMN_GROUPS
from worker.web.pages.rendering import page
from worker.web.problems import Problem
from worker.web.uploads import Upload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.jobs.drafts import Draft
    from worker.web.pages.preview import Look

SEE_OTHER = 303
#: What a person may choose for a text file; anything else can be typed on the command line.
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


@needs(Role.OPERATOR, upload=True)
async def drop(request: Request) -> Response:
    """Take a dropped roster as a draft."""
    services: Services = request.app.state.services
    limit = services.settings.serve.max_upload_mb * 1024 * 1024
    upload = await uploads.take_upload(request, into=drafts.folder(services), limit=limit)
    wanted = dict(upload.fields).get("connection") or None
    try:
        connection = services.connection(wanted).name
        draft = await run_in_threadpool(
            drafts.keep,
            services,
            upload.path,
            name=upload.name,
            connection=connection,
            by=request.state.who.name,
        )
    finally:
        upload.discard()
    return RedirectResponse(f"/drafts/{draft.id}", SEE_OTHER)


@needs(Role.OPERATOR)
async def show(request: Request) -> Response:
    """Show what was understood of a draft."""
    draft = _found(request)
    return await _shown(request, draft)


@needs(Role.OPERATOR)
async def change(request: Request) -> Response:
    """Look again with other options; or send, when what is asked for is what was looked at."""
    services: Services = request.app.state.services
    draft = _found(request)
    form = {name: str(value) for name, value in (await limits.form_of(request)).items()}
    typed = {name: value.replace("\0", "") for name, value in form.items()}
    seen = await _look(request, draft)
    try:
        connection = services.connection(form.get("connection") or draft.connection).name
        options = draft_form.options_of(form, draft.options, seen)
        start = draft_form.starting_time(form)
    except RosterError as error:
        return await _shown(request, draft, told=str(error), status=422, typed=typed)
    at, zone_minutes = (form.get(name, "").strip() for name in ("at", "zone_minutes"))
    changed = replace(draft, connection=connection, options=options, at=at, zone_minutes=zone_minutes)
    await run_in_threadpool(drafts.change, services, draft, changed)
    if form.get("do") != "go":
        drafts.forget_look(services, draft)
        return RedirectResponse(f"/drafts/{draft.id}", SEE_OTHER)
    if (connection, options) != (draft.connection, draft.options):
        told = "You changed something, so nothing was sent yet: look at what it comes to now, then send it."
        return await _shown(request, changed, told=told)
    if why := hindrance(changed, seen):
        return await _shown(request, changed, told=why, status=422)
    async with request.app.state.heavy:
        return await run_in_threadpool(_send, request, changed, start)


def hindrance(draft: Draft, seen: Look) -> str:
    """Return why a draft cannot be sent as it is; empty when it can."""
    if seen.error:
        return "This roster cannot be sent yet: mend what stands above first."
    if draft.options.strict and seen.invalid:
        return "Only a whole roster is to be sent, and some rows must be mended: mend them, or send the good rows."
    return ""


def _send(request: Request, draft: Draft, start: float | None) -> Response:
    services: Services = request.app.state.services
    upload = Upload(path=drafts.path_of(services, draft), name=draft.name, fields=[])
    wanted = Wanted(connection=services.connection(draft.connection), options=draft.options, start=start)
    accepted = job_actions.drop(services, request.state.who, upload, wanted, origin="page")
    drafts.remove(services, draft)
    return RedirectResponse(f"/jobs/{accepted.job_id}{'?told=twin' if accepted.twin else ''}", SEE_OTHER)


@needs(Role.OPERATOR)
async def throw_away(request: Request) -> Response:
    """Remove a draft."""
    draft = _found(request)
    await run_in_threadpool(drafts.remove, request.app.state.services, draft)
    return RedirectResponse("/?told=thrown_away", SEE_OTHER)


def _found(request: Request) -> Draft:
    draft = drafts.find(request.app.state.services, request.path_params["draft"])
    if draft is None:
        raise Problem(
            404, "This draft is gone: it was sent, thrown away, or is older than a day. Drop the file again"
        )
    return draft


async def _look(request: Request, draft: Draft) -> Look:
    """Look at a draft; what takes long waits outside the threads, so that other pages are answered meanwhile."""
    async with request.app.state.heavy:
        return await run_in_threadpool(preview.look_at, request.app.state.services, draft)


async def _shown(
    request: Request, draft: Draft, *, told: str = "", status: int = 200, typed: Mapping[str, str] | None = None
) -> Response:
    """Show a draft; the form holds what was `typed` when that must be mended, else what is kept."""
    services: Services = request.app.state.services
    seen = await _look(request, draft)
    try:
        can_update = Action.UPDATE in lms.rules_of(services.connection(draft.connection)).actions
    except UsageError:
        can_update = False
    return page(
        request,
        "draft.html",
        status=status,
        draft=draft,
        look=seen,
        told=told,
        hindrance=hindrance(draft, seen),
        groups=COLUMN_GROUPS,
        encodings=ENCODINGS,
        connections=sorted(services.settings.connections),
        can_update=can_update,
        fields=defaultdict(str, typed or draft_form.fields_of(draft)),
        most_values=draft_form.MOST_VALUES,
    )


routes: list[BaseRoute] = [
    Route("/drafts", drop, methods=["POST"]),
    Route("/drafts/{draft}", show),
    Route("/drafts/{draft}", change, methods=["POST"]),
    Route("/drafts/{draft}/throw-away", throw_away, methods=["POST"]),
]
