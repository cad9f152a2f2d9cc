"""The endpoints that check and change nothing at the LMS: a roster before it is sent, and a job afterwards."""

from __future__ import annotations

import functools
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from worker import control
from worker.errors import LmsError, NothingSent, OutOfTime, StopJob
from worker.intake.abandonment import ending_when
from worker.jobs.check import check_roster
from worker.model import Role
from worker.reports.wording import for_api
from worker.web.api import UPLOADS, job_id_of, parse_options, services_of
from worker.web.auth import require_role
from worker.web.caller import actor_of, record
from worker.web.disconnects import while_connected
from worker.web.problems import HttpProblem
from worker.web.slots import in_thread
from worker.web.summaries import summary_of
from worker.web.uploads import Upload, receive_upload

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.model import Actor
    from worker.web.slots import Slots


@require_role(Role.OPERATOR, upload=True)
async def check(request: Request) -> Response:
    """Check a roster: what would be sent and what is wrong with it; nothing is sent, no job is opened."""
    # The check ends when its client leaves, so that it takes nobody else's turn.
    services = services_of(request)
    limit = services.settings.serve.max_upload_mb * 1024 * 1024
    upload = await receive_upload(request, into=services.files / UPLOADS, limit=limit)
    left = threading.Event()

    async def in_turn() -> tuple[dict[str, Any], str]:
        async with request.app.state.heavy:
            return await in_thread(functools.partial(_check, services, actor_of(request), upload, left), left.set)

    try:
        checked, connection = await while_connected(request, in_turn())
    finally:
        await run_in_threadpool(upload.discard)
    await record(request, "check", detail=f"to {connection}")
    return JSONResponse(checked)


def _check(services: Services, actor: Actor, upload: Upload, left: threading.Event) -> tuple[dict[str, Any], str]:
    """Return what the upload would do, and its connection; ends when `left` says that the client has left."""
    job_request = parse_options(services, actor, upload)
    connection = job_request.connection
    try:
        with ending_when(left):
            checked = check_roster(
                services, upload.path, connection, job_request.options, name=upload.name, in_child=True
            )
    except NothingSent as error:
        raise HttpProblem(422, str(error)) from None
    found = checked.to_json()
    return found | {"warnings": [for_api(each) for each in checked.summary.warnings]}, connection.name


@require_role(Role.OPERATOR)
async def verify_job(request: Request) -> Response:
    """Compare the rows of a job that are done with the LMS; the response is sent when all were read."""
    services, job_id = services_of(request), job_id_of(request)
    slots: Slots = request.app.state.slots
    limits = replace(request.app.state.time_limits, abandoned=threading.Event())
    verify = functools.partial(control.verify, services, job_id, actor=actor_of(request), limits=limits)
    waiting = slots.verifications.run(request.state.caller.name, job_id, verify, stop=limits.abandoned.set)

    stopped = await while_connected(request, waiting)
    if stopped is not None:
        raise HttpProblem(
            _status_of(stopped),
            f"{stopped}. What was read until then is saved; verify the job again to read the rest",
        )
    return JSONResponse(await run_in_threadpool(summary_of, services, job_id))


#: Codes of an LMS that does not answer now.
_AWAY = ("unreachable", "refused_for_long")


def _status_of(stopped: LmsError) -> int:
    """Return the HTTP status of what stopped a verification."""
    if isinstance(stopped, OutOfTime):
        return 504
    return 503 if isinstance(stopped, StopJob) and stopped.code in _AWAY else 409
