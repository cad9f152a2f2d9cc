"""What most acceptance tests start with: a sandbox LMS, and a terminal whose connections are on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
