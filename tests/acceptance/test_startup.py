"""A command that only reads the ledger loads what reading needs, and starts quickly."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

#: What `roster jobs` has no use for, on SQLite; together they took longer to load than all that it needs.
UNUSED = {
    "alembic",
    "celery",
    "cchardet",
    "email_validator",
    "httpx",
    "msgspec",
    "openpyxl",
    "psycopg",
    "rich",
    "sqlalchemy.dialects.postgresql",
    "starlette",
    "structlog",
    "worker.intake.accept",
    "worker.jobs.reporting",
    "worker.registration",
    "worker.runtime",
}
SHOW_MODULES = """
import contextlib, io, json, sys
from worker.cli.main import roster
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit, Exception):
    roster.main(sys.argv[1:], standalone_mode=False)
assert "sqlite3" in sys.modules
print(json.dumps(list(sys.modules)))
"""


@pytest.mark.parametrize("command", ["jobs", "status 1", "schedule list"])
def test_a_command_that_only_reads_loads_nothing_else(office, command):
    done = subprocess.run(
        [sys.executable, "-c", SHOW_MODULES, *command.split()],
        cwd=office().folder,
        capture_output=True,
        text=True,
        check=True,
    )

    assert sorted(UNUSED & set(json.loads(done.stdout))) == []
