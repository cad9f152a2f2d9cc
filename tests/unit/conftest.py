from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.builders import open_ledger
from worker.bootstrap import Services
from worker.metrics import JobMetrics
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.ledger.transactions import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def exported(ledger: Ledger) -> dict[str, set[str]]:
    """Return the labels of each metric, under the name that Prometheus knows it by."""
    families = JobMetrics(Services(settings=Settings(), ledger=ledger, owner="")).collect()
    return {
        f"{each.name}_total" if each.type == "counter" else each.name: set(each._labelnames) for each in families
    }
