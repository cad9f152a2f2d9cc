"""What Roster imports comes with what it declares: nothing is there only because the tests or the build need it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest

from tests.wheels import ROOT, normal, pinned_here

#: Run by a Python of its own: imports in which only what requirements.txt pins is found.
IMPORT_ALL = """
import importlib, importlib.abc, json, pkgutil, sys

class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if path is None and name in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

hidden = set(json.loads(sys.stdin.read()))
sys.meta_path.insert(0, Hide())
"""
OUR_MODULES = """
import tasks, worker
for package in (worker, tasks):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if ".migrations" not in module.name:
            importlib.import_module(module.name)
"""
#: What a library imports by the name of something: a URL's scheme, a command.
BY_NAME = {
    "redis": "from worker import celery, settings; celery.make_app(settings.Settings()).connection().transport",
    "celery_worker": "import celery.apps.worker, celery.concurrency.prefork, celery.bin.celery",
    "celery_beat": "import celery.apps.beat",
    "flower": "import flower.command",
    "sqlite": "import sqlalchemy; sqlalchemy.create_engine('sqlite://').dialect.import_dbapi()",
    "postgresql": "import sqlalchemy; sqlalchemy.create_engine('postgresql+psycopg://').dialect.import_dbapi()",
    "uvicorn": "import uvicorn; uvicorn.Config('worker:__version__').load()",
    "https": "import fsspec; fsspec.filesystem('https')",
}


def hidden() -> list[str]:
    """Return the top-level modules that only tests and build bring."""
    pinned = {normal(name) for name in pinned_here()}
    offered = packages_distributions()
    ours = {"worker", "tasks"}
    return [top for top, names in offered.items() if top not in ours and not pinned & {normal(n) for n in names}]


@pytest.mark.parametrize("statements", [OUR_MODULES, *BY_NAME.values()], ids=["our_modules", *BY_NAME])
def test_what_requirements_txt_pins_is_enough_to_import(statements: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORT_ALL + statements],
        cwd=ROOT,
        input=json.dumps(hidden()),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]


def test_what_only_tests_and_build_bring_is_hidden_here() -> None:
    assert {"hatchling", "pytest", "hypothesis"} <= set(hidden())
