"""Every route requires a role, and the API's description is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.routing import Route

from tests.builders import open_ledger
from worker.bootstrap import Services
from worker.model import Role
from worker.settings import Settings
from worker.web import openapi, pages
from worker.web.app import make_app
from worker.web.routes import OPERATIONS, routes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Operations for anonymous callers; /metrics checks the role itself unless [serve] opens it.
PUBLIC = {"/healthz", "/metrics"}


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    ledger = open_ledger(tmp_path)
    yield Services(settings=Settings(files=str(tmp_path / "files")), ledger=ledger, owner="a/1/1")
    ledger.close()


#: Who calls these lets the server read a file.
ADMINISTRATORS = dict.fromkeys([("POST", "/api/schedules"), ("PATCH", "/api/schedules/{name}")], Role.ADMIN)


def test_every_operation_of_the_api_requires_a_role() -> None:
    assert {operation.path for operation in OPERATIONS if operation.is_public} == PUBLIC
    for operation in OPERATIONS:
        if not operation.is_public:
            needed = operation.endpoint.required_role  # type: ignore[attr-defined]
            expected = ADMINISTRATORS.get((operation.method, operation.path), Role.OPERATOR)
            assert needed is (Role.VIEWER if operation.method == "GET" else expected), operation.path


def test_every_page_requires_a_role() -> None:
    open_pages = [
        route.path
        for route in pages.routes
        if isinstance(route, Route)
        and not hasattr(route.endpoint, "required_role")
        and not hasattr(route.app, "required_role")
    ]
    assert open_pages == []


def test_the_application_has_a_route_for_every_described_path(services: Services) -> None:
    paths = {route.path for route in make_app(services).routes if isinstance(route, Route)}
    described = {path.replace("{id}", "{id:number}").replace("{row}", "{row:number}") for path in _described()}

    assert described <= paths
    assert {route.path for route in routes if isinstance(route, Route)} == described


def test_every_operation_has_a_summary_and_a_unique_id() -> None:
    operations = [each for path in _described().values() for each in path.values()]

    assert all(operation["summary"].endswith(".") for operation in operations)
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all("default" in operation["responses"] for operation in operations)


def _described() -> dict[str, dict[str, dict[str, object]]]:
    paths: dict[str, dict[str, dict[str, object]]] = openapi.describe_api(OPERATIONS)["paths"]
    return paths
