"""What most acceptance tests start with: a sandbox LMS, and a terminal whose connections are on it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.moodle_site import TOKEN

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
def academy(sandbox: Callable[..., Lms], office: Callable[..., Office]) -> Callable[..., Office]:
    """Open an office with a connection to a pretend Moodle: the sandbox's options, and keys of the connection."""

    def open_one(*bad_days: str, keys: dict[str, Any] | None = None, **options: Any) -> Office:
        lms = sandbox(bad_days=bad_days, **{f"moodle_{name}": value for name, value in options.items()})
        terminal = office()
        terminal.lms = lms
        terminal.environment["MOODLE_TOKEN"] = TOKEN
        values = {
            "system": "moodle",
            "base_url": f"{lms.url}/moodle",
            "token": "env:MOODLE_TOKEN",
            "role": 5,
            "lookup_pauses": [0.05, 0.1, 0.3],
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in (values | (keys or {})).items()]
        terminal.configure("\n".join(["[connections.academy]", *lines, ""]))
        return terminal

    return open_one


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
