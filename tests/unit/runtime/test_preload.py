"""What a worker has loaded before it forks."""

from __future__ import annotations

import json
import subprocess
import sys

SHOW = """
import json, pkgutil, sys
import worker.celery, worker.runtime.multiplexer
from worker.runtime.preload import preload
preload(sys.argv[1])
before = set(sys.modules)
for room in ("lms", "pace"):
    for module in pkgutil.walk_packages(__import__(f"worker.{room}", fromlist=["x"]).__path__, f"worker.{room}."):
        __import__(module.name)
for name in ("worker.reports.workbook", "worker.registration.context", "worker.registration.batch"):
    __import__(name)
print(json.dumps({"late": sorted(set(sys.modules) - before), "driver": "psycopg" in sys.modules}))
"""


def loaded(ledger: str) -> dict[str, object]:
    shown = subprocess.run([sys.executable, "-c", SHOW, ledger], capture_output=True, text=True, check=True)
    return json.loads(shown.stdout)  # type: ignore[no-any-return]


def test_nothing_that_talks_to_an_lms_is_loaded_after_the_fork() -> None:
    assert loaded("postgresql+psycopg://nobody@127.0.0.1:1/nothing") == {"late": [], "driver": True}


def test_an_address_that_is_wrong_is_left_for_the_ledger_to_tell() -> None:
    assert loaded("nonsense")["late"] == []
