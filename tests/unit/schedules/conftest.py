from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.builders import open_ledger, raw_connection
from worker.bootstrap import Services
from worker.ledger.leases import owner_name
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    ledger = open_ledger(tmp_path)
    connections = {
        "north": raw_connection("tahdah", "http://127.0.0.1:9", rate="10/second"),
        "south": raw_connection("tahdah", "http://127.0.0.1:9"),
    }
    settings = Settings(files=str(tmp_path / "files"), connections=connections)
    yield Services(settings=settings, ledger=ledger, owner=owner_name())
    ledger.close()
