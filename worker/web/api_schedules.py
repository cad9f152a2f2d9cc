"""The endpoints of schedules. Who adds or changes one lets the server read a file: that takes an administrator."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from worker import control
from worker.errors import SettingsError, UnknownSchedule, UsageError
from worker.intake.options import Options, parse_options
from worker.ledger import sources
from worker.model import Role
from worker.reports.wording import for_api
from worker.schedules import manage
from worker.schedules.describe import describe, describe_all
from worker.web import schemas
from worker.web.api import services_of
from worker.web.auth import require_role
from worker.web.caller import actor_of
from worker.web.problems import HttpProblem

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.ledger.schedules import Schedule
    from worker.model import Actor

CREATED, ACCEPTED, NO_CONTENT = 201, 202, 204
#: The fields of the rosters' options, and their names in `Options`.
_OPTIONS = {
    each: {"set": "set_values", "map": "mapping", "use_map": "mapping"}.get(each, each)
    for each in schemas.ScheduleOptions.model_fields
}
Body = TypeVar("Body", schemas.NewSchedule, schemas.ScheduleEdit)


@require_role(Role.VIEWER)
async def list_schedules(request: Request) -> Response:
    """List the schedules, by name."""
    return JSONResponse([_reworded(each) for each in await run_in_threadpool(_all, services_of(request))])


def _all(services: Services) -> list[dict[str, Any]]:
    with services.ledger.read() as tx:
        return describe_all(tx)


@require_role(Role.VIEWER)
async def show_schedule(request: Request) -> Response:
    """Return a schedule."""
    return await _respond(request, _get)


def _get(services: Services, name: str) -> Schedule:
    with services.ledger.read() as tx:
        return manage.get_schedule(tx, name)


@require_role(Role.ADMIN)
async def add_schedule(request: Request) -> Response:
    """Add a schedule, which imports a roster at set times; `source` is read by the server."""
    wanted, actor = await _read(request, schemas.NewSchedule), actor_of(request)
    added = await run_in_threadpool(_add, services_of(request), wanted, actor)
    return JSONResponse(_reworded(added), CREATED, {"Location": f"/api/schedules/{added['name']}"})


def _add(services: Services, wanted: schemas.NewSchedule, actor: Actor) -> dict[str, Any]:
    try:
        added = manage.add_schedule(
            services,
            manage.ScheduleRequest(
                name=wanted.name,
                cron=" ".join(wanted.cron.split()),
                zone=wanted.zone,
                source=wanted.source,
                connection=services.connection(wanted.connection),
                options=_parse(services, wanted, actor),
                missed=wanted.missed,
                report_dir=None,
                expect_by=wanted.expect_by or "",
                ignore_unchanged=wanted.ignore_unchanged,
            ),
            actor,
        )
    except (UsageError, SettingsError) as error:
        raise HttpProblem(422, str(error)) from None
    return _described(services, added)


@require_role(Role.ADMIN)
async def edit_schedule(request: Request) -> Response:
    """Change the fields of a schedule that are given; null takes an option of the roster out."""
    wanted, actor = await _read(request, schemas.ScheduleEdit), actor_of(request)
    return await _respond(request, lambda services, name: _edit(services, name, wanted, actor))


def _edit(services: Services, name: str, wanted: schemas.ScheduleEdit, actor: Actor) -> Schedule:
    given = wanted.model_fields_set
    for field in ("cron", "zone", "source", "connection", "missed", "ignore_unchanged"):
        if field in given and getattr(wanted, field) is None:
            raise HttpProblem(422, f"{field}: null is not possible; leave it out to keep it as it is")
    expect_by = None if "expect_by" not in given else wanted.expect_by or ""
    stored = Options(**_get(services, name).options)
    changed = {_OPTIONS[field] for field in given & set(_OPTIONS)}
    try:
        parsed = _parse(services, wanted, actor)
        options = replace(stored, **{field: getattr(parsed, field) for field in changed}) if changed else None
        changes = manage.ScheduleChanges(
            cron=wanted.cron and " ".join(wanted.cron.split()),
            zone=wanted.zone,
            source=wanted.source,
            connection=services.connection(wanted.connection) if wanted.connection else None,
            options=options,
            missed=wanted.missed,
            expect_by=expect_by,
            ignore_unchanged=wanted.ignore_unchanged,
        )
        return manage.edit_schedule(services, name, changes, actor)
    except UnknownSchedule:
        raise
    except (UsageError, SettingsError) as error:
        raise HttpProblem(422, str(error)) from None


def _parse(services: Services, fields: schemas.ScheduleOptions, actor: Actor) -> Options:
    """Return the options of the rosters that the fields request. Raises UsageError."""
    typed = fields.model_dump(include=set(_OPTIONS))
    flags = {name: bool(typed[name]) for name in ("strict", "again", "update_existing")}
    repeated = {"set_values": typed.pop("set") or (), "mapping": typed.pop("map") or ()}
    return parse_options(services.ledger, {**typed, **flags, **repeated, "save_map": None}, by=actor, dashes="")


@require_role(Role.OPERATOR)
async def remove_schedule(request: Request) -> Response:
    """Remove a schedule; its jobs are kept."""
    name = request.path_params["name"]
    await run_in_threadpool(manage.remove_schedule, services_of(request), name, actor_of(request))
    return Response(status_code=NO_CONTENT)


@require_role(Role.OPERATOR)
async def pause_schedule(request: Request) -> Response:
    """Pause a schedule: no jobs are opened until it is resumed."""
    return await _respond(request, lambda services, name: manage.pause_schedule(services, name, actor_of(request)))


@require_role(Role.OPERATOR)
async def resume_schedule(request: Request) -> Response:
    """Resume a paused schedule; missed runs are not caught up."""
    return await _respond(request, lambda services, name: manage.resume_schedule(services, name, actor_of(request)))


@require_role(Role.OPERATOR)
async def run_schedule(request: Request) -> Response:
    """Run a schedule now, also while it is paused; its next run is due as planned."""
    services, name = services_of(request), request.path_params["name"]

    def run() -> int:
        return control.run_schedule(services, name, actor=actor_of(request)).job_id

    async with request.app.state.heavy:
        job_id = await run_in_threadpool(run)
    return JSONResponse({"id": job_id}, ACCEPTED, {"Location": f"/api/jobs/{job_id}"})


async def _respond(request: Request, act: Callable[[Services, str], Schedule]) -> Response:
    """Do something to the schedule of the path, and return it as it then is."""
    services, name = services_of(request), request.path_params["name"]

    def do() -> dict[str, Any]:
        return _described(services, act(services, name))

    return JSONResponse(_reworded(await run_in_threadpool(do)))


def _described(services: Services, found: Schedule) -> dict[str, Any]:
    with services.ledger.read() as tx:
        return describe(found, sources.find(tx, sources.schedule_source(found.name)))


def _reworded(described: dict[str, Any]) -> dict[str, Any]:
    """Return a schedule whose sentences speak of fields."""
    problem, error = described["problem"], described["last_error"]
    return described | {
        "problem": problem and problem | {"reason": for_api(problem["reason"])},
        "last_error": error and for_api(error),
    }


async def _read(request: Request, model: type[Body]) -> Body:
    """Return the fields of a JSON body. Raises HttpProblem 400 or 422 that names the field."""
    raw = await request.body()
    if b"\\u0000" in raw:
        raise HttpProblem(422, "A field contains a NUL character")
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        if first["type"] == "json_invalid":
            raise HttpProblem(400, "The body is not valid JSON") from None
        where = ".".join(map(str, first["loc"]))
        detail = f"{where}: {first['msg']}" if where else "Send the fields as a JSON object"
        raise HttpProblem(422, detail) from None
