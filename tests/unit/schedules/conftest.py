from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.builders import copied_ledger, raw_connection
from worker.bootstrap import Services
from worker.ledger.leases import owner_name
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger") / "empty.db"


@pytest.fixture
def services(empty_ledger: Path, tmp_path: Path) -> Iterator[Services]:
    ledger = copied_ledger(empty_ledger, tmp_path)
    connections = {
        "north": raw_connection("tahdah", "http://127.0.0.1:9", rate="10/second"),
        "south": raw_connection("tahdah", "http://127.0.0.1:9"),
    }
    settings = Settings(files=str(tmp_path / "files"), connections=connections)
    yield Services(settings=settings, ledger=ledger, owner=owner_name())
    ledger.close()
