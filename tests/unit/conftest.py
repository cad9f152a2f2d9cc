from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.builders import copied_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.ledger.transactions import Ledger


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger") / "empty.db"


@pytest.fixture
def ledger(empty_ledger: Path, tmp_path: Path) -> Iterator[Ledger]:
    opened = copied_ledger(empty_ledger, tmp_path)
    yield opened
    opened.close()
