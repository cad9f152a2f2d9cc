"""Every address behind the web door has its guard, and the API's description leaves nothing out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.routing import Route

from worker.bootstrap import Services
from worker.ledger.database import open_engine
from worker.ledger.transactions import Ledger
from worker.model import Role
from worker.settings import Settings
from worker.web import openapi, pages
from worker.web.app import make_app
from worker.web.routes import OPERATIONS, routes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: What strangers may ask for; /metrics asks by itself unless it is opened in [serve].
OPEN = {"/healthz", "/metrics"}


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    ledger = Ledger(open_engine(f"sqlite:///{tmp_path / 'roster.db'}"))
    yield Services(settings=Settings(files=str(tmp_path / "files")), ledger=ledger, owner="a/1/1")
    ledger.close()


def test_every_call_of_the_api_says_who_may_make_it() -> None:
    assert {call.path for call in OPERATIONS if call.is_public} == OPEN
    for call in OPERATIONS:
        if not call.is_public:
            needed = call.endpoint.required_role  # type: ignore[attr-defined]
            assert needed is (Role.VIEWER if call.method == "GET" else Role.OPERATOR), call.path


def test_every_page_says_who_may_see_it() -> None:
    open_pages = [
        route.path
        for route in pages.routes
        if isinstance(route, Route)
        and not hasattr(route.endpoint, "required_role")
        and not hasattr(route.app, "required_role")
    ]
    assert open_pages == []


def test_the_application_answers_every_described_address(services: Services) -> None:
    paths = {route.path for route in make_app(services).routes if isinstance(route, Route)}
    described = {path.replace("{id}", "{id:int}").replace("{row}", "{row:int}") for path in _described()}

    assert described <= paths
    assert {route.path for route in routes if isinstance(route, Route)} == described


def test_every_operation_has_a_summary_and_a_name_of_its_own() -> None:
    operations = [call for path in _described().values() for call in path.values()]

    assert all(operation["summary"].endswith(".") for operation in operations)
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all("default" in operation["responses"] for operation in operations)


def _described() -> dict[str, dict[str, dict[str, object]]]:
    paths: dict[str, dict[str, dict[str, object]]] = openapi.describe_api(OPERATIONS)["paths"]
    return paths
