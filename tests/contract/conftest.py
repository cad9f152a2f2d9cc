"""A ledger in each of both databases, as one process sees it and as two do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.ledger.database import open_engine
from worker.ledger.transactions import Ledger


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path, _empty_ledger: Path) -> str:
    """Return the address of a new ledger."""
    if request.param == "sqlite":
        shutil.copyfile(_empty_ledger, tmp_path / "roster.db")
        return f"sqlite:///{tmp_path / 'roster.db'}"
    return str(request.getfixturevalue("database"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a database in which there is nothing, not even the tables of a ledger."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'roster.db'}"
    return str(request.getfixturevalue("empty_database"))


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """Open a ledger."""
    opened = Ledger(open_engine(ledger_url))
    yield opened
    opened.close()


@pytest.fixture
def two(ledger_url: str) -> Iterator[tuple[Ledger, Ledger]]:
    """Open one ledger twice."""
    pair = Ledger(open_engine(ledger_url)), Ledger(open_engine(ledger_url))
    yield pair
    for each in pair:
        each.close()
