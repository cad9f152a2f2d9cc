"""What most acceptance tests start with: a sandbox LMS, and a terminal whose connections are on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Lms, Office


@pytest.fixture
def lms(sandbox: Callable[..., Lms]) -> Lms:
    return sandbox()


@pytest.fixture
def terminal(office: Callable[..., Office], lms: Lms) -> Office:
    return office(lms)


@pytest.fixture
def ledger_kind(request: pytest.FixtureRequest) -> str:
    """Return which database an `open_office` has: SQLite, or that of a test's parameter."""
    kind: str = getattr(request, "param", "SQLite")
    return kind


@pytest.fixture
def open_office(
    office: Callable[..., Office], ledger_kind: str, request: pytest.FixtureRequest
) -> Callable[..., Office]:
    """Open offices as `office` does, whose ledger is on the database of `ledger_kind`."""

    def open_one(*arguments: Any, **options: Any) -> Office:
        opened = office(*arguments, **options)
        if ledger_kind == "PostgreSQL":
            opened.environment["ROSTER_LEDGER"] = request.getfixturevalue("database")
        return opened

    return open_one
